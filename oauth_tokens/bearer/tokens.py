"""Who an access token speaks for, and whether its claims hold here and now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from .errors import BearerError, invalid_token

#: Claims that only id_tokens have (OpenID Connect Core section 2).
_OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})
#: How Keycloak ("typ"), Cognito and Ory Hydra ("token_use") mark access tokens among others.
_ACCESS_TOKEN = frozenset({"bearer", "access", "access_token"})
_LAST_SECOND = 253402300799  # of the year 9999


@dataclass(frozen=True, slots=True)
class Bearer:
    """A verified access token, as ``request.bearer``. The token itself stays in the request.

    Arguments:
        subject: ``sub``: the user, or the client where it acts for itself; "" where not told.
        scopes: granted scopes, from ``scope`` (RFC 9068, RFC 7662) or ``scp`` (Okta, Entra ID).
        client_id: who the token was issued to: ``client_id``, ``azp`` or ``cid``; "" if not told.
        expires_at: aware, or None where an introspection endpoint does not tell.
        claims: everything that the issuer says, read-only: ``dict(claims)`` gives a copy.
    """

    subject: str
    scopes: frozenset[str]
    client_id: str
    expires_at: datetime | None
    claims: Mapping[str, Any] = field(repr=False)

    def require(self, scopes: frozenset[str]) -> None:
        """Raise the error ``insufficient_scope`` unless all of ``scopes`` were granted."""
        if not scopes <= self.scopes:
            raise BearerError(
                "insufficient_scope",
                "The token was not granted all scopes that this needs.",
                {"scope": " ".join(sorted(scopes))},
            )


@dataclass(frozen=True, slots=True)
class Expectations:
    """What claims are held against.

    Arguments:
        issuer: ``iss`` must be equal; "" for any.
        audience: ``aud`` must name one of these; empty for any.
        leeway: seconds by which clocks may differ.
        complete: ``iss``, ``aud`` and ``exp`` must be there, as in a JWT; what an introspection
            endpoint says has been judged by the issuer already.
    """

    issuer: str
    audience: frozenset[str]
    leeway: float
    complete: bool = True

    def judge(self, claims: Mapping[str, Any]) -> Bearer:
        """The token that ``claims`` describe.

        Raises:
            BearerError: ``invalid_token``, with ``expired_at`` or ``not_before`` where it is time.
        """
        self._judge_parties(claims)
        expires = self._judge_time(claims)
        return Bearer(
            subject=_text(claims, "sub"),
            scopes=_scopes(claims),
            client_id=_text(claims, "client_id") or _text(claims, "azp") or _text(claims, "cid"),
            expires_at=None if expires is None else datetime.fromtimestamp(expires, UTC),
            claims=MappingProxyType(claims),
        )

    def _judge_parties(self, claims: Mapping[str, Any]) -> None:
        if self._demands("iss", claims) and self.issuer and claims.get("iss") != self.issuer:
            raise invalid_token("The token is from another issuer.")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if self._demands("aud", claims) and self.audience and not self.audience & _texts(named):
            raise invalid_token("The token is for another audience.")
        if "cnf" in claims:
            # RFC 8705, RFC 9449: worth nothing without a proof that this does not ask for.
            raise invalid_token("The token is bound to a key; only bearer tokens are taken here.")
        if not isinstance(claims.get("sub"), (str, type(None))):
            # RFC 7519 section 4.1.2. To take it for none would make one user of several.
            raise invalid_token("The subject of the token is no text.")

    def _judge_time(self, claims: Mapping[str, Any]) -> float | None:
        now = time.time()
        expires, not_before = _seconds(claims, "exp"), _seconds(claims, "nbf")
        issued = _seconds(claims, "iat")
        if expires is None and self.complete:
            raise invalid_token("The token does not say when it expires.")
        if expires is not None and now >= expires + self.leeway:
            raise invalid_token("The token has expired.", expired_at=_iso(expires))
        if not_before is not None and now < not_before - self.leeway:
            raise invalid_token("The token is not valid yet.", not_before=_iso(not_before))
        if issued is not None and now < issued - self.leeway:
            raise invalid_token("The token was issued in the future.")
        return expires

    def _demands(self, name: str, claims: Mapping[str, Any]) -> bool:
        return self.complete or claims.get(name) is not None


def check_kind(typ: str, claims: Mapping[str, Any], *, strict: bool = False) -> None:
    """Tell an access token from an id_token or whatever else the issuer signs.

    RFC 9068 marks access tokens with the ``typ`` "at+jwt". Many issuers don't follow it: "JWT" or
    no ``typ`` is accepted as well, unless ``strict``, if nothing in the claims says otherwise. What
    is left, an id_token without nonce or hashes, is kept out by its audience alone, which is the
    client and not this API.

    Raises:
        BearerError: ``invalid_token``.
    """
    typ = typ.lower().removeprefix("application/")
    if typ == "at+jwt":
        return
    kind = str(claims.get("typ") or claims.get("token_use") or "").lower()
    marked = kind in _ACCESS_TOKEN
    alien = bool(kind) or not claims.keys().isdisjoint(_OF_ID_TOKENS)
    if strict or typ not in ("", "jwt") or (alien and not marked):
        raise invalid_token("The token is not an access token.")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= _LAST_SECOND:
        raise invalid_token(f"The claim {name} of the token is no date.")
    return float(value)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _texts(values: list[Any]) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str))


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("scope") or claims.get("scp") or ""
    values = value.split() if isinstance(value, str) else value
    return _texts(values if isinstance(values, list) else [])
