"""Tokens of logins by social-auth, with a real authorization server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client
from pytest_django import Settings

from oauth_tokens import OAuthToken
from tests.support.neighbours import (  # noqa: F401 - fixtures
    AuthorizationServer,
    breaking_the_transaction,
    log_in,
    neighbours,
    server,
    site,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("neighbours", "site")]

LOGIN = "/social/login/oidc/"


@pytest.fixture(autouse=True)
def steps(
    settings: Settings,
    server: AuthorizationServer,  # noqa: F811
    configure: Callable[..., None],
) -> None:
    from social_core.pipeline import DEFAULT_AUTH_PIPELINE, DEFAULT_DISCONNECT_PIPELINE

    configure(PROVIDERS={"toolkit": server.settings(aliases=["oidc"])})
    ours = "oauth_tokens.contrib.social_auth"
    settings.SOCIAL_AUTH_PIPELINE = (*DEFAULT_AUTH_PIPELINE, f"{ours}.store_token")
    allowed, entries, *rest = DEFAULT_DISCONNECT_PIPELINE
    settings.SOCIAL_AUTH_DISCONNECT_PIPELINE = (allowed, entries, f"{ours}.disconnect", *rest)


def test_logins_bring_their_tokens(client: Client, server: AuthorizationServer) -> None:  # noqa: F811
    from social_django.models import UserSocialAuth

    assert log_in(client, server, LOGIN)["Location"] == "/admin/"
    association = UserSocialAuth.objects.get()
    first = association.user.oauth_tokens.get_valid("toolkit")
    assert first.account_id == association.uid
    assert first.scopes >= {"openid", "read"}
    assert server.ask(first.access_token) == 200
    assert first.id_token is not None
    log_in(Client(), server, LOGIN)
    second = OAuthToken.objects.get()
    assert second.version == 2
    assert server.ask(second.refresh().access_token) == 200


def test_what_is_disconnected_there_is_disconnected_here(
    client: Client,
    user: AbstractUser,
    server: AuthorizationServer,  # noqa: F811
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    from social_django.models import UserSocialAuth

    client.force_login(user)
    log_in(client, server, LOGIN)
    token = user.oauth_tokens.get_valid("toolkit")
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/social/disconnect/oidc/")
    assert UserSocialAuth.objects.count() == OAuthToken.objects.count() == 0
    assert server.ask(token.access_token) != 200


def test_other_providers_are_left_alone(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    configure: Callable[..., None],
) -> None:
    configure(PROVIDERS={"other": server.settings()})
    assert log_in(client, server, LOGIN)["Location"] == "/admin/"
    assert OAuthToken.objects.count() == 0


def test_a_login_survives_whatever_goes_wrong_here(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(OAuthToken, "store_grant", breaking_the_transaction)
    assert log_in(client, server, LOGIN)["Location"] == "/admin/"
    assert client.session["_auth_user_id"]
    assert "could not be taken over" in caplog.text
