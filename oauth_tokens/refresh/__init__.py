"""The refresh protocol: the one way in which a refresh token is ever sent.

A provider's token endpoint honours no fencing token, so no lock alone can be right. The database
claim decides who may refresh; the Redis lock only makes waiting cheap. Whatever happens to Redis, a
refresh token is sent by one holder at a time, and a newer one is never overwritten by an older.

The protocol knows rows by what they can do (:class:`Row`), not by their model. The models need it
only once there is something to refresh, so it is imported then.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .dates import backoff, next_refresh, threshold

if TYPE_CHECKING:
    from .asynchronous import aensure
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
_HOMES = {
    "Need": "row",
    "Row": "row",
    "aensure": "asynchronous",
    "ensure": "protocol",
    "not_connected": "errors",
    "undecryptable": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
