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
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.html import escape
from django.views import View
from pytest_django import Settings

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.answers import with_next
from oauth_tokens.decorators import MAX_SENT, SENT_LATELY, SESSION_KEY, token_required
from oauth_tokens.exceptions import connect_url
from tests.support.consent import consent
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age
from tests.support.site import serve

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
    target = with_next(connect_url("acme", ["drive"]) or "", "/page/?a=b")
    assert answer["Location"] == target
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
        ("http://testserver/\\evil.example", "/oauth/"),
        ("http://testserver/\\\\evil.example/x", "/oauth/"),
        ("https://evil.example/form/", "/oauth/"),
        ("http://[testserver/", "/oauth/"),
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
    assert json.loads(answer.content) == {
        "code": "not_connected",
        "detail": "The user has not connected acme. Send them to .connect_url.",
        "connect_url": "http://testserver/oauth/acme/connect/",
        "retry_after": None,
    }
    assert answer["Cache-Control"] == "no-store"
    assert answer["WWW-Authenticate"] == "Connect"
    user.oauth_tokens.store("acme", provider.issue())
    answer = ask(headers=JSON, scopes=["drive"])
    assert answer.status_code == 403
    assert "WWW-Authenticate" not in answer
    body = json.loads(answer.content)
    assert body["code"] == "insufficient_scope"
    assert body["connect_url"] == f"http://testserver{connect_url('acme', ['drive'])}"


def test_scopes_are_asked_for_with_the_first_connection(ask: Ask) -> None:
    """Else the user would be sent to the provider twice."""
    target = with_next(connect_url("acme", ["drive", "email"]) or "", "/page/?a=b")
    assert ask(scopes=["drive", "email"])["Location"] == target


def test_a_script_leads_back_to_the_page_that_runs_it(ask: Ask) -> None:
    page = "http://testserver/dashboard/?tab=1"
    for headers in ({"X-Requested-With": "XMLHttpRequest"}, {"Sec-Fetch-Mode": "cors"}):
        answer = ask("/part/", headers={**headers, "referer": page})
        assert answer.status_code == 401
        url = json.loads(answer.content)["connect_url"]
        assert url == "http://testserver/oauth/acme/connect/?next=%2Fdashboard%2F%3Ftab%3D1"
    elsewhere = {**JSON, "referer": "https://spa.example/page"}
    url = json.loads(ask("/part/", headers=elsewhere).content)["connect_url"]
    assert url == "http://testserver/oauth/acme/connect/"


def test_htmx_goes_where_a_redirect_could_not_lead_it(ask: Ask) -> None:
    page = "http://testserver/dashboard/"
    htmx = {"HX-Request": "true", "HX-Current-URL": page, "Sec-Fetch-Mode": "cors"}
    answer = ask("/part/", headers=htmx)
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/oauth/acme/connect/?next=%2Fdashboard%2F"
    boosted = ask("/page/", headers={**htmx, "HX-Boosted": "true"})
    assert boosted["HX-Redirect"] == "/oauth/acme/connect/?next=%2Fpage%2F"
    login = ask("/part/", who=AnonymousUser(), headers=htmx)
    assert login.status_code == 401
    assert login["HX-Redirect"] == "/admin/login/?next=/dashboard/"


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
    answer = ask(who=AnonymousUser(), headers=JSON)
    assert answer.status_code == 401
    assert json.loads(answer.content)["code"] == "login_required"


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
    body = json.loads(answer.content)
    assert (body["code"], body["connect_url"]) == ("http_503", None)
    assert body["retry_after"] == int(answer["Retry-After"])


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


# Classes


class SyncPage(View):
    def get(self, request: Any, name: str) -> HttpResponse:
        return HttpResponse(f"{name} {request.oauth_token.access_token}")


class AsyncPage(View):
    async def get(self, request: Any, name: str) -> HttpResponse:
        return HttpResponse(f"{name} {request.oauth_token.access_token}")


class AsyncMethod(View):
    @method_decorator(token_required("acme"))
    async def get(self, request: Any, name: str) -> HttpResponse:
        return HttpResponse(f"{name} {request.oauth_token.access_token}")


