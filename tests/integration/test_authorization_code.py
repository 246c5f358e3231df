"""The connect flow: authorization code with PKCE, through the pages that users see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from django.contrib.auth.models import AbstractUser
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from oauth_tokens import OAuthToken
from oauth_tokens.exceptions import scope_signature
from tests.support.provider import Provider

CONNECT = "/oauth/acme/connect/"
CALLBACK = "/oauth/acme/callback/"


@pytest.fixture
def browser(user: AbstractUser, provider: Provider) -> Client:
    """Alice, signed in."""
    client = Client()
    client.force_login(user)
    return client


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def start(browser: Client, **query: str) -> str:
    """Press "connect"; returns the address at the provider."""
    answer = browser.get(CONNECT, query)
    assert answer.status_code == 302, answer.content
    return answer["Location"]


def consent(authorization_url: str) -> str:
    """What the provider redirects to, after the user's consent."""
    answer = requests.get(authorization_url, allow_redirects=False, timeout=5)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def come_back(browser: Client, location: str) -> HttpResponse:
    parts = urlsplit(location)
    return browser.get(f"{parts.path}?{parts.query}")


def test_the_whole_way(browser: Client, user: AbstractUser, provider: Provider) -> None:
    url = start(browser, next="/admin/")
    asked = query_of(url)
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"http://testserver{CALLBACK}"
    assert set(asked["scope"].split()) == {"profile", "email"}
    answer = come_back(browser, consent(url))
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    token = user.oauth_tokens.get_valid("acme")
    assert token.scopes == {"profile", "email"}
    told = requests.get(f"{provider.url}/userinfo", auth=token, timeout=5)
    assert told.json()["sub"] == "alice"
    sent = provider.requests("authorization_code")
    assert [record["status"] for record in sent] == [200]
    assert "code_verifier" in sent[0]["parameters"]


def test_each_attempt_has_its_own_state_and_challenge(browser: Client) -> None:
    first, second = query_of(start(browser)), query_of(start(browser))
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]
    assert len(first["state"]) >= 22


def test_two_tabs_do_not_disturb_each_other(browser: Client, user: AbstractUser) -> None:
    first, second = start(browser), start(browser)
    assert come_back(browser, consent(first)).status_code == 302
    assert come_back(browser, consent(second)).status_code == 302
    assert user.oauth_tokens.count() == 1


def test_scopes_on_top_are_asked_for(browser: Client, user: AbstractUser) -> None:
    url = start(browser, scope="files", signature=scope_signature("acme", "files"))
    assert {"files"} <= set(query_of(url)["scope"].split())
    come_back(browser, consent(url))
    assert "files" in user.oauth_tokens.get_valid("acme", scopes=["files"]).scopes


def test_only_who_is_signed_in_can_connect(provider: Provider, db: None) -> None:
    answer = Client().get(CONNECT)
    assert answer.status_code == 302
    assert urlsplit(answer["Location"]).path == "/admin/login/"


def state_changed(location: str) -> str:
    return location.replace("state=", "state=x")


def state_removed(location: str) -> str:
    parts = urlsplit(location)
    query = {name: value for name, value in query_of(location).items() if name != "state"}
    return f"{parts.path}?{urlencode(query)}"


@pytest.mark.parametrize("tamper", [state_changed, state_removed])
def test_a_foreign_state_is_refused_and_stores_nothing(
    browser: Client, provider: Provider, tamper: Callable[[str], str]
) -> None:
    answer = come_back(browser, tamper(consent(start(browser))))
    assert answer.status_code == 400
    assert CONNECT in answer.content.decode() or "connect" in answer.content.decode().lower()
    assert OAuthToken.objects.count() == 0
    assert provider.requests("authorization_code") == []


def test_a_state_serves_once(browser: Client, provider: Provider) -> None:
    location = consent(start(browser))
    assert come_back(browser, location).status_code == 302
    assert come_back(browser, location).status_code == 400
    assert len(provider.requests("authorization_code")) == 1


def test_a_state_serves_only_the_session_that_began(
    browser: Client, provider: Provider, django_user_model: type[AbstractUser]
) -> None:
    mallory = Client()
    mallory.force_login(django_user_model.objects.create_user("mallory"))
    location = consent(start(mallory))
    assert come_back(browser, location).status_code == 400
    assert OAuthToken.objects.count() == 0
    assert provider.requests("authorization_code") == []


def test_a_state_does_not_outlive_a_change_of_user(
    browser: Client, django_user_model: type[AbstractUser]
) -> None:
    location = consent(start(browser))
    browser.logout()
    browser.force_login(django_user_model.objects.create_user("bob"))
    assert come_back(browser, location).status_code in (302, 400)
    assert OAuthToken.objects.count() == 0


def test_a_state_of_another_provider_is_refused(
    browser: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(PROVIDERS={"acme": provider.settings(), "other": provider.settings()})
    location = consent(start(browser)).replace("/acme/", "/other/")
    assert come_back(browser, location).status_code == 400
    assert OAuthToken.objects.count() == 0


def test_an_answer_of_another_issuer_is_refused(
    browser: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"issuer": provider.url})
    provider.configure(issuer="https://evil.example")
    answer = come_back(browser, consent(start(browser)))
    assert answer.status_code == 400
    assert provider.requests("authorization_code") == []
    provider.configure(issuer="")
    assert come_back(browser, consent(start(browser))).status_code == 302


