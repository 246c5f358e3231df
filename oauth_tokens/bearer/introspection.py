"""Opaque tokens: what the issuer says of them (RFC 7662)."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

from django.views.decorators.debug import sensitive_variables

from ..providers.wire import FORM, Request, parse_body
from .errors import BearerError, invalid_token

#: Seconds a client is told to wait for an introspection endpoint that fails. One that has timed out
#: is left alone for as long: to wait for it with each request would hold every worker.
RETRY_AFTER = 5
#: Answers kept by one Introspection.
MAX_ANSWERS = 1024

logger = logging.getLogger("oauth_tokens")


@dataclass
class Introspection:
    """One introspection endpoint.

    Arguments:
        endpoint: ``introspection_endpoint`` of the issuer (RFC 8414).
        client_id, client_secret: this API's own, sent as client_secret_basic.
        timeout: seconds that one request may take.
        keep: seconds for which an answer is used again, so also for which a revoked token still
            works. Never beyond the token's expiry; 0 asks each time.
    """

    endpoint: str
    client_id: str
    client_secret: str = field(repr=False)
    timeout: float
    keep: float
    _answers: dict[bytes, tuple[float, Mapping[str, Any]]] = field(
        default_factory=dict, init=False, repr=False
    )
    #: Until when (monotonic) nobody asks; 0.0 where the last request was answered.
    _paused_until: float = field(default=0.0, init=False, repr=False)

    @sensitive_variables()
    def ask(self, token: str) -> Mapping[str, Any]:
        """What the issuer says of an active token (RFC 7662 section 2.2).

        Raises:
            BearerError: ``invalid_token`` where it is not active, ``temporarily_unavailable``
                where the issuer does not say.
        """
        key = hashlib.sha256(token.encode()).digest()
        until, claims = self._answers.get(key, (0.0, {}))
        if time.time() < until:
            return claims
        claims = self._fetch(token)
        if not claims["active"]:
            raise invalid_token("The token is not active.")
        if str(claims.get("token_type") or "bearer").lower() not in ("bearer", "access_token"):
            raise invalid_token("The token is not a bearer token.")
        if self.keep:
            self._remember(key, claims)
        return claims

    @sensitive_variables()
    def _fetch(self, token: str) -> dict[str, Any]:
        from .. import transport

        # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
            "Content-Type": FORM,
            "User-Agent": "django-user-oauth-tokens",
        }
        body = urlencode({"token": token, "token_type_hint": "access_token"})
        self._begin()
        try:
            response = transport.send(
                Request("POST", self.endpoint, headers, body), timeout=self.timeout
            )
        except transport.TransportError as error:
            late = error.code.endswith("_timeout")
            self._paused_until = time.monotonic() + RETRY_AFTER if late else 0.0
            raise self._unavailable(error.code) from None
        self._paused_until = 0.0
        claims = parse_body(response)
        if response.status != 200 or not isinstance(claims.get("active"), bool):
            raise self._unavailable(f"http_{response.status}")
        return claims

    def _begin(self) -> None:
        """Let this thread ask, after a pause it alone. Raises: BearerError during one."""
        now = time.monotonic()
        if now < self._paused_until:
            raise _unavailable(self._paused_until - now)
        if self._paused_until:
            self._paused_until = now + self.timeout

    def _unavailable(self, code: str) -> BearerError:
        logger.error(
            "The introspection endpoint %s does not answer as it should (%s). Check the address, "
            "client_id and client_secret.",
            self.endpoint,
            code,
        )
        return _unavailable(RETRY_AFTER)

    def _remember(self, key: bytes, claims: Mapping[str, Any]) -> None:
        expires = claims.get("exp")
        until = time.time() + self.keep
        if isinstance(expires, (int, float)):
            until = min(until, expires)
        if len(self._answers) >= MAX_ANSWERS:
            for oldest in list(self._answers)[: MAX_ANSWERS // 8 + 1]:
                self._answers.pop(oldest, None)
        self._answers[key] = (until, claims)


def _unavailable(retry_after: float) -> BearerError:
    return BearerError(
        "temporarily_unavailable",
        "The token cannot be checked at the moment.",
        retry_after=retry_after,
    )
