"""How this site proves to a provider who it is (RFC 6749 2.3, RFC 7523 2.2)."""

from __future__ import annotations

import base64
import time

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from oauth_tokens.providers.wire import Request
from tests.support.described import CALLBACK, form, provider


@pytest.mark.parametrize(
    ("method", "secret", "expected", "header"),
    [
        ("client_secret_basic", "s+c r%t", {}, "client%3A1:s%2Bc+r%25t"),
        ("", "s+c r%t", {}, "client%3A1:s%2Bc+r%25t"),
        ("client_secret_post", "s", {"client_id": "client:1", "client_secret": "s"}, None),
        ("none", "", {"client_id": "client:1"}, None),
        ("", "", {"client_id": "client:1"}, None),
    ],
)
def test_client_authentication(
    method: str, secret: str, expected: dict[str, str], header: str | None
) -> None:
    given = provider(token_endpoint_auth_method=method, client_secret=secret)
    request = given.refresh_request(refresh_token="rt")
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "rt", **expected}
    sent = request.headers.get("Authorization")
    assert (base64.b64decode(sent.split()[1]).decode() if sent else None) == header


def test_introspection_authenticates_as_the_token_endpoint_wants_it() -> None:
    given = provider(introspection_endpoint="https://acme.example/introspect")
    request = given.introspection_request(token="t", token_type_hint="access_token")
    assert basic(request) == "client%3A1:s%2Bc+r%25t"
    assert form(request) == {"token": "t", "token_type_hint": "access_token"}


def basic(request: Request) -> str:
    return base64.b64decode(request.headers["Authorization"].split()[1]).decode()


def test_basic_credentials_as_some_want_them() -> None:
    stripe = provider(secret_as_username=True).refresh_request(refresh_token="rt")
    assert basic(stripe) == "s+c r%t:"
    raw = provider(basic_encoding="none").refresh_request(refresh_token="rt")
    assert basic(raw) == "client:1:s+c r%t"


KEYS = {
    "RS256": lambda: RSAKey.generate_key(2048, private=True),
    "PS384": lambda: RSAKey.generate_key(2048, private=True),
    "ES256": lambda: ECKey.generate_key("P-256", private=True),
    "ES384": lambda: ECKey.generate_key("P-384", private=True),
    "ES512": lambda: ECKey.generate_key("P-521", private=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", private=True),
}


@pytest.mark.filterwarnings("ignore:EdDSA")
@pytest.mark.parametrize("algorithm", KEYS)
def test_a_private_key_jwt(algorithm: str) -> None:
    key = KEYS[algorithm]()
    given = provider(
        client_secret="",
        private_key=key.as_pem(private=True).decode(),
        private_key_id="k1",
        token_endpoint_auth_signing_alg=algorithm if algorithm == "PS384" else "",
        introspection_endpoint="https://acme.example/introspect",
    )
    seen = set()
    for request, audience in (
        (given.refresh_request(refresh_token="rt"), "https://acme.example/token"),
        (given.refresh_request(refresh_token="rt"), "https://acme.example/token"),
        (given.exchange_request(code="c", redirect_uri=CALLBACK), "https://acme.example/token"),
        (
            given.revocation_request(token="t", token_type_hint="refresh_token"),
            "https://acme.example/token",
        ),
        (
            given.introspection_request(token="t", token_type_hint="access_token"),
            "https://acme.example/token",
        ),
    ):
        sent = form(request)
        assert "Authorization" not in request.headers
        assert sent["client_id"] == "client:1"
        assert sent["client_assertion_type"].endswith(":jwt-bearer")
        token = jwt.decode(sent["client_assertion"], key, algorithms=[algorithm])
        claims = token.claims
        assert (token.header["alg"], token.header["kid"]) == (algorithm, "k1")
        assert claims["iss"] == claims["sub"] == "client:1"
        assert claims["aud"] == audience
        assert 0 < claims["exp"] - time.time() <= 61
        seen.add(claims["jti"])
    assert len(seen) == 5


@pytest.mark.parametrize("wanted", ["", "https://other.example/token"])
def test_an_assertion_is_for_the_issuer_whatever_its_metadata_says(wanted: str) -> None:
    key = ECKey.generate_key("P-256", private=True)
    given = provider(
        issuer="https://acme.example",
        token_endpoint="https://honest.example/token",
        token_endpoint_auth_method="private_key_jwt",
        private_key=key.as_pem(private=True).decode(),
        client_assertion_audience=wanted,
    )
    sent = form(given.refresh_request(refresh_token="rt"))
    audience = jwt.decode(sent["client_assertion"], key).claims["aud"]
    assert audience == (wanted or "https://acme.example")
    assert "client_secret" not in sent
