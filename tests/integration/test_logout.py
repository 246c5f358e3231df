"""``REVOKE_ON_LOGOUT``: who logs out leaves nothing behind at the providers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import alogout, logout
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from pytest_django import Settings

from oauth_tokens import OAuthToken, TokenEvent, exceptions, receivers
from oauth_tokens.tasks import revoke_pending
from tests.support.provider import Provider
from tests.support.site import serve

Configure = Callable[..., None]


def logout_view(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("bye")


async def async_logout_view(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse("bye")


def failing_logout_view(request: HttpRequest) -> HttpResponse:
    logout(request)
    raise ZeroDivisionError


@pytest.fixture
def _connected(
    user: AbstractUser, provider: Provider, configure: Configure, settings: Settings
) -> None:
    """Alice has three connections at two providers."""
    values = provider.settings()
    configure(PROVIDERS={"acme": values, "other": values}, REVOKE_ON_LOGOUT=True, HTTP_TIMEOUT=0.5)
    for name, account in (("acme", "1"), ("acme", "2"), ("other", "")):
        user.oauth_tokens.store(name, provider.issue(), account_id=account)
    serve(
        settings,
        path("out/", logout_view),
        path("async-out/", async_logout_view),
        path("failing-out/", failing_logout_view),
    )


def statuses() -> list[str]:
    return list(OAuthToken.objects.values_list("status", flat=True))


def revoked(provider: Provider) -> int:
    return sum(1 for record in provider.requests("revoke") if record["status"] == 200)


@pytest.mark.usefixtures("_connected")
@pytest.mark.parametrize("where", ["/out/", "/async-out/"])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_everything_is_revoked(
    user: AbstractUser,
    provider: Provider,
    received: list[tuple[str, dict[str, Any]]],
    where: str,
    asynchronous: bool,
) -> None:
    client = AsyncClient() if asynchronous else Client()
    client.force_login(user)
    get: Any = async_to_sync(client.get) if asynchronous else client.get  # type: ignore[arg-type]
    assert get(where).content == b"bye"
    assert statuses() == []
    assert revoked(provider) == 3
    told = [given["provider"] for name, given in received if name == "token_disconnected"]
    assert sorted(told) == ["acme", "acme", "other"]
    assert TokenEvent.objects.filter(kind="disconnected", detail="logout").count() == 3


@pytest.mark.usefixtures("_connected")
def test_others_keep_theirs(
    client: Client, user: AbstractUser, provider: Provider, django_user_model: type[AbstractUser]
) -> None:
    bob = django_user_model.objects.create_user("bob")
    bob.oauth_tokens.store("acme", provider.issue())
    client.force_login(user)
    client.get("/out/")
    assert OAuthToken.objects.get().user == bob


@pytest.mark.usefixtures("_connected")
def test_unless_the_settings_say_so_nothing_is(
    client: Client, user: AbstractUser, provider: Provider, configure: Configure
) -> None:
    configure(REVOKE_ON_LOGOUT=False)
    client.force_login(user)
    client.get("/out/")
    assert statuses() == ["active"] * 3
    assert revoked(provider) == 0


@pytest.mark.usefixtures("_connected")
def test_a_provider_that_is_down_is_told_later(
    client: Client, user: AbstractUser, provider: Provider
) -> None:
    provider.misbehave("status", status=503, kinds=["revoke"])
    client.force_login(user)
    assert client.get("/out/").content == b"bye"
    assert "_auth_user_id" not in client.session
    assert statuses() == ["revoking"] * 3
    with pytest.raises(exceptions.TokenNotConnected):
        user.oauth_tokens.get_valid("other")
    provider.behave()
    OAuthToken.objects.update(refresh_at="2020-01-01T00:00Z")
    revoke_pending()
    assert revoked(provider) == 3
    assert statuses() == []


@pytest.mark.usefixtures("_connected")
def test_slow_providers_keep_nobody_waiting(
    client: Client,
    user: AbstractUser,
    provider: Provider,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(HTTP_TIMEOUT=60, LOCK_TIMEOUT=600)
    monkeypatch.setattr(receivers, "LOGOUT_WAIT", 0.1)
    provider.misbehave("hang", kinds=["revoke"])
    client.force_login(user)
    before = time.monotonic()
    client.get("/out/")
    assert time.monotonic() - before < 30
    assert len(provider.requests("revoke")) == 1
    assert statuses() == ["revoking"] * 3
    provider.behave()
    OAuthToken.objects.update(refresh_at="2020-01-01T00:00Z")
    revoke_pending()
    assert statuses() == []


@pytest.mark.usefixtures("_connected")
def test_what_was_not_tried_is_the_sweeps(
    client: Client, user: AbstractUser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "LOGOUT_WAIT", 0)
    client.force_login(user)
    client.get("/out/")
    assert statuses() == ["revoking"] * 3
    OAuthToken.objects.update(refresh_at="2020-01-01T00:00Z")
    assert revoke_pending() == 3
    assert revoked(provider) == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_connected")
def test_a_logout_that_is_rolled_back_revokes_nothing(
    client: Client, user: AbstractUser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    client.force_login(user)
    with pytest.raises(ZeroDivisionError):
        client.get("/failing-out/")
    assert statuses() == ["active"] * 3
    assert provider.requests("revoke") == []
    assert client.get("/out/").content == b"bye"
    assert statuses() == []
    assert revoked(provider) == 3


@pytest.mark.usefixtures("_connected")
def test_trouble_of_ours_keeps_nobody_logged_in(
    client: Client,
    user: AbstractUser,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(self: object, detail: str = "") -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(OAuthToken, "start_revoking", broken)
    client.force_login(user)
    assert client.get("/out/").content == b"bye"
    assert "_auth_user_id" not in client.session
    assert "could not be disconnected" in caplog.text
