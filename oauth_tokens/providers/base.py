"""A provider as data: what it is called, where it is, and how it differs from the RFCs.

:class:`Provider` builds requests and reads answers and does no I/O. Keys have the registered names
of RFC 8414 (server metadata) and RFC 7591 (client metadata) wherever one exists; beyond them there
is one field for each difference observed, so that a new provider is settings, not code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode

from ..exceptions import InvalidTokenResponse, ProviderMisconfigured
from ..token_set import TokenSet, parse_scope, parse_seconds
from .wire import (
    FORM,
    Answer,
    Meaning,
    Request,
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


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One provider as configured: ``OAUTH_TOKENS["PROVIDERS"][name]``, over its preset if any.

    Lifetimes are in seconds. Fields that a name or comment marks with an RFC are registered there.
    """

    name: str
    client_id: str
    client_secret: str = field(default="", repr=False)

    # Server metadata, RFC 8414
    issuer: str = ""
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    revocation_endpoint: str = ""
    userinfo_endpoint: str = ""
    jwks_uri: str = ""
    authorization_response_iss_parameter_supported: bool = False

    # Client metadata, RFC 7591
    token_endpoint_auth_method: str = ""
    """client_secret_basic, client_secret_post or none; "" means basic with a secret, else none."""
    scope: tuple[str, ...] = ()
    """Asked for at connect unless the caller names others."""
    redirect_uris: tuple[str, ...] = ()
    """The first one is used instead of the callback's address as the request shows it (proxies)."""
    label: str = ""
    """What users read; "" means the name with a capital."""

    # Differences in the authorization request
    scope_separator: str = " "
    """Slack, Shopify and some 20 more want commas."""
    scope_parameter: str = "scope"
    """Slack: "user_scope" asks for a user's token instead of a bot's."""
    pkce: bool = True
    """False for the providers that refuse code_challenge (RFC 7636)."""
    authorization_params: Mapping[str, str] = field(default_factory=dict)
    """Google: access_type=offline and prompt=consent, or there is no refresh token."""

    # Differences in token requests
    token_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    refresh_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    refresh_scope: bool = False
    """Microsoft wants the scopes on refresh as well."""
    refresh_endpoint: str = ""
    token_body: Literal["form", "json"] = "form"
    """Notion and TikTok want JSON."""
    token_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """GitHub answers form-encoded unless told Accept: application/json."""
    user_agent: str = ""
    """Reddit answers 429 to agents it does not know."""

    # Differences in token answers
    token_path: str = ""
    """Dotted path of the object that holds the token, where present. Slack: "authed_user"."""
    error_path: str = "error"
    """Dotted path of the error code. Facebook: "error.code"."""
    expires_in_field: str = "expires_in"
    refresh_token_expires_in_field: str = ""
    """"" tries refresh_token_expires_in and refresh_expires_in."""
    default_expires_in: float | Literal["default"] | None = "default"
    """For an answer that does not say; None: does not expire. "default": DEFAULT_EXPIRES_IN."""
    zero_expires_in: Literal["never", "unknown"] = "unknown"
    """What ``expires_in: 0`` means. Mailchimp: never."""
    metadata_fields: tuple[str, ...] = ()
    """Fields of the answer worth keeping in ``extra``. Salesforce: instance_url."""

    # Lifetime of a grant
    refresh_token_rotation: Literal["none", "grace", "strict"] = "strict"
    """none: an old refresh token stays good; grace: for ``rotation_grace``; strict: not at all."""
    rotation_grace: float = 0
    refresh_token_lifetime: float | None = None
    """Known absolute life of a refresh token that the answers do not tell."""
    refresh_token_idle_lifetime: float | None = None
    """Google: 180 days without use."""
    refresh_policy: Literal["ahead", "on_demand", "keep_alive"] = "ahead"
    """ahead: before each expiry. on_demand: when a caller needs it. keep_alive: on demand, and
    before the refresh token dies of idleness."""
    revocation_revokes_siblings: bool = False
    """Google revokes everything that user and client share, so a late token is not revoked once the
    user has connected again."""

    # Meanings of errors: "code", "status:code" or "field=value"
    dead_grant_errors: tuple[str, ...] = ()
    """Beyond invalid_grant. GitHub: bad_refresh_token with status 200."""
    operator_errors: tuple[str, ...] = ()
    transient_errors: tuple[str, ...] = ()
    """Codes that look final, but are not."""
    unauthorized_statuses: tuple[int, ...] = (401,)
    """What the API answers for a dead access token."""

    # Who it is
    account_id_from: str = ""
    """"id_token.sub", "response.team.id" or "userinfo.id"; "" where one account is enough."""
    account_label_from: str = ""

    @property
    def display_name(self) -> str:
        """What users read."""
        return self.label or self.name.replace("_", " ").capitalize()

    @property
    def auth_method(self) -> str:
        """The client authentication in use (RFC 6749 section 2.3)."""
        if self.token_endpoint_auth_method:
            return self.token_endpoint_auth_method
        return "client_secret_basic" if self.client_secret else "none"

    # Requests

    def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        scope: Iterable[str],
        code_verifier: str | None = None,
        nonce: str | None = None,
    ) -> str:
        """Where to send the user (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
        from oauthlib.common import add_params_to_uri
        from oauthlib.oauth2.rfc6749.clients.base import Client

        # Not oauthlib's prepare_request_uri(), which refuses http on loopback, too.
        params: dict[str, str] = {
            **self.authorization_params,
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "state": state,
        }
        wanted = self.scope_separator.join(scope)
        if wanted:
            params[self.scope_parameter] = wanted
        if code_verifier:
            challenge = Client(self.client_id).create_code_challenge(code_verifier, "S256")
            params["code_challenge"] = challenge
            params["code_challenge_method"] = "S256"
        if nonce:
            params["nonce"] = nonce
        url: str = add_params_to_uri(self._endpoint("authorization_endpoint"), list(params.items()))
        return url

    def exchange_request(
        self, *, code: str, redirect_uri: str, code_verifier: str | None = None
    ) -> Request:
        """Authorization code for tokens (RFC 6749 section 4.1.3)."""
        params = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            **self.token_params,
        }
        if code_verifier:
            params["code_verifier"] = code_verifier
        return self._token_request(self._endpoint("token_endpoint"), params)

    def refresh_request(self, *, refresh_token: str, scope: Iterable[str] = ()) -> Request:
        """Refresh token for tokens (RFC 6749 section 6)."""
        params = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            **self.refresh_params,
        }
        wanted = self.scope_separator.join(scope)
        if self.refresh_scope and wanted:
            params["scope"] = wanted
        return self._token_request(
            self.refresh_endpoint or self._endpoint("token_endpoint"), params
        )

    def revocation_request(self, *, token: str, token_type_hint: str) -> Request | None:
        """Give a token back (RFC 7009 section 2.1); None where that is not offered."""
        if not self.revocation_endpoint:
            return None
        headers = self._headers({"Content-Type": FORM})
        params = {"token": token, "token_type_hint": token_type_hint}
        body = urlencode(self._authenticate(params, headers))
        return Request("POST", self.revocation_endpoint, headers, body)

    def userinfo_request(self, *, access_token: str) -> Request:
        """Who granted it (OpenID Connect Core section 5.3.1)."""
        return Request(
            "GET",
            self._endpoint("userinfo_endpoint"),
            self._headers({"Authorization": f"Bearer {access_token}"}),
        )

    def _token_request(self, url: str, params: dict[str, str]) -> Request:
        from oauthlib.oauth2.rfc6749.parameters import prepare_token_request

        headers = self._headers(self.token_headers)
        fields: dict[str, Any] = self._authenticate(params, headers)
        if self.token_body == "json":
            headers["Content-Type"] = "application/json"
            return Request("POST", url, headers, json.dumps(fields))
        headers["Content-Type"] = FORM
        return Request("POST", url, headers, prepare_token_request(**fields))

    def _authenticate(self, params: dict[str, str], headers: dict[str, str]) -> dict[str, str]:
        """``params`` with what the client authentication adds (RFC 6749 section 2.3.1)."""
        if self.auth_method == "client_secret_basic":
            # Both are form-encoded before they are joined.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
            return params
        params = {**params, "client_id": self.client_id}
        if self.auth_method == "client_secret_post":
            params["client_secret"] = self.client_secret
        return params

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        agent = self.user_agent or "django-user-oauth-tokens"
        # identity: a body cap means little if a small body may unpack to a large one.
        defaults = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": agent,
        }
        return {**defaults, **more}

    def _endpoint(self, key: str) -> str:
        url: str = getattr(self, key)
        if not url:
            raise ProviderMisconfigured(
                f"Provider {self.name!r} has no {key}. Set it, or an issuer whose metadata has it.",
                code="missing_endpoint",
                provider=self.name,
            )
        return url

    # Answers

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
                return Answer(Meaning.OUTCOME_UNKNOWN, code=error.code, description=str(error))
        meaning = self._meaning(response.status, code, body)
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

    def _meaning(self, status: int, code: str, body: Mapping[str, Any]) -> Meaning:
        for meaning, patterns in (
            (Meaning.TRANSIENT, self.transient_errors),
            (Meaning.DEAD_GRANT, self.dead_grant_errors),
            (Meaning.OPERATOR_ERROR, self.operator_errors),
        ):
            if any(matches(pattern, status, code, body) for pattern in patterns):
                return meaning
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

    def _error(self, body: Mapping[str, Any], secrets: Iterable[str]) -> tuple[str, str]:
        found = lookup(body, self.error_path)
        if isinstance(found, dict):
            found = found.get("code") or found.get("type") or "error"
        code = "" if found in (None, False) else str(found)
        description = body.get("error_description") or body.get("message") or ""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        hidden = [secret for secret in (*secrets, self.client_secret, pair) if secret]
        return clean(code, hidden, 64), clean(str(description), hidden, 250)

    def parse_token_response(self, body: Mapping[str, Any]) -> TokenSet:
        """Read a successful token response (RFC 6749 section 5.1).

        Raises:
            InvalidTokenResponse: there is no access token in it.
        """
        nested = lookup(body, self.token_path) if self.token_path else None
        token = nested if isinstance(nested, dict) and "access_token" in nested else body
        if not is_token(token.get("access_token")):
            raise InvalidTokenResponse(
                f"The answer of provider {self.name!r} has no access_token. Check token_endpoint "
                "and token_path.",
                provider=self.name,
            )
        refresh_token, id_token = token.get("refresh_token"), token.get("id_token")
        id_token = id_token or body.get("id_token")
        token_type = clean(str(token.get("token_type") or "Bearer"), (), 64)
        return TokenSet(
            access_token=token["access_token"],
            # RFC 6749 section 5.1: case insensitive; APIs are pickier about the header.
            token_type="Bearer" if token_type.lower() == "bearer" else token_type,
            # What cannot be one is as good as absent: the earlier one stays in use.
            refresh_token=refresh_token if is_token(refresh_token) else None,
            expires_in=self._expires_in(token),
            refresh_token_expires_in=self._refresh_token_expires_in(token),
            scope=parse_scope(token.get("scope"), self.scope_separator),
            id_token=id_token if is_token(id_token) else None,
            extra={
                key: storable(value)
                for key in self.metadata_fields
                if (value := lookup(body, key)) is not None
            },
        )

    def _expires_in(self, token: Mapping[str, Any]) -> float | None:
        seconds = parse_seconds(token.get(self.expires_in_field))
        if seconds:
            return seconds
        if seconds == 0 and self.zero_expires_in == "never":
            return None
        if self.default_expires_in == "default":
            from ..conf import get_settings

            return get_settings().DEFAULT_EXPIRES_IN
        return self.default_expires_in

    def _refresh_token_expires_in(self, token: Mapping[str, Any]) -> float | None:
        keys = (
            [self.refresh_token_expires_in_field]
            if self.refresh_token_expires_in_field
            else ["refresh_token_expires_in", "refresh_expires_in"]
        )
        for key in keys:
            seconds = parse_seconds(token.get(key))
            # 0 is an offline token without end (Keycloak).
            if seconds is not None:
                return seconds or None
        return self.refresh_token_lifetime if is_token(token.get("refresh_token")) else None
