"""What a provider's answers mean."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.views.decorators.debug import sensitive_variables

from ..exceptions import InvalidTokenResponse
from ..spellings import parse_number, parse_scope, parse_seconds
from ..token_set import TokenSet
from .description import Description
from .wire import (
    Answer,
    Meaning,
    Response,
    clean,
    is_token,
    lookup,
    matches,
    parse_body,
    retry_after,
    storable,
)

DEAD_GRANT_ERRORS = ("invalid_grant",)
OPERATOR_ERRORS = (
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_request",
)
#: Statuses that a server sends without having processed the request.
UNPROCESSED_STATUSES = frozenset({408, 425, 429, 503})
_REFRESH_TOKEN_LIFETIMES = ("refresh_token_expires_in", "refresh_expires_in")


class Answers(Description):
    """Reads the answers of a provider by its description."""

    @sensitive_variables()
    def classify(self, response: Response, *, secrets: Iterable[str] = ()) -> Answer:
        """What the token endpoint's answer means (RFC 6749 sections 5.1 and 5.2), never by guess.

        Arguments:
            secrets: texts to cut out of the provider's own words.
        """
        body = parse_body(response)
        code, description = self._error(body, secrets)
        failed = bool(code) or body.get("ok") is False
        if 200 <= response.status < 300 and not failed:
            try:
                return Answer(Meaning.SUCCESS, self.parse_token_response(body))
            except InvalidTokenResponse as error:
                # A 2xx may have rotated the refresh token whatever its body looks like.
                meaning = self._own_meaning(response.status, code, body)
                return Answer(
                    meaning or Meaning.OUTCOME_UNKNOWN, code=error.code, description=str(error)
                )
        meaning = self._own_meaning(response.status, code, body) or _meaning(response.status, code)
        outage = meaning in (Meaning.TRANSIENT, Meaning.OUTCOME_UNKNOWN) and (
            response.status >= 500 or response.status == 429
        )
        return Answer(
            meaning,
            code=code or f"http_{response.status}",
            description=description,
            retry_after=retry_after(response),
            outage=outage,
        )

    def _own_meaning(self, status: int, code: str, body: Mapping[str, Any]) -> Meaning | None:
        """What the provider's description says that it means."""
        for meaning, patterns in (
            (Meaning.TRANSIENT, self.transient_errors),
            (Meaning.DEAD_GRANT, self.dead_grant_errors),
            (Meaning.OPERATOR_ERROR, self.operator_errors),
        ):
            if any(matches(pattern, status, code, body) for pattern in patterns):
                return meaning
        return None

    @sensitive_variables()
    def _error(self, body: Mapping[str, Any], secrets: Iterable[str]) -> tuple[str, str]:
        found = next((v for path in self.error_path if (v := lookup(body, path))), None)
        details = found if isinstance(found, dict) else {}
        if isinstance(found, dict):
            found = found.get("code") or found.get("type") or "error"
        # Feishu, WeChat: 0 is no error.
        code = "" if found in (None, False, "", "0") else str(found)
        words = body.get("error_description") or body.get("message") or details.get("message") or ""
        if not code and not words:
            return "", ""
        own = (self.client_secret, self.basic_credentials)
        hidden = [secret for secret in (*secrets, *own) if secret]
        return clean(code, hidden, 64), clean(str(words), hidden, 250)

    @sensitive_variables()
    def parse_token_response(self, body: Mapping[str, Any]) -> TokenSet:
        """Read a successful token response (RFC 6749 section 5.1).

        Raises:
            InvalidTokenResponse: there is no access token in it.
        """
        token = self._token_object(body)
        access_token = self._get(token, "access_token")
        if not is_token(access_token):
            raise InvalidTokenResponse(
                f"The answer of provider {self.name!r} has no access_token. Check token_endpoint, "
                "token_path and token_fields.",
                provider=self.name,
            )
        refresh_token, id_token = self._get(token, "refresh_token"), self._get(token, "id_token")
        expires_in = self._expires_in(token)
        refresh_token_expires_in = self._refresh_token_expires_in(token)
        if self.refresh_with == "access_token":
            refresh_token, refresh_token_expires_in = access_token, expires_in
        id_token = id_token or body.get("id_token")
        return TokenSet(
            access_token=access_token,
            token_type=self._token_type(token),
            # What cannot be one is as good as absent: the earlier one stays in use.
            refresh_token=refresh_token if is_token(refresh_token) else None,
            expires_in=expires_in,
            refresh_token_expires_in=refresh_token_expires_in,
            scope=parse_scope(
                self._get(token, "scope"), self.granted_scope_separator or self.scope_separator
            ),
            id_token=id_token if is_token(id_token) else None,
            extra={
                key: storable(value)
                for key in self.metadata_fields
                if (value := lookup(body, key)) is not None
            },
        )

    def _token_object(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        nested = lookup(body, self.token_path) if self.token_path else None
        if isinstance(nested, dict) and self._get(nested, "access_token") is not None:
            return nested
        return body

    def _get(self, token: Mapping[str, Any], name: str) -> Any:
        return lookup(token, self.token_fields.get(name, name))

    def _token_type(self, token: Mapping[str, Any]) -> str:
        answered = clean(str(self._get(token, "token_type") or "Bearer"), (), 64)
        token_type = self.token_type or answered
        # RFC 6749 section 5.1: case insensitive; APIs are pickier about the header.
        return "Bearer" if token_type.lower() == "bearer" else token_type

    def _seconds(self, value: object) -> float | None:
        """A lifetime as ``expires_in_unit`` has it, in seconds from now on."""
        unit = self.expires_in_unit
        number = _unix_time(value) if unit == "datetime" else parse_number(value)
        if number is None or unit == "s":
            return parse_seconds(number)
        if unit in ("ms", "timestamp_ms"):
            number /= 1000
        # A moment that has passed is no zero that may mean never.
        return parse_seconds(number if unit == "ms" else max(number - time.time(), 1.0))

    def _expires_in(self, token: Mapping[str, Any]) -> float | None:
        seconds = self._seconds(self._get(token, "expires_in"))
        if seconds:
            return seconds
        if seconds == 0 and self.zero_expires_in == "never":
            return None
        if self.default_expires_in == "default":
            from ..conf import get_settings

            return get_settings().DEFAULT_EXPIRES_IN
        return self.default_expires_in

    def _refresh_token_expires_in(self, token: Mapping[str, Any]) -> float | None:
        own = self.token_fields.get("refresh_token_expires_in")
        for path in (own,) if own else _REFRESH_TOKEN_LIFETIMES:
            seconds = self._seconds(lookup(token, path))
            # 0 is an offline token without end (Keycloak).
            if seconds is not None:
                return seconds or None
        has_one = is_token(self._get(token, "refresh_token"))
        return self.refresh_token_lifetime if has_one else None


def _unix_time(value: object) -> float | None:
    """Of a moment in ISO 8601; UTC where it does not say."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _meaning(status: int, code: str) -> Meaning:
    """What RFC 6749 and HTTP say that it means."""
    if status in UNPROCESSED_STATUSES:
        return Meaning.TRANSIENT
    if status >= 500:
        return Meaning.OUTCOME_UNKNOWN
    if code in DEAD_GRANT_ERRORS:
        return Meaning.DEAD_GRANT
    if code in OPERATOR_ERRORS:
        return Meaning.OPERATOR_ERROR
    # A redirect or an unknown 4xx was refused, not processed.
    return Meaning.TRANSIENT
