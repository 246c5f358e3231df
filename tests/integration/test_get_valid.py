"""``user.oauth_tokens.get_valid()`` for one caller."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AbstractUser
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.encryption import generate_key
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, FRESH, STALE, age

pytestmark = pytest.mark.usefixtures("provider")


def test_a_fresh_token_costs_one_query_and_asks_nobody(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    django_assert_num_queries: DjangoAssertNumQueries,
    configure: Callable[..., None],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as redis:
        redis.setblocking(False)
        configure(REDIS_URL=f"redis://127.0.0.1:{redis.getsockname()[1]}/0")
        with django_assert_num_queries(1) as captured:
            found = user.oauth_tokens.get_valid("acme")
            assert found.access_token == token.access_token
        with pytest.raises(BlockingIOError):
            redis.accept()
    assert captured.captured_queries[0]["sql"].startswith("SELECT")
    assert provider.requests() == []


def test_what_a_token_tells(user: AbstractUser, provider: Provider) -> None:
    response = provider.issue(scope="profile email")
    before = timezone.now()
    user.oauth_tokens.store("acme", response)
    token = user.oauth_tokens.get_valid("acme")
    assert token.access_token == response["access_token"]
    assert token.authorization == f"Bearer {response['access_token']}"
    assert token.scopes == {"profile", "email"}
    assert abs(token.expires_at - before - timedelta(seconds=3600)) < timedelta(seconds=5)
    assert not token.is_expired
    assert not token.needs_refresh
    assert not token.is_refresh_token_expired


def test_a_token_is_a_requests_auth_object(token: OAuthToken, provider: Provider) -> None:
    answer = requests.get(f"{provider.url}/userinfo", auth=token, timeout=2)
    assert answer.json()["sub"] == "alice"


@pytest.mark.parametrize("seconds_left", [STALE, EXPIRED, 20])
def test_a_stale_or_expired_token_is_refreshed(
    user: AbstractUser, token: OAuthToken, provider: Provider, seconds_left: float
) -> None:
    old = (token.access_token, token.refresh_token)
    age(token, seconds_left)
    found = user.oauth_tokens.get_valid("acme")
    assert (found.access_token, found.refresh_token) != old
    assert found.pk == token.pk
    assert found.version == token.version + 1
    assert not found.needs_refresh
    assert provider.refreshes == 1
    answer = requests.get(f"{provider.url}/userinfo", auth=found, timeout=2)
    assert answer.status_code == 200
    assert user.oauth_tokens.get_valid("acme").access_token == found.access_token
    assert provider.refreshes == 1


def test_the_threshold_is_a_fifth_of_a_short_lifetime(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, 150, lifetime=600)
    user.oauth_tokens.get_valid("acme")
    assert provider.refreshes == 0
    age(token, 110, lifetime=600)
    user.oauth_tokens.get_valid("acme")
    assert provider.refreshes == 1


def test_min_ttl_asks_for_a_longer_life(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, FRESH)
    user.oauth_tokens.get_valid("acme", min_ttl=600)
    assert provider.refreshes == 0
    user.oauth_tokens.get_valid("acme", min_ttl=3000)
    assert provider.refreshes == 1


def test_a_token_without_expiry_is_never_refreshed(user: AbstractUser, provider: Provider) -> None:
    provider.configure(omit=["expires_in"])
    token = user.oauth_tokens.store("acme", provider.issue())
    OAuthToken.objects.filter(pk=token.pk).update(expires_at=None)
    found = user.oauth_tokens.get_valid("acme")
    assert found.expires_at is None
    assert not found.needs_refresh
    assert provider.refreshes == 0


def test_nothing_connected(user: AbstractUser) -> None:
    with pytest.raises(exceptions.TokenNotConnected) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.provider == "acme"
    assert caught.value.connect_url == "/oauth/acme/connect/"
    assert not caught.value.retryable


def test_another_users_token_is_out_of_reach(
    user: AbstractUser, token: OAuthToken, django_user_model: type[AbstractUser]
) -> None:
    bob = django_user_model.objects.create_user("bob")
    with pytest.raises(exceptions.TokenNotConnected):
        bob.oauth_tokens.get_valid("acme")


def test_an_unknown_provider_is_the_operators_fault(user: AbstractUser) -> None:
    with pytest.raises(exceptions.ProviderMisconfigured, match="'acme'"):
        user.oauth_tokens.get_valid("acmee")


def test_the_only_provider_need_not_be_named(
    user: AbstractUser, token: OAuthToken, provider: Provider, configure: Callable[..., None]
) -> None:
    assert user.oauth_tokens.get_valid() == token
    configure(PROVIDERS={"acme": provider.settings(), "other": provider.settings()})
    user.oauth_tokens.store("other", provider.issue())
    with pytest.raises(exceptions.OAuthTokenError, match="say which") as caught:
        user.oauth_tokens.get_valid()
    assert caught.value.code == "ambiguous_provider"


def test_with_no_connection_at_all_the_provider_need_not_be_named_either(
    user: AbstractUser,
) -> None:
    with pytest.raises(exceptions.TokenNotConnected):
        user.oauth_tokens.get_valid()


def test_without_a_user_the_error_names_the_fix() -> None:
    with pytest.raises(TypeError, match=r"user\.oauth_tokens"):
        OAuthToken.objects.get_valid("acme")


def test_account_picks_among_several(user: AbstractUser, provider: Provider) -> None:
    work = user.oauth_tokens.store("acme", provider.issue(), account_id="work")
    home = user.oauth_tokens.store("acme", provider.issue(), account_id="home")
    assert user.oauth_tokens.get_valid("acme", account="work") == work
    assert user.oauth_tokens.get_valid("acme", account="home") == home
    with pytest.raises(exceptions.OAuthTokenError, match="account_id") as ambiguous:
        user.oauth_tokens.get_valid("acme")
    assert ambiguous.value.code == "ambiguous_account"
    with pytest.raises(exceptions.TokenNotConnected):
        user.oauth_tokens.get_valid("acme", account="attic")


def test_scopes_that_were_not_granted(user: AbstractUser, token: OAuthToken) -> None:
    assert user.oauth_tokens.get_valid("acme", scopes=["email"]) == token
    with pytest.raises(exceptions.InsufficientScope) as caught:
        user.oauth_tokens.get_valid("acme", scopes=["email", "files", "mail"])
    assert caught.value.missing == {"files", "mail"}
    assert caught.value.connect_url == exceptions.connect_url("acme", ["files", "mail"])


def test_the_related_manager_is_a_manager(user: AbstractUser, token: OAuthToken) -> None:
    assert user.oauth_tokens.count() == 1
    assert user.oauth_tokens.filter(provider="acme").get() == token
    assert list(user.oauth_tokens.filter(status="active")) == [token]


def test_a_dead_grant_asks_for_the_user_once(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=400, body={"error": "invalid_grant"})
    for _ in range(3):
        with pytest.raises(exceptions.ReauthenticationRequired) as caught:
            user.oauth_tokens.get_valid("acme")
        assert caught.value.code == "refresh_token_invalid"
        assert caught.value.connect_url == "/oauth/acme/connect/"
    assert provider.refreshes == 1
    row = OAuthToken.objects.get()
    assert (row.status, row.error_code) == ("reauth_required", "refresh_token_invalid")


def test_no_refresh_token(user: AbstractUser, provider: Provider) -> None:
    provider.configure(omit=["refresh_token"])
    token = age(user.oauth_tokens.store("acme", provider.issue()), STALE)
    assert user.oauth_tokens.get_valid("acme") == token
    age(token, EXPIRED)
    with pytest.raises(exceptions.ReauthenticationRequired) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.code == "no_refresh_token"
    assert provider.refreshes == 0


def test_an_expired_refresh_token_is_not_sent(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    yesterday = timezone.now() - timedelta(days=1)
    OAuthToken.objects.update(refresh_token_expires_at=yesterday)
    with pytest.raises(exceptions.ReauthenticationRequired) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.code == "refresh_token_expired"
    assert provider.refreshes == 0


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 502, "body": "<html>Bad Gateway</html>"}),
        ("status", {"status": 429, "headers": {"Retry-After": "7"}}),
        ("status", {"status": 200, "body": {"error": "slow_down"}}),
        ("truncated", {}),
        ("redirect", {}),
        ("huge", {}),
        ("reset", {}),
        ("hang", {}),
    ],
)
def test_an_outage_is_invisible_until_expiry_and_then_fails_fast(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Callable[..., None],
    mode: str,
    arguments: dict[str, Any],
) -> None:
    configure(HTTP_TIMEOUT=0.5)
    provider.misbehave(mode, **arguments)
    age(token, STALE)
    assert user.oauth_tokens.get_valid("acme").access_token == token.access_token
    assert provider.refreshes == 1
    age(token, EXPIRED)
    for _ in range(3):
        with pytest.raises(exceptions.RefreshFailed) as caught:
            user.oauth_tokens.get_valid("acme")
        assert caught.value.retryable
        assert 0 < (caught.value.retry_after or 0) <= 3600
    assert provider.refreshes == 1
    row = OAuthToken.objects.get()
    assert (row.status, row.failure_count) == ("active", 1)
    assert (row.access_token, row.refresh_token) == (token.access_token, token.refresh_token)


def test_retry_after_is_obeyed(user: AbstractUser, token: OAuthToken, provider: Provider) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=429, headers={"Retry-After": "900"})
    with pytest.raises(exceptions.RefreshFailed) as caught:
        user.oauth_tokens.get_valid("acme")
    assert 890 <= (caught.value.retry_after or 0) <= 901


def test_invalid_client_is_the_operators_fault_and_marks_no_user(
    user: AbstractUser, token: OAuthToken, configure: Callable[..., None]
) -> None:
    age(token, EXPIRED)
    configure(acme={"client_secret": "wrong-secret-value"})
    with pytest.raises(exceptions.ProviderMisconfigured) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.code == "invalid_client"
    assert "wrong-secret-value" not in str(caught.value)
    row = OAuthToken.objects.get()
    assert (row.status, row.failure_count) == ("active", 0)


def test_a_lost_key_asks_for_the_user_instead_of_crashing(
    user: AbstractUser, token: OAuthToken, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(ENCRYPTION_KEYS=[generate_key()])
    age(token, EXPIRED)
    with pytest.raises((exceptions.ReauthenticationRequired, exceptions.DecryptionError)):
        user.oauth_tokens.get_valid("acme")
    assert provider.refreshes == 0


def test_a_moved_ciphertext_does_not_open(
    user: AbstractUser, token: OAuthToken, provider: Provider, django_user_model: Any
) -> None:
    bob = django_user_model.objects.create_user("bob")
    bobs = bob.oauth_tokens.store("acme", provider.issue(user="bob"))
    rows = OAuthToken.objects
    rows.filter(pk=token.pk).update(
        encrypted_access_token=rows.get(pk=bobs.pk).encrypted_access_token
    )
    with pytest.raises((exceptions.ReauthenticationRequired, exceptions.DecryptionError)) as caught:
        _ = user.oauth_tokens.get_valid("acme").access_token
    assert caught.value.code == "undecryptable"
    assert str(rows.get(pk=token.pk))


def test_force_refresh_and_report_unauthorized(token: OAuthToken, provider: Provider) -> None:
    twin = OAuthToken.objects.get()
    first = token.access_token
    assert token.refresh().access_token != first
    assert provider.refreshes == 1
    assert twin.report_unauthorized().access_token == token.access_token
    assert provider.refreshes == 1
    assert twin.report_unauthorized().access_token != token.access_token
    assert provider.refreshes == 2


@pytest.mark.django_db(transaction=True)
def test_the_async_twins(user: AbstractUser, provider: Provider) -> None:
    async def use() -> tuple[str, str]:
        stored = await user.oauth_tokens.astore("acme", provider.issue())
        found = await user.oauth_tokens.aget_valid("acme")
        await found.arefresh()
        await user.oauth_tokens.adisconnect("acme")
        return stored.access_token, found.access_token

    first, second = async_to_sync(use)()
    assert first != second
    assert provider.refreshes == 1
    assert user.oauth_tokens.count() == 0


def test_scopes_may_be_one_string_with_spaces(user: AbstractUser, token: OAuthToken) -> None:
    assert user.oauth_tokens.get_valid("acme", scopes="profile email").scopes >= {"profile"}
    with pytest.raises(exceptions.InsufficientScope) as caught:
        user.oauth_tokens.get_valid("acme", scopes="profile calendar files")
    assert caught.value.missing == {"calendar", "files"}


def test_of_several_accounts_those_that_need_their_user_stand_back(
    user: AbstractUser, provider: Provider
) -> None:
    first = user.oauth_tokens.store("acme", provider.issue(), account_id="1")
    second = user.oauth_tokens.store("acme", provider.issue(), account_id="2")
    first.require_reauthentication("provider_reported")
    assert user.oauth_tokens.get_valid("acme") == second
    second.require_reauthentication("provider_reported")
    with pytest.raises(exceptions.ReauthenticationRequired):
        user.oauth_tokens.get_valid("acme")
