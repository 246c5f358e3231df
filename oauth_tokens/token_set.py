"""The token set of one token response (RFC 6749 section 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What a provider granted in one response.

    Arguments:
        access_token: as issued.
        token_type: RFC 6749 section 7.1, e.g. "Bearer".
        refresh_token: None where the response has none: the earlier one stays in use.
        expires_in: seconds, or None where the access token does not expire.
        refresh_token_expires_in: seconds, or None where unknown or without end.
        scope: the granted scopes, or None where the response does not say (RFC 6749 section 5.1:
            then they are those asked for).
        id_token: OpenID Connect ID token, or None.
        extra: further fields of the response that the provider's description says to keep.
    """

    access_token: str = field(repr=False)
    token_type: str = "Bearer"
    refresh_token: str | None = field(default=None, repr=False)
    expires_in: float | None = None
    refresh_token_expires_in: float | None = None
    scope: frozenset[str] | None = None
    id_token: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