dispatch = method_decorator(token_required("acme"), name="dispatch")


@pytest.mark.parametrize("page", [dispatch(SyncPage), dispatch(AsyncPage), AsyncMethod])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_classes(
    page: type[View], asynchronous: bool, user: AbstractUser, provider: Provider, settings: Settings
) -> None:
    serve(settings, path("<str:name>/", page.as_view()))
    client = AsyncClient() if asynchronous else Client()
    client.force_login(user)
    get: Callable[[str], HttpResponse] = client.get  # type: ignore[assignment]
    if asynchronous:
        get = async_to_sync(client.get)  # type: ignore[arg-type]
    assert get("/x/")["Location"] == "/oauth/acme/connect/?next=%2Fx%2F"
    token = user.oauth_tokens.store("acme", provider.issue())
    assert get("/x/").content.decode() == f"x {token.access_token}"


# Those who come back without what is needed


@pytest.fixture(params=[sync_view, async_view])
def site(
    request: pytest.FixtureRequest,
    user: AbstractUser,
    client: Client,
    provider: Provider,
    settings: Settings,
) -> Client:
    """Alice's browser on a site where /drive/ needs a scope, and /other/ another account."""
    serve(
        settings,
        path("drive/", token_required("acme", scopes=["drive"])(request.param)),
        path("other/", token_required("acme", account="other")(request.param)),
        path("acme/", token_required("acme")(request.param)),
    )
    client.force_login(user)
    return client


def travel(client: Client, path: str, *, most: int = 8) -> HttpResponse:
    """Follow redirects as a browser does, to the provider and back, until there is a page."""
    for _ in range(most):
        answer = client.get(path)
        if answer.status_code != 302:
            return answer  # type: ignore[return-value]
        path = answer["Location"]
        if path.startswith("http://127.0.0.1"):
            path = consent(path)
    raise AssertionError(f"still on the way, to {path}")


def test_who_allows_everything_arrives(site: Client, user: AbstractUser) -> None:
    answer = travel(site, "/drive/")
    assert answer.content.decode() == user.oauth_tokens.get_valid("acme").access_token


def test_who_does_not_allow_it_is_told_so_and_not_sent_round(
    site: Client, provider: Provider
) -> None:
    provider.configure(override={"scope": "profile email"})
    page = travel(site, "/drive/").content.decode()
    assert "Not allowed: drive" in page
    assert 'href="/drive/"' in page
    answer = travel(site, "/drive/")
    assert answer.status_code == 403
    assert "This page needs: drive." in answer.content.decode()
    target = with_next(connect_url("acme", ["drive"]) or "", "/drive/")
    assert f'href="{escape(target)}"' in answer.content.decode()
    assert len(provider.requests("authorization_code")) == 1


def test_who_connects_another_account_is_told_so_and_not_sent_round(
    site: Client, provider: Provider
) -> None:
    answer = travel(site, "/other/")
    assert answer.status_code == 403
    assert "another one than this page is about" in answer.content.decode()
    assert len(provider.requests("authorization_code")) == 1


def test_htmx_is_not_sent_round_either(site: Client, provider: Provider) -> None:
    htmx = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"}
    first, second = (site.get("/other/", headers=htmx) for _ in range(2))
    assert "HX-Redirect" in first
    assert second.status_code == 401
    assert "HX-Redirect" not in second


def test_a_page_may_send_its_user_again_later(site: Client) -> None:
    assert site.get("/acme/").status_code == 302
    assert site.get("/acme/").status_code == 403
    session = site.session
    session[SESSION_KEY] = {key: at - SENT_LATELY for key, at in session[SESSION_KEY].items()}
    session.save()
    assert site.get("/acme/").status_code == 302
    assert len(site.session[SESSION_KEY]) == 1


def test_a_session_does_not_grow(site: Client) -> None:
    for number in range(20):
        assert site.get(f"/acme/?{number}").status_code == 302
    assert len(site.session[SESSION_KEY]) == MAX_SENT
