"""The requests that a provider is sent. Built, never sent here."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from django.views.decorators.debug import sensitive_variables

from ..exceptions import ProviderMisconfigured
from .description import Description
from .variables import PLACEHOLDER, fill
from .wire import FORM, Request

#: Parameter name to its value, or to several.
_Params = dict[str, Any]


class Requests(Description):
    """Builds the requests to a provider out of its description."""

    def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        scope: Iterable[str],
        code_verifier: str | None = None,
        nonce: str | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> str:
        """Where to send the user (RFC 6749 section 4.1.1, RFC 7636 section 4.3, RFC 8707).

        Arguments:
            known: what is known of this connection: the variables of its addresses.
        """
        params: _Params = {
            "response_type": "code",
            "resource": list(self.resource),
            **self._filled(
                self.authorization_params, {**(known or {}), "redirect_uri": redirect_uri}
            ),
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "state": state,
        }
        wanted = self.scope_separator.join(scope)
        if wanted:
            params[self.scope_parameter] = wanted
        if code_verifier:
            method = self.code_challenge_method
            params["code_challenge"] = _challenge(code_verifier, method)
            params["code_challenge_method"] = method
        if nonce:
            params["nonce"] = nonce
        named = _renamed(params, self.authorization_parameter_names)
        return _with_query(self._endpoint("authorization_endpoint"), named)

    @property
    def code_challenge_method(self) -> str:
        """S256, unless the provider says that it supports plain alone (RFC 7636 section 4.2)."""
        methods = self.code_challenge_methods_supported
        return "plain" if "plain" in methods and "S256" not in methods else "S256"

    @sensitive_variables()
    def exchange_request(
        self,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str | None = None,
        known: Mapping[str, Any] | None = None,
    ) -> Request:
        """Authorization code for tokens (RFC 6749 section 4.1.3).

        Arguments:
            known: what is kept of this connection: of the redirect, of the addresses.
        """
        params = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "resource": list(self.resource),
            **self._filled(self.token_params, {**(known or {}), "redirect_uri": redirect_uri}),
        }
        if code_verifier:
            params["code_verifier"] = code_verifier
        url = self._endpoint("token_endpoint")
        return self._token_request(self.token_method, url, params, self.token_parameter_names)

    @sensitive_variables()
    def long_lived_request(self, *, access_token: str) -> Request | None:
        """A token of an hour for one of months; None where the first one is what there is."""
        if not self.long_lived_endpoint:
            return None
        url = self._endpoint("long_lived_endpoint")
        params = {"grant_type": self.long_lived_grant_type, "refresh_token": access_token}
        # Here they are wanted, also where a refresh leaves them out.
        names = {key: name for key, name in self.refresh_parameter_names.items() if name}
        method = self.refresh_method or self.token_method
        return self._token_request(method, url, params, {**self.token_parameter_names, **names})

    @sensitive_variables()
    def refresh_request(
        self,
        *,
        refresh_token: str,
        scope: Iterable[str] = (),
        known: Mapping[str, Any] | None = None,
    ) -> Request:
        """Refresh token for tokens (RFC 6749 section 6).

        Arguments:
            known: what is kept of this connection, as in ``extra``.
        """
        params = {
            "grant_type": self.refresh_grant_type,
            "refresh_token": refresh_token,
            "resource": list(self.resource),
            **self._filled(self.refresh_params, known or {}),
        }
        wanted = self.scope_separator.join(scope)
        if self.refresh_scope and wanted:
            params["scope"] = wanted
        return self._token_request(
            self.refresh_method or self.token_method,
            self._endpoint("refresh_endpoint" if self.refresh_endpoint else "token_endpoint"),
            params,
            {**self.token_parameter_names, **self.refresh_parameter_names},
        )

    def token_to_revoke(self, access_token: str, refresh_token: str | None) -> tuple[str, str]:
        """The token that ends the grant, and its ``token_type_hint`` (RFC 7009 section 2.1)."""
        if refresh_token and self.revocation_token != "access_token":
            return refresh_token, "refresh_token"
        return access_token, "access_token"

    @sensitive_variables()
    def revocation_request(self, *, token: str, token_type_hint: str) -> Request | None:
        """Give a token back (RFC 7009 section 2.1); None where that is not offered."""
        if self.refresh_with == "access_token":
            token_type_hint = "access_token"
        if not self.revocation_endpoint or self.revocation_token not in ("", token_type_hint):
            return None
        url = fill(self._endpoint("revocation_endpoint"), {"token": quote(token, safe="")})
        headers = self._headers({})
        params: _Params = {"token": token, "token_type_hint": token_type_hint}
        if self.revocation_auth_method == "bearer":
            headers["Authorization"] = f"Bearer {token}"
        else:
            method = self.revocation_auth_method or self.auth_method
            params = self._authenticate(params, headers, method)
        named = _renamed(params, {**self.token_parameter_names, **self.revocation_parameter_names})
        if self.revocation_body == "none":
            return Request(self.revocation_method, url, headers)
        return _sent(self.revocation_method, url, headers, named, self.revocation_body)

    @sensitive_variables()
    def introspection_request(self, *, token: str, token_type_hint: str) -> Request:
        """Ask whether a token is alive (RFC 7662 section 2.1)."""
        headers = self._headers({})
        params = {"token": token, "token_type_hint": token_type_hint}
        authenticated = self._authenticate(params, headers, self.auth_method)
        return _sent("POST", self._endpoint("introspection_endpoint"), headers, authenticated)

    @sensitive_variables()
    def userinfo_request(self, *, access_token: str) -> Request:
        """Who granted it (OpenID Connect Core section 5.3.1)."""
        return Request(
            "GET",
            self._endpoint("userinfo_endpoint"),
            self._headers({"Authorization": f"Bearer {access_token}"}),
        )

    @sensitive_variables()
    def _token_request(
        self, method: str, url: str, params: _Params, names: Mapping[str, str]
    ) -> Request:
        headers = self._headers(self.token_headers)
        authenticated = self._authenticate(params, headers, self.auth_method)
        return _sent(method, url, headers, _renamed(authenticated, names), self.token_body)

    @sensitive_variables()
    def _authenticate(self, params: _Params, headers: dict[str, str], method: str) -> _Params:
        """``params`` with what the client authentication adds (RFC 6749 section 2.3, RFC 7523)."""
        if method == "client_secret_basic":
            credentials = base64.b64encode(self.basic_credentials.encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
            return params
        params = {**params, "client_id": self.client_id}
        if method == "client_secret_post":
            params["client_secret"] = self.client_secret
        elif method == "private_key_jwt":
            from .assertion import CLIENT_ASSERTION_TYPE, client_assertion

            params["client_assertion_type"] = CLIENT_ASSERTION_TYPE
            params["client_assertion"] = client_assertion(
                client_id=self.client_id,
                # Metadata may name the token endpoint of another server: RFC 7523 section 3.
                audience=self.client_assertion_audience
                or self.issuer
                or self._endpoint("token_endpoint"),
                private_key=self.private_key,
                key_id=self.private_key_id,
                algorithm=self.token_endpoint_auth_signing_alg,
            )
        return params

    def _filled(self, params: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, str]:
        """``params`` without those of which a part is not known."""
        values = {**known.get("url_variables", {}), **known, **self.known_values}
        filled = {key: fill(value, values) for key, value in params.items()}
        return {key: value for key, value in filled.items() if not PLACEHOLDER.search(value)}

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
        return fill(url, {"client_id": quote(self.client_id, safe="")})


def _challenge(verifier: str, method: str) -> str:
    if method == "plain":
        return verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _renamed(params: _Params, names: Mapping[str, str]) -> _Params:
    """``params`` under the provider's own names, without those that it does not want."""
    named = {names.get(key, key): value for key, value in params.items()}
    return {key: value for key, value in named.items() if key and value != []}


@sensitive_variables()
def _sent(
    method: str, url: str, headers: dict[str, str], params: _Params, body: str = "form"
) -> Request:
    if method == "GET":
        return Request(method, _with_query(url, params), headers)
    if body == "json":
        return Request(
            method, url, {**headers, "Content-Type": "application/json"}, json.dumps(params)
        )
    return Request(method, url, {**headers, "Content-Type": FORM}, urlencode(params, doseq=True))


def _with_query(url: str, params: _Params) -> str:
    parts = urlsplit(url)
    if parts.fragment:
        # A page that routes by its fragment, against RFC 6749 section 3.1: Apollo.
        return f"{url}{'&' if '?' in parts.fragment else '?'}{urlencode(params, doseq=True)}"
    query = "&".join(part for part in (parts.query, urlencode(params, doseq=True)) if part)
    return urlunsplit(parts._replace(query=query))
