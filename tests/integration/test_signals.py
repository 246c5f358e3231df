"""Signals come after the commit, once per transition, and carry no token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import transaction

from oauth_tokens import OAuthToken, TokenEvent, exceptions, signals
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

Received = list[tuple[str, dict[str, Any]]]


def test_the_life_of_a_token(received: Received, user: AbstractUser, provider: Provider) -> None:
    token = user.oauth_tokens.store("acme", provider.issue())
    user.oauth_tokens.store("acme", provider.issue())
    age(token, EXPIRED)
    user.oauth_tokens.get_valid("acme")
    user.oauth_tokens.disconnect("acme")
    assert [name for name, _ in received] == [
        "token_stored",
        "token_stored",
        "token_refreshed",
        "token_disconnected",
    ]
    arguments = [arguments for _, arguments in received]
    assert [arguments[0]["created"], arguments[1]["created"]] == [True, False]
    assert arguments[2]["trigger"] == "lazy"
    assert 0 < arguments[2]["duration"] < 5
    assert (arguments[3]["user"], arguments[3]["provider"]) == (user, "acme")
    assert all(each["sender"] is OAuthToken for each in arguments)
    assert all(isinstance(each["token"], OAuthToken) for each in arguments)


def test_reauthentication_is_asked_for_once(
    received: Received, user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    provider.misbehave("status", status=400, body={"error": "invalid_grant"})
    age(token, EXPIRED)
    for _ in range(3):
        with pytest.raises(exceptions.ReauthenticationRequired):
            user.oauth_tokens.get_valid("acme")
    asked = [arguments for name, arguments in received if name == "reauth_required"]
    assert [arguments["code"] for arguments in asked] == ["refresh_token_invalid"]
    failed = [arguments for name, arguments in received if name == "refresh_failed"]
    assert [(each["code"], each["retryable"]) for each in failed] == [
        ("refresh_token_invalid", False)
    ]


def test_a_transient_failure_says_so(
    received: Received, user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    provider.misbehave("status", status=503)
    age(token, EXPIRED)
    with pytest.raises(exceptions.RefreshFailed):
        user.oauth_tokens.get_valid("acme")
    failed = [arguments for name, arguments in received if name == "refresh_failed"]
    assert [(each["code"], each["retryable"]) for each in failed] == [("http_503", True)]


def test_one_outage_is_announced_once(
    received: Received, user: AbstractUser, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"client_secret": "wrong"})
    for number in range(3):
        row = user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
        age(row, EXPIRED)
        with pytest.raises(exceptions.ProviderMisconfigured):
            user.oauth_tokens.get_valid("acme", account=str(number))
    failing = [arguments for name, arguments in received if name == "provider_failing"]
    assert [(each["sender"], each["code"]) for each in failing] == [("acme", "invalid_client")]
    assert provider.refreshes == 1
    assert set(OAuthToken.objects.values_list("status", flat=True)) == {"active"}


@pytest.mark.django_db(transaction=True)
def test_store_in_a_transaction_signals_after_its_commit(
    received: Received, user: AbstractUser, provider: Provider
) -> None:
    with transaction.atomic():
        user.oauth_tokens.store("acme", provider.issue())
        assert received == []
    assert [name for name, _ in received] == ["token_stored"]
    with transaction.atomic():
        user.oauth_tokens.store("acme", provider.issue())
        transaction.set_rollback(True)
    assert [name for name, _ in received] == ["token_stored"]


@pytest.mark.django_db(transaction=True)
def test_disconnect_in_a_transaction_that_rolls_back_revokes_nothing(
    received: Received, user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    received.clear()
    with transaction.atomic():
        user.oauth_tokens.disconnect("acme")
        transaction.set_rollback(True)
    assert received == []
    assert provider.requests("revoke") == []
    assert user.oauth_tokens.get_valid("acme") == token


def test_a_receiver_sees_what_was_committed(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    seen = []

    def receiver(token: OAuthToken, **_: Any) -> None:
        seen.append((OAuthToken.objects.get(pk=token.pk).version, token.version))

    signals.token_refreshed.connect(receiver)
    try:
        token.refresh()
    finally:
        signals.token_refreshed.disconnect(receiver)
    assert seen == [(2, 2)]


def test_a_receiver_that_fails_does_not_harm_the_caller(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    def receiver(**_: Any) -> None:
        raise RuntimeError("the receiver's own trouble")

    signals.token_refreshed.connect(receiver)
    try:
        assert token.refresh().access_token == OAuthToken.objects.get().access_token
    finally:
        signals.token_refreshed.disconnect(receiver)


def test_neither_signals_nor_logs_nor_history_hold_a_token(
    received: Received,
    user: AbstractUser,
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(1)
    secrets = ["client-secret-value"]

    def note(response: dict[str, Any]) -> dict[str, Any]:
        secrets.extend([response["access_token"], response["refresh_token"]])
        return response

    token = user.oauth_tokens.store("acme", note(provider.issue()))
    token.refresh()
    secrets.extend([token.access_token, token.refresh_token])
    words = f"{token.refresh_token} of client-secret-value is unknown"
    age(token, EXPIRED)
    provider.misbehave(
        "status", status=400, body={"error": "invalid_grant", "error_description": words}
    )
    with pytest.raises(exceptions.ReauthenticationRequired) as caught:
        user.oauth_tokens.get_valid("acme")
    user.oauth_tokens.disconnect("acme")
    history = repr(list(TokenEvent.objects.values()))
    everything = [caplog.text, repr(received), history, repr(caught.value), str(caught.value)]
    assert len(TokenEvent.objects.all()) >= 4
    for secret in secrets:
        assert not [text for text in everything if secret in text]


def test_the_history_tells_the_story(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    token.refresh()
    provider.misbehave("status", status=503, times=1)
    age(token, EXPIRED)
    with pytest.raises(exceptions.RefreshFailed):
        user.oauth_tokens.get_valid("acme")
    user.oauth_tokens.disconnect("acme")
    events = TokenEvent.objects.order_by("pk")
    assert [(event.kind, event.code) for event in events][:3] == [
        ("stored", "created"),
        ("refreshed", "forced"),
        ("refresh_failed", "http_503"),
    ]
    assert {event.provider for event in events} == {"acme"}
    assert {event.user_id for event in events} == {user.pk}
    assert events[1].duration > 0
