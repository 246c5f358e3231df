"""The refresh protocol: the one way in which a refresh token is ever sent.

A provider's token endpoint honours no fencing token, so no lock alone can be right. The database
claim decides who may refresh; the Redis lock only makes waiting cheap. Whatever happens to Redis, a
refresh token is sent by one holder at a time, and a newer one is never overwritten by an older.

The protocol knows rows by what they can do (:class:`Row`), not by their model.
"""

from .asynchronous import aensure
from .dates import backoff, next_refresh, threshold
from .errors import not_connected, undecryptable
from .protocol import ensure
from .row import Need, Row

__all__ = [
    "Need",
    "Row",
    "aensure",
    "backoff",
    "ensure",
    "next_refresh",
    "not_connected",
    "threshold",
    "undecryptable",
]
