"""Third-party OAuth 2.0 tokens of Django users: stored encrypted, refreshed safely.

``from oauth_tokens import OAuthToken, exceptions, signals`` works once Django is set up;
``import oauth_tokens`` itself imports nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import exceptions as exceptions
    from . import signals as signals
    from .models import OAuthToken as OAuthToken
    from .models import TokenEvent as TokenEvent

__version__ = "0.1.0"
__all__ = ["OAuthToken", "TokenEvent", "exceptions", "signals"]


def __getattr__(name: str) -> Any:
    if name in ("exceptions", "signals"):
        return importlib.import_module(f"{__name__}.{name}")
    if name in ("OAuthToken", "TokenEvent"):
        return getattr(importlib.import_module(f"{__name__}.models"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
