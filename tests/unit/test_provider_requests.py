"""What is sent to a provider, built without any I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.wire import Request
from tests.support.described import CALLBACK, form, provider


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
    assert json.loads(request.body or "") == {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": CALLBACK,
    }
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


# Names and methods of their own


def query(request: Request | None) -> dict[str, str]:
    assert request is not None
    return {name: value[0] for name, value in parse_qs(urlsplit(request.url).query).items()}


TIKTOK = {
    "token_endpoint_auth_method": "client_secret_post",
    "client_id": "key",
    "client_secret": "secret",
    "authorization_parameter_names": {"client_id": "client_key"},
    "token_parameter_names": {"client_id": "client_key", "redirect_uri": ""},
}


def test_parameters_under_the_providers_own_names() -> None:
    given = provider(**TIKTOK)
    query_sent = authorization(given)
    assert query_sent["client_key"] == "key"
    assert "client_id" not in query_sent
    assert form(given.exchange_request(code="c", redirect_uri=CALLBACK)) == {
        "grant_type": "authorization_code",
        "code": "c",
        "client_key": "key",
        "client_secret": "secret",
    }
    assert form(given.revocation_request(token="t", token_type_hint="x"))["client_key"] == "key"


def test_an_access_token_that_is_exchanged_for_a_newer_one_by_get() -> None:
    given = provider(
        token_endpoint_auth_method="client_secret_post",
        client_id="id",
        client_secret="secret",
        refresh_method="GET",
        refresh_grant_type="ig_refresh_token",
        refresh_endpoint="https://acme.example/refresh?v=1",
        refresh_parameter_names={
            "refresh_token": "access_token",
            "client_id": "",
            "client_secret": "",
        },
        long_lived_endpoint="https://acme.example/long",
        long_lived_grant_type="ig_exchange_token",
    )
    refresh = given.refresh_request(refresh_token="at")
    assert (refresh.method, refresh.body) == ("GET", None)
    assert query(refresh) == {"v": "1", "grant_type": "ig_refresh_token", "access_token": "at"}
    longer = given.long_lived_request(access_token="at")
    assert query(longer) == {
        "grant_type": "ig_exchange_token",
        "access_token": "at",
        "client_id": "id",
        "client_secret": "secret",
    }
    assert given.exchange_request(code="c", redirect_uri=CALLBACK).method == "POST"
    assert provider().long_lived_request(access_token="at") is None


def test_parameters_filled_with_what_is_kept() -> None:
    given = provider(
        token_params={"device_id": "{device_id}", "client": "{client_id}", "at": "{region}"},
        refresh_params={"device_id": "{device_id}", "team": "{team.id}", "claims": '{"a": {}}'},
    )
    known = {"device_id": "d1", "client_id": "forged", "url_variables": {"region": "eu"}}
    exchanged = form(given.exchange_request(code="c", redirect_uri=CALLBACK, known=known))
    assert (exchanged["device_id"], exchanged["at"]) == ("d1", "eu")
    assert exchanged["client"] == "client:1"
    refreshed = form(given.refresh_request(refresh_token="rt", known={"team.id": 7}))
    assert "device_id" not in refreshed
    assert (refreshed["team"], refreshed["claims"]) == ("7", '{"a": {}}')


def test_resources_are_named_in_every_request() -> None:
    apis = ("https://a.example", "https://b.example")
    given = provider(resource=apis)
    url = given.authorization_url(redirect_uri=CALLBACK, state="s", scope=[])
    assert parse_qs(urlsplit(url).query)["resource"] == list(apis)
    for request in (
        given.exchange_request(code="c", redirect_uri=CALLBACK),
        given.refresh_request(refresh_token="rt"),
    ):
        assert parse_qs(request.body)["resource"] == list(apis)
    assert "resource" not in authorization(provider())


@pytest.mark.parametrize(
    ("methods", "challenge", "method"),
    [
        (["plain"], "verifier", "plain"),
        (["plain", "S256"], "iMnq5o6zALKXGivsnlom_0F5_WYda32GHkxlV7mq7hQ", "S256"),
        ([], "iMnq5o6zALKXGivsnlom_0F5_WYda32GHkxlV7mq7hQ", "S256"),
        (["other"], "iMnq5o6zALKXGivsnlom_0F5_WYda32GHkxlV7mq7hQ", "S256"),
    ],
)
def test_plain_challenges_only_where_nothing_else_is_offered(
    methods: list[str], challenge: str, method: str
) -> None:
    given = provider(code_challenge_methods_supported=tuple(methods))
    sent = authorization(given, code_verifier="verifier")
    assert (sent["code_challenge"], sent["code_challenge_method"]) == (challenge, method)


# Giving tokens back


@pytest.mark.parametrize(
    ("differences", "method", "url", "authorization_header", "body"),
    [
        (
            {
                "revocation_endpoint": "https://acme.example/apps/{client_id}/grant",
                "revocation_method": "DELETE",
                "revocation_body": "json",
                "revocation_auth_method": "client_secret_basic",
                "revocation_parameter_names": {"token": "access_token", "token_type_hint": ""},
                "client_id": "id",
                "token_endpoint_auth_method": "client_secret_post",
            },
            "DELETE",
            "https://acme.example/apps/id/grant",
            "Basic",
            '{"access_token": "t/1"}',
        ),
        (
            {"revocation_auth_method": "bearer", "revocation_body": "none"},
            "POST",
            "https://acme.example/revoke",
            "Bearer t/1",
            None,
        ),
        (
            {
                "revocation_endpoint": "https://acme.example/tokens/{token}",
                "revocation_method": "DELETE",
                "revocation_body": "none",
                "revocation_auth_method": "none",
            },
            "DELETE",
            "https://acme.example/tokens/t%2F1",
            "",
            None,
        ),
    ],
    ids=["github", "slack", "hubspot"],
)
def test_revocation_in_other_forms(
    differences: dict[str, str], method: str, url: str, authorization_header: str, body: str | None
) -> None:
    request = provider(**differences).revocation_request(
        token="t/1", token_type_hint="access_token"
    )
    assert request is not None
    assert (request.method, request.url, request.body) == (method, url, body)
    assert request.headers.get("Authorization", "").startswith(authorization_header)
    assert ("Authorization" in request.headers) == bool(authorization_header)


def test_the_kind_of_token_that_can_be_revoked() -> None:
    assert provider().token_to_revoke("at", "rt") == ("rt", "refresh_token")
    assert provider().token_to_revoke("at", None) == ("at", "access_token")
    github = provider(revocation_token="access_token")
    assert github.token_to_revoke("at", "rt") == ("at", "access_token")
    assert github.revocation_request(token="rt", token_type_hint="refresh_token") is None
    hubspot = provider(revocation_token="refresh_token")
    assert hubspot.revocation_request(token="at", token_type_hint="access_token") is None
    facebook = provider(refresh_with="access_token", revocation_token="access_token")
    assert form(facebook.revocation_request(token="at", token_type_hint="refresh_token")) == {
        "token": "at",
        "token_type_hint": "access_token",
    }


def test_no_repr_shows_a_secret() -> None:
    given = provider(
        refresh_method="GET",
        token_endpoint_auth_method="client_secret_post",
        token_headers={"X-Key": "header-secret"},
        previous_clients=({"client_id": "old", "client_secret": "old-secret"},),
    )
    text = repr(given) + repr(given.refresh_request(refresh_token="rt-secret"))
    assert "acme" in text
    assert "secret" not in text
    assert "s+c" not in text


def test_addresses_that_are_a_little_odd() -> None:
    given = provider(
        client_id="a/1",
        authorization_endpoint="https://acme.example/partners/{client_id}#/oauth/authorize",
        token_endpoint="https://acme.example/{client_id}/token",
    )
    url = given.authorization_url(redirect_uri=CALLBACK, state="s", scope=[])
    assert url.startswith(
        "https://acme.example/partners/a%2F1#/oauth/authorize?response_type=code&"
    )
    request = given.refresh_request(refresh_token="rt")
    assert request.url == "https://acme.example/a%2F1/token"


def test_authorization_parameters_of_the_connection() -> None:
    given = provider(
        authorization_params={"context": "stores/{store}", "nonce": "{random}", "x": "{unknown}"}
    )
    first = authorization(given, known={"url_variables": {"store": "7"}})
    assert first["context"] == "stores/7"
    assert len(first["nonce"]) >= 16
    assert first["nonce"] != authorization(given)["nonce"]
    assert "x" not in first


def test_no_traceback_shows_what_a_request_is_made_of() -> None:
    try:
        provider(token_endpoint="").refresh_request(refresh_token="rt-secret")
    except ProviderMisconfigured:
        reporter = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info())
    frames = {frame["function"]: str(frame["vars"]) for frame in reporter.get_traceback_frames()}
    assert {"refresh_request", "_endpoint", "sensitive_variables_wrapper"} <= set(frames)
    assert "rt-secret" not in str(frames)
    assert "s+c r%t" not in str(frames)