def test_a_missing_issuer_is_refused_where_the_provider_promises_one(
    browser: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"issuer": provider.url, "authorization_response_iss_parameter_supported": True})
    location = consent(start(browser))
    without = location.replace(urlencode({"iss": provider.url}), "")
    assert without != location
    assert come_back(browser, without).status_code == 400
    assert provider.requests("authorization_code") == []


@pytest.mark.parametrize("error", ["access_denied", "server_error", "<script>alert(1)</script>"])
def test_an_error_of_the_provider_is_a_page(
    browser: Client, provider: Provider, error: str
) -> None:
    provider.configure(authorize_error=error)
    answer = come_back(browser, consent(start(browser)))
    text = answer.content.decode()
    assert answer["Content-Type"].startswith("text/html") or answer.status_code == 302
    assert "<script>alert" not in text
    assert OAuthToken.objects.count() == 0
    if answer.status_code != 302:
        assert "acme" in text.lower()


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        ("status", {"status": 400, "body": {"error": "invalid_grant"}}),
        ("status", {"status": 401, "body": {"error": "invalid_client"}}),
        ("status", {"status": 500}),
        ("status", {"status": 200, "body": {"no": "token"}}),
        ("truncated", {}),
        ("reset", {}),
        ("hang", {}),
        ("huge", {}),
    ],
)
def test_a_failing_exchange_is_a_page_and_leaves_the_stored_row(
    browser: Client,
    token: OAuthToken,
    provider: Provider,
    configure: Callable[..., None],
    mode: str,
    arguments: dict[str, Any],
) -> None:
    configure(HTTP_TIMEOUT=0.5)
    provider.misbehave(mode, kinds=["authorization_code"], **arguments)
    answer = come_back(browser, consent(start(browser)))
    assert 400 <= answer.status_code < 600
    assert "acme" in answer.content.decode().lower()
    assert "client-secret-value" not in answer.content.decode()
    row = OAuthToken.objects.get()
    assert (row.version, row.access_token) == (token.version, token.access_token)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "http:///x",
    ],
)
def test_next_leads_nowhere_else(browser: Client, target: str) -> None:
    answer = come_back(browser, consent(start(browser, next=target)))
    assert answer.status_code == 302
    assert answer["Location"] == reverse("oauth_tokens:connections")


def test_an_unknown_provider_is_a_page(browser: Client) -> None:
    assert browser.get("/oauth/nobody/connect/").status_code == 404
    assert browser.get("/oauth/nobody/callback/?code=c&state=s").status_code in (400, 404)
    assert browser.post("/oauth/nobody/disconnect/").status_code in (302, 404)


def test_a_callback_out_of_the_blue(browser: Client, provider: Provider) -> None:
    assert browser.get(CALLBACK).status_code == 400
    assert browser.get(CALLBACK, {"code": "c", "state": "s"}).status_code == 400
    assert provider.requests() == []


def test_the_connections_page(browser: Client, token: OAuthToken) -> None:
    page = browser.get(reverse("oauth_tokens:connections"))
    text = page.content.decode()
    assert page.status_code == 200
    assert "Acme" in text
    assert reverse("oauth_tokens:disconnect", args=["acme"]) in text
    assert token.access_token not in text
    assert token.refresh_token not in text
    OAuthToken.objects.update(status="reauth_required", error_code="refresh_token_invalid")
    assert CONNECT in browser.get(reverse("oauth_tokens:connections")).content.decode()


def test_the_connections_page_shows_only_ones_own(
    browser: Client, provider: Provider, django_user_model: type[AbstractUser]
) -> None:
    bob = django_user_model.objects.create_user("bob")
    bob.oauth_tokens.store("acme", provider.issue(), account_id="bobs-account")
    text = browser.get(reverse("oauth_tokens:connections")).content.decode()
    assert "bobs-account" not in text
    assert Client().get(reverse("oauth_tokens:connections")).status_code == 302


def test_disconnecting_takes_a_post_with_a_csrf_token(
    browser: Client, user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    path = reverse("oauth_tokens:disconnect", args=["acme"])
    browser.get(path)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    assert strict.post(path).status_code == 403
    assert user.oauth_tokens.count() == 1
    answer = browser.post(path)
    assert (answer.status_code, answer["Location"]) == (302, reverse("oauth_tokens:connections"))
    assert user.oauth_tokens.count() == 0
    assert len(provider.requests("revoke")) == 1
    assert browser.post(path).status_code in (302, 404)


def test_endpoints_may_come_from_the_issuers_metadata(
    browser: Client, user: AbstractUser, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(
        PROVIDERS={
            "acme": {
                "issuer": provider.url,
                "client_id": "client",
                "client_secret": "client-secret-value",
            }
        }
    )
    assert come_back(browser, consent(start(browser))).status_code == 302
    token = user.oauth_tokens.get_valid("acme")
    token.refresh()
    user.oauth_tokens.disconnect("acme")
    assert [record["kind"] for record in provider.requests()] == [
        "metadata",
        "authorization_code",
        "refresh_token",
        "revoke",
    ]


def test_metadata_of_another_issuer_is_refused(
    browser: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    provider.configure(issuer="https://evil.example")
    configure(PROVIDERS={"acme": {"issuer": provider.url, "client_id": "client"}})
    answer = browser.get(CONNECT)
    assert 400 <= answer.status_code < 600
    assert "evil.example" not in answer.content.decode()
