"""What is sent to a provider, built without any I/O."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.wire import Request

CALLBACK = "https://site.example/cb"


def provider(**differences: Any) -> Provider:
    return Provider(
        **{
            "name": "acme",
            "client_id": "client:1",
            "client_secret": "s+c r%t",
            "authorization_endpoint": "https://acme.example/authorize?tenant=7",
            "token_endpoint": "https://acme.example/token",
            "revocation_endpoint": "https://acme.example/revoke",
            **differences,
        }
    )


def form(request: Request | None) -> dict[str, str]:
    assert request is not None
    return {name: value[0] for name, value in parse_qs(request.body or "").items()}


def authorization(given: Provider, **arguments: Any) -> dict[str, str]:
    defaults = {
        "redirect_uri": CALLBACK,
        "state": "st",
        "scope": ["read", "write"],
    }
    url = urlsplit(given.authorization_url(**{**defaults, **arguments}))
    return {name: value[0] for name, value in parse_qs(url.query).items()}


def test_the_authorization_request() -> None:
    verifier = "v" * 64
    digest = hashlib.sha256(verifier.encode()).digest()
    assert authorization(provider(), code_verifier=verifier) == {
        "tenant": "7",
        "response_type": "code",
        "client_id": "client:1",
        "redirect_uri": CALLBACK,
        "state": "st",
        "scope": "read write",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }


def test_differences_in_the_authorization_request() -> None:
    given = provider(
        scope_separator=",",
        scope_parameter="user_scope",
        authorization_params={"access_type": "offline"},
    )
    query = authorization(given)
    assert query["user_scope"] == "read,write"
    assert query["access_type"] == "offline"
    assert not {"scope", "code_challenge"} & set(query)


def test_the_secret_never_enters_the_authorization_request() -> None:
    assert "s+c" not in str(authorization(provider()))


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


def test_the_refresh_request_goes_where_the_provider_wants_it() -> None:
    given = provider(
        refresh_endpoint="https://acme.example/refresh",
        refresh_params={"device": "d"},
        refresh_scope=True,
        token_headers={"X-Api": "2"},
        user_agent="site/1.0",
    )
    request = given.refresh_request(refresh_token="rt", scope=["a", "b"])
    assert (request.method, request.url) == ("POST", "https://acme.example/refresh")
    assert form(request)["scope"] == "a b"
    assert form(request)["device"] == "d"
    assert request.headers["X-Api"] == "2"
    assert request.headers["User-Agent"] == "site/1.0"
    assert "scope" not in form(provider().refresh_request(refresh_token="rt", scope=["a"]))


def test_a_json_body_where_the_provider_wants_one() -> None:
    given = provider(token_body="json")
    request = given.exchange_request(code="c", redirect_uri=CALLBACK)
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body or "")["code"] == "c"
    revocation = given.revocation_request(token="t", token_type_hint="refresh_token")
    assert form(revocation) == {"token": "t", "token_type_hint": "refresh_token"}


def test_the_exchange_request_proves_possession_of_the_verifier() -> None:
    request = provider(token_params={"audience": "api"}).exchange_request(
        code="c", redirect_uri=CALLBACK, code_verifier="v"
    )
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": CALLBACK,
        "code_verifier": "v",
        "audience": "api",
    }


def test_without_a_revocation_endpoint_there_is_no_request() -> None:
    request = provider(revocation_endpoint="").revocation_request(token="t", token_type_hint="x")
    assert request is None


def test_a_missing_endpoint_is_the_operators_fault() -> None:
    with pytest.raises(ProviderMisconfigured, match="userinfo_endpoint"):
        provider().userinfo_request(access_token="at")


def test_requests_show_no_secret() -> None:
    request = provider(token_endpoint_auth_method="client_secret_post").refresh_request(
        refresh_token="rt-secret"
    )
    assert "rt-secret" not in repr(request)
    assert "s+c" not in repr(request)
