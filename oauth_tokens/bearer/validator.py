"""From the Authorization header to a verified access token, or to the error that says why not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from .. import jwks
from ..providers.wire import is_secure_url
from .errors import BearerError, invalid_token
from .introspection import Introspection
from .keys import import_public_key
from .tokens import Bearer, Expectations, check_kind

#: Characters of the longest token that is looked at.
MAX_TOKEN = jwks.MAX_JWT
# RFC 6750 section 2.1.
_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# RFC 6749 section 3.3; RFC 9110 section 5.6.4 without what would need a backslash.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_REALM = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")


class Validator:
    """Verifies access tokens of one issuer for one API.

    Keys come from ``public_key``, ``jwks_uri`` or the metadata of ``issuer``, in this order. With
    an ``introspection_endpoint`` and neither of the first two, the issuer is asked about each
    token; with one of them, only about tokens that are no JWTs.

    Arguments:
        issuer: what ``iss`` must be (RFC 9068 section 4).
        audience: what ``aud`` must name: this API's identifier, or several. Where an introspection
            endpoint tells no ``aud``, there is nothing to compare: demand a scope that only this
            API has, as every active token of the issuer is accepted otherwise.
        jwks_uri: address of the issuer's key set; https, or http on loopback.
        public_key: PEM, JWK or JWK Set of the issuer, instead of an address.
        algorithms: signature algorithms that are accepted; asymmetric ones only.
        require_at_jwt: take JWTs marked as RFC 9068 wants it and no others.
        introspection_endpoint: where to ask about opaque tokens (RFC 7662).
        client_id, client_secret: of this API at the introspection endpoint.
        introspection_cache: seconds for which its answers are used again; 0 asks each time.
        realm: names the API in challenges.
        leeway: seconds by which clocks may differ.
        timeout: seconds that one request to the issuer may take.

    Raises:
        ImproperlyConfigured: naming the argument and the fix.
    """

    def __init__(
        self,
        *,
        issuer: str = "",
        audience: str | Iterable[str] = (),
        jwks_uri: str = "",
        public_key: str | bytes | Mapping[str, Any] | None = None,
        algorithms: Iterable[str] = ("RS256", "PS256", "ES256"),
        require_at_jwt: bool = False,
        introspection_endpoint: str = "",
        client_id: str = "",
        client_secret: str = "",
        introspection_cache: float = 0,
        realm: str = "api",
        leeway: float = 30,
        timeout: float = 5,
    ) -> None:
        self.issuer = issuer
        self.realm = realm
        self.jwks_uri = jwks_uri
        self.algorithms = frozenset((algorithms,) if isinstance(algorithms, str) else algorithms)
        self.require_at_jwt = require_at_jwt
        self.timeout = timeout
        accepted = frozenset((audience,) if isinstance(audience, str) and audience else audience)
        self._keys: tuple[jwks.Key, ...] = ()
        self._introspection: Introspection | None = None
        self._by_jwt = bool(jwks_uri or public_key) or not introspection_endpoint
        self._claims_of_jwt = Expectations(issuer, accepted, leeway)
        self._claims_of_opaque = Expectations(issuer, accepted, leeway, complete=False)
        if not _REALM.fullmatch(realm):
            raise ImproperlyConfigured("realm must be printable ASCII without quotes.")
        given: dict[str, Any] = {
            "introspection_cache": introspection_cache,
            "leeway": leeway,
            "timeout": timeout,
        }
        for name, seconds in given.items():
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
                raise ImproperlyConfigured(f"{name} must be a number of seconds, not {seconds!r}.")
        for name, url in (
            ("jwks_uri", jwks_uri),
            ("introspection_endpoint", introspection_endpoint),
        ):
            if url and not is_secure_url(url):
                raise ImproperlyConfigured(f"{name} must be an https address, or http on loopback.")
        if self._by_jwt:
            self._prepare_keys(public_key)
        if introspection_endpoint:
            if not client_id or not client_secret:
                raise ImproperlyConfigured(
                    "introspection_endpoint needs client_id and client_secret (RFC 7662 section "
                    "2.1): register this API with the issuer."
                )
            self._introspection = Introspection(
                introspection_endpoint, client_id, client_secret, timeout, introspection_cache
            )

    def _prepare_keys(self, public_key: str | bytes | Mapping[str, Any] | None) -> None:
        given = {"issuer": self.issuer, "audience": self._claims_of_jwt.audience}
        missing = " and ".join(name for name, value in given.items() if not value)
        if missing:
            raise ImproperlyConfigured(
                f"JWTs need issuer and audience, and there is no {missing}: give what the issuer "
                "calls itself, and what it calls this API. A token of anybody or for anybody is "
                "nobody's. Opaque tokens need introspection_endpoint instead."
            )
        try:
            jwks.pinned(self.algorithms)
            if public_key:
                self._keys = import_public_key(public_key)
        except ImportError as error:
            raise ImproperlyConfigured(
                'JWTs need joserfc: pip install "django-user-oauth-tokens[bearer]".'
            ) from error
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None
        if not public_key and not self.jwks_uri and not is_secure_url(self.issuer):
            raise ImproperlyConfigured(
                "issuer is no https address to get the keys from: give jwks_uri or public_key."
            )

    @sensitive_variables()
    def authenticate(self, request: HttpRequest) -> Bearer:
        """The verified token of ``request``, out of its Authorization header and nowhere else.

        Raises:
            BearerError: there is none, or it is not valid here and now.
        """
        return self.check(read_token(request))

    @sensitive_variables()
    def check(self, token: str) -> Bearer:
        """The verified ``token``. See authenticate()."""
        if len(token) > MAX_TOKEN:
            raise invalid_token("The token is too long.")
        if self._introspection and not (self._by_jwt and token.count(".") == 2):
            claims = self._introspection.ask(token)
            check_kind("", claims)
            return self._claims_of_opaque.judge(claims)
        try:
            header, claims = jwks.verify(token, self._find_keys, algorithms=self.algorithms)
        except jwks.InvalidJWT as error:
            raise invalid_token(str(error)) from None
        except jwks.KeysUnavailable as error:
            raise BearerError(
                "temporarily_unavailable",
                "The token cannot be checked at the moment.",
                retry_after=error.retry_after,
            ) from None
        check_kind(str(header.get("typ", "")), claims, strict=self.require_at_jwt)
        return self._claims_of_jwt.judge(claims)

    def _find_keys(self, kid: str | None) -> tuple[jwks.Key, ...]:
        if self._keys:
            return self._keys
        uri = self.jwks_uri or jwks.find_jwks_uri(self.issuer, timeout=self.timeout)
        return jwks.find_keys(uri, kid, timeout=self.timeout)


@sensitive_variables()
def read_token(request: HttpRequest) -> str:
    """The token of the Authorization header (RFC 6750 section 2.1).

    In a form or a query it is not looked for: the RFC advises against the first, and RFC 9700
    section 2.4 forbids the second, which ends up in logs.

    Raises:
        BearerError: there is none, it is malformed, or a second one is in the query.
    """
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise BearerError("", "Send an access token: Authorization: Bearer <token>.")
    token = rest.strip(" ")
    if not _B64TOKEN.fullmatch(token):
        raise BearerError("invalid_request", "The Authorization header is malformed.")
    if "access_token" in request.GET:
        raise BearerError("invalid_request", "Send the token in the Authorization header alone.")
    return token


def parse_scopes(scopes: str | Iterable[str]) -> frozenset[str]:
    """Scopes that a view asks for.

    Raises:
        ImproperlyConfigured: one is not what RFC 6749 section 3.3 calls a scope.
    """
    wanted = frozenset(scopes.split() if isinstance(scopes, str) else scopes)
    for scope in wanted:
        if not _SCOPE.fullmatch(scope):
            raise ImproperlyConfigured(f"{scope!r} is no scope: no spaces, quotes or backslashes.")
    return wanted
