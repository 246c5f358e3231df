"""Errors as RFC 6750 section 3 has them: the challenge, and the same as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

STATUSES = {
    # Section 3.1: who sent no token is asked for one, and not told of an error.
    "": 401,
    "invalid_request": 400,
    "invalid_token": 401,
    "insufficient_scope": 403,
    # Not of RFC 6750: the issuer cannot be asked, so nothing is known against the token.
    "temporarily_unavailable": 503,
}
# RFC 6750 section 3: neither quotes nor backslashes, let alone the end of a header.
_UNQUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


class BearerError(Exception):
    """Why a request is refused; never holds the token, nor words that its sender has chosen.

    Arguments:
        error: a key of :data:`STATUSES`.
        description: for the developer of the client.
        details: more of the challenge's and the body's parameters, e.g. ``scope``, ``expired_at``.
        retry_after: seconds, with ``temporarily_unavailable``.
    """

    def __init__(
        self,
        error: str,
        description: str,
        details: Mapping[str, str] | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(description)
        self.error = error
        self.status = STATUSES[error]
        self.retry_after = None if retry_after is None else math.ceil(retry_after)
        parameters = {"error": error, "error_description": description, **(details or {})}
        self.body = {name: value for name, value in parameters.items() if value}

    def challenge(self, realm: str) -> str:
        """Value of ``WWW-Authenticate``; "" where no other token would help."""
        if self.status == 503:
            return ""
        parameters = {"realm": realm, **(self.body if self.error else {})}
        quoted = (f'{name}="{_UNQUOTABLE.sub(" ", text)}"' for name, text in parameters.items())
        return f"Bearer {', '.join(quoted)}"

    def headers(self, realm: str) -> dict[str, str]:
        """Headers of the answer."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        challenge = self.challenge(realm)
        return {**headers, "WWW-Authenticate": challenge} if challenge else headers


def invalid_token(description: str, **details: str) -> BearerError:
    """Expired, revoked, malformed or not meant for this API: the client may get a new one."""
    return BearerError("invalid_token", description, details)
