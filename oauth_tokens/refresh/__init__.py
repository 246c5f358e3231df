"""The refresh protocol: the one way in which a refresh token is ever sent.

A provider's token endpoint honours no fencing token, so no lock alone can be right. The database
claim decides who may refresh; the Redis lock only makes waiting cheap. Whatever happens to Redis, a
refresh token is sent by one holder at a time, and a newer one is never overwritten by an older.

The protocol knows rows by what they can do (:class:`oauth_tokens.refresh.row.Row`), not by their
model. The models need it only once there is something to refresh, so it is imported then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .dates import backoff, next_refresh, threshold

if TYPE_CHECKING:
    from .asynchronous import aensure
    from .errors import not_connected, undecryptable
    from .protocol import ensure
    from .row import Need

__all__ = [
    "Need",
    "aensure",
    "backoff",
    "ensure",
    "next_refresh",
    "not_connected",
    "threshold",
    "undecryptable",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .asynchronous import aensure
    from .errors import not_connected, undecryptable
    from .protocol import ensure
    from .row import Need

    late: tuple[Any, ...] = (Need, aensure, ensure, not_connected, undecryptable)
    globals().update({each.__name__: each for each in late})
    return globals()[name]
