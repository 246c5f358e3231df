"""``OAuthTokenMiddleware``: errors of tokens that views leave to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client
from django.urls import path
from pytest_django import Settings

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.middleware import OAuthTokenMiddleware
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age
from tests.support.site import serve

MIDDLEWARE = "oauth_tokens.middleware.OAuthTokenMiddleware"
JSON = {"accept": "application/json"}
Get = Callable[..., HttpResponse]


def sync_view(request: Any) -> HttpResponse:
    token = request.user.oauth_tokens.get_valid("acme", scopes=request.GET.getlist("scope"))
    return HttpResponse(token.access_token)


async def async_view(request: Any) -> HttpResponse:
    user = await request.auser()
    token = await user.oauth_tokens.aget_valid("acme", scopes=request.GET.getlist("scope"))
    return HttpResponse(token.access_token)


def late_view(request: HttpRequest) -> HttpResponse:
    """Fails while the response is rendered, after the view has returned."""
    page = engines["django"].from_string("{{ tokens.get_valid.access_token }}")
    return TemplateResponse(request, page, {"tokens": Tokens(request)})


class Tokens:
    def __init__(self, request: Any) -> None:
        self.request = request

    @property
    def get_valid(self) -> OAuthToken:
        found: OAuthToken = self.request.user.oauth_tokens.get_valid("acme")
        return found


def renaming_view(request: Any) -> HttpResponse:
    """Changes something before it finds that it has no token."""
    get_user_model().objects.update(first_name="changed")
    return sync_view(request)


def others_view(request: Any) -> HttpResponse:
    """Uses the token of its author, whoever looks at it."""
    author = get_user_model().objects.get_or_create(username="author")[0]
    return HttpResponse(author.oauth_tokens.get_valid("acme").access_token)


def broken_view(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


@pytest.fixture(params=["wsgi", "asgi"])
def get(
    request: pytest.FixtureRequest, user: AbstractUser, provider: Provider, settings: Settings
) -> Get:
    """Alice's browser, under both kinds of server."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    serve(
        settings,
        path("sync/", sync_view),
        path("async/", async_view),
        path("late/", late_view),
        path("renaming/", renaming_view),
        path("others/", others_view),
        path("broken/", broken_view),
    )
    client = Client() if request.param == "wsgi" else AsyncClient()
    client.force_login(user)
    if request.param == "wsgi":
        return client.get  # type: ignore[return-value]
    return async_to_sync(client.get)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["/sync/", "/async/", "/late/"])
def test_not_connected_leads_to_connecting_and_back(
    get: Get, user: AbstractUser, provider: Provider, where: str
) -> None:
    answer = get(where)
    assert answer.status_code == 302
    assert answer["Location"] == f"/oauth/acme/connect/?next=%2F{where.strip('/')}%2F"
    token = user.oauth_tokens.store("acme", provider.issue())
    assert get(where).content.decode() == token.access_token


@pytest.mark.parametrize("where", ["/sync/", "/async/"])
def test_each_error_is_answered_as_the_decorator_does(
    get: Get, token: OAuthToken, provider: Provider, where: str
) -> None:
    answer = get(where, {"scope": "drive"}, headers=JSON)
    assert (answer.status_code, json.loads(answer.content)["code"]) == (403, "insufficient_scope")
    age(token, EXPIRED)
    provider.misbehave("status", status=503, headers={"Retry-After": "90"})
    answer = get(where)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 80
    assert "not answering as it should" in answer.content.decode()
    provider.behave()
    OAuthToken.objects.update(status="reauth_required", error_code="refresh_token_expired")
    answer = get(where, headers=JSON)
    assert (answer.status_code, json.loads(answer.content)["code"]) == (
        401,
        "refresh_token_expired",
    )


def test_nobody_is_sent_round_in_circles(get: Get) -> None:
    """The view uses somebody else's token, so connecting one's own cannot help."""
    assert get("/others/").status_code == 302
    assert get("/others/").status_code == 403


def test_what_is_not_the_users_to_mend_propagates(
    get: Get, user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    with pytest.raises(ZeroDivisionError):
        get("/broken/")
    age(token, EXPIRED)
    provider.misbehave("status", status=401, body={"error": "invalid_client"})
    with pytest.raises(exceptions.ProviderMisconfigured):
        get("/sync/")


def test_an_anonymous_users_request_is_about_somebody_elses_token(
    get: Get, provider: Provider
) -> None:
    assert get("/others/").status_code == 302
    with pytest.raises(exceptions.TokenNotConnected):
        Client().get("/others/")
    author = get_user_model().objects.get(username="author")
    age(author.oauth_tokens.store("acme", provider.issue()), EXPIRED)
    provider.misbehave("status", status=503)
    assert Client().get("/others/").status_code == 503


@pytest.mark.django_db(transaction=True)
def test_the_views_transaction_is_rolled_back(
    get: Get, user: AbstractUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert get("/renaming/").status_code == 302
    user.refresh_from_db()
    assert user.first_name == ""


def test_it_takes_no_thread_under_asgi() -> None:
    async def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse("as it was")

    middleware = OAuthTokenMiddleware(get_response)  # type: ignore[arg-type]
    assert iscoroutinefunction(middleware)
    assert not iscoroutinefunction(OAuthTokenMiddleware(lambda request: HttpResponse()))
