"""``@token_required`` on sync and async views."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.decorators import token_required
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

Ask = Callable[..., HttpResponse]
JSON = {"accept": "application/json"}


def sync_view(request: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse(request.oauth_token.access_token)


async def async_view(request: Any, **kwargs: Any) -> HttpResponse:
    return HttpResponse(request.oauth_token.access_token)


@pytest.fixture(params=[sync_view, async_view])
def ask(request: pytest.FixtureRequest, user: AbstractUser, provider: Provider) -> Ask:
    """Call a decorated view as ``who``, alice unless told."""
    view = request.param

    def call(
        path: str = "/page/?a=b",
        *,
        method: str = "GET",
        who: Any = user,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> HttpResponse:
        http = RequestFactory().generic(method, path, headers=headers or {})
        http.user = who

        async def auser() -> Any:
            return who

        http.auser = auser  # type: ignore[method-assign]
        decorated: Callable[[HttpRequest], Any] = token_required("acme", **options)(view)
        if iscoroutinefunction(decorated):
            awaited: Callable[[HttpRequest], Awaitable[HttpResponse]] = decorated
            return async_to_sync(awaited)(http)
        response: HttpResponse = decorated(http)
        return response

    return call


def way_back(response: HttpResponse) -> str:
    return parse_qs(urlsplit(response["Location"]).query)["next"][0]


def test_the_view_gets_a_valid_token(ask: Ask, token: OAuthToken, provider: Provider) -> None:
    assert ask().content.decode() == token.access_token
    age(token, EXPIRED)
    assert ask().content.decode() != token.access_token
    assert provider.refreshes == 1


def test_the_view_keeps_its_kind_and_name() -> None:
    assert iscoroutinefunction(token_required("acme")(async_view))
    assert not iscoroutinefunction(token_required("acme")(sync_view))
    assert token_required("acme")(sync_view).__name__ == "sync_view"


def test_not_connected_leads_to_connecting_and_back(ask: Ask) -> None:
    answer = ask()
    assert answer.status_code == 302
    assert urlsplit(answer["Location"]).path == "/oauth/acme/connect/"
    assert way_back(answer) == "/page/?a=b"


def test_missing_scopes_are_asked_for(ask: Ask, token: OAuthToken) -> None:
    answer = ask(scopes=["profile", "drive"])
    query = parse_qs(urlsplit(answer["Location"]).query)
    assert query == {"scope": ["drive"], "next": ["/page/?a=b"]}
    assert ask(scopes="profile").status_code == 200


def test_a_dead_grant_leads_to_connecting(ask: Ask, token: OAuthToken) -> None:
    OAuthToken.objects.update(status="reauth_required", error_code="refresh_token_invalid")
    assert ask()["Location"].startswith("/oauth/acme/connect/?next=")


@pytest.mark.parametrize(
    ("referer", "expected"),
    [
        ("http://testserver/form/?x=1", "/form/?x=1"),
        ("http://testserver", "/"),
        ("http://testserver//evil.example/x", "/%2Fevil.example/x"),
        ("https://evil.example/form/", "/oauth/"),
        ("", "/oauth/"),
    ],
)
def test_what_was_posted_is_not_repeated(ask: Ask, referer: str, expected: str) -> None:
    answer = ask("/change/", method="POST", headers={"referer": referer})
    assert answer.status_code == 302
    assert way_back(answer) == expected


def test_those_who_prefer_json_get_json(ask: Ask, user: AbstractUser, provider: Provider) -> None:
    answer = ask(headers=JSON)
    assert answer.status_code == 401
    body = json.loads(answer.content)
    assert body["error"] == "not_connected"
    assert body["connect_url"] == "/oauth/acme/connect/"
    assert "acme" in body["detail"]
    assert answer["Cache-Control"] == "no-store"
    user.oauth_tokens.store("acme", provider.issue())
    answer = ask(headers=JSON, scopes=["drive"])
    assert answer.status_code == 403
    assert json.loads(answer.content)["error"] == "insufficient_scope"
    assert json.loads(answer.content)["connect_url"] == "/oauth/acme/connect/?scope=drive"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 302),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 302),
        ("application/json, text/plain, */*", 401),
        ("application/json;q=0.5, text/html", 302),
        ("image/png", 302),
    ],
)
def test_what_counts_as_preferring_json(ask: Ask, accept: str, status: int) -> None:
    assert ask(headers={"accept": accept}).status_code == status


def test_anonymous_users_log_in(ask: Ask) -> None:
    answer = ask(who=AnonymousUser())
    assert answer["Location"] == "/admin/login/?next=/page/%3Fa%3Db"
    assert ask(who=AnonymousUser(), headers=JSON).status_code == 401


def test_a_provider_that_is_down(ask: Ask, token: OAuthToken, provider: Provider) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=503, headers={"Retry-After": "120"})
    answer = ask()
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 119
    page = answer.content.decode()
    assert "not answering as it should" in page
    assert 'href="/page/?a=b"' in page
    answer = ask(headers=JSON)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 1


def test_a_page_may_look_at_the_user(
    ask: Ask, token: OAuthToken, provider: Provider, settings: Settings, user: AbstractUser
) -> None:
    """Sites' own templates do, which an event loop does not allow."""
    base = "{{ request.user.oauth_tokens.count }} connection{% block content %}{% endblock %}"
    own = ("django.template.loaders.locmem.Loader", {"oauth_tokens/base.html": base})
    loaders = [own, "django.template.loaders.app_directories.Loader"]
    (template,) = settings.TEMPLATES
    options = {**template["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [{**template, "APP_DIRS": False, "OPTIONS": options}]
    age(token, EXPIRED)
    provider.misbehave("status", status=503)
    assert "1 connection" in ask().content.decode()


def test_what_only_the_operator_can_mend_is_raised(
    ask: Ask, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=401, body={"error": "invalid_client"})
    with pytest.raises(exceptions.ProviderMisconfigured):
        ask()


@pytest.mark.usefixtures("token")
def test_without_the_pages_errors_are_raised(ask: Ask, settings: Settings) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    with pytest.raises(exceptions.InsufficientScope):
        ask(scopes=["drive"])
