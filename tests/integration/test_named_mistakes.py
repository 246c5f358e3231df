"""Mistakes of developers in what they call or decorate: the error names the fix."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from pytest_django import Settings

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.bearer import Validator, bearer_required
from oauth_tokens.clients.decisions import check_url
from oauth_tokens.contrib.drf import HasOAuthToken
from oauth_tokens.decorators import token_required
from tests.support.site import serve


@pytest.mark.parametrize("base_url", ["api.example/v1", "localhost:8000", "//api.example", "/v1"])
def test_a_base_url_without_scheme(user: AbstractUser, base_url: str) -> None:
    for client in (user.oauth_tokens.session, user.oauth_tokens.async_client):
        with pytest.raises(exceptions.OAuthTokenError, match="no whole address: it takes https"):
            client("acme", base_url=base_url)


def test_a_relative_address_without_base_url(user: AbstractUser, token: OAuthToken) -> None:
    with pytest.raises(exceptions.OAuthTokenError, match=r"'v1/me' is no whole .* base_url"):
        user.oauth_tokens.session("acme").get("v1/me?key=secret")
    with pytest.raises(exceptions.OAuthTokenError, match=r"^'api.example/x' is no whole"):
        check_url("alice:secret@api.example/x?key=secret", None)


def view(request: Any) -> HttpResponse:
    return HttpResponse(request.oauth_token.provider)


@pytest.mark.parametrize("decorator", [token_required, HasOAuthToken])
def test_brackets_left_out(decorator: Any) -> None:
    with pytest.raises(TypeError, match=r'\("google"\)'):
        decorator(view)


def test_a_provider_that_does_not_exist(
    client: Client, user: AbstractUser, settings: Settings, token: OAuthToken
) -> None:
    serve(settings, path("", token_required("goggle")(view)))
    client.force_login(user)
    with pytest.raises(exceptions.ProviderMisconfigured, match=r"goggle.*PROVIDERS|PROVIDERS.*gog"):
        client.get("/")


# Bearer

ISSUER = {"issuer": "https://id.example", "audience": "https://api.example"}
ASKED = {
    "introspection_endpoint": "https://id.example/introspect",
    "client_id": "api",
    "client_secret": "secret",
}


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_what_is_missing_is_named(missing: str) -> None:
    given = {name: value for name, value in ISSUER.items() if name != missing}
    with pytest.raises(ImproperlyConfigured, match=f"there is no {missing}: give"):
        bearer_required(**given)


def test_an_argument_that_does_not_exist() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"takes no scope\. It takes scopes, issuer"):
        bearer_required(**ISSUER, scope="read")


@pytest.mark.parametrize("name", ["introspection_cache", "leeway", "timeout"])
@pytest.mark.parametrize("value", [True, "60", None, -1])
def test_seconds_are_numbers(name: str, value: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{name} must be a number of seconds"):
        Validator(**ASKED, **{name: value})


# Not a mistake


def test_other_decorators_may_stand_below_on_an_async_class(
    client: Client, user: AbstractUser, settings: Settings, token: OAuthToken
) -> None:
    @method_decorator([token_required("acme"), csrf_exempt], name="dispatch")
    class Page(View):
        async def get(self, request: Any) -> HttpResponse:
            return view(request)

    serve(settings, path("", Page.as_view()))
    client.force_login(user)
    assert client.get("/").content == b"acme"
    user.oauth_tokens.disconnect("acme")
    assert client.get("/").status_code == 302
