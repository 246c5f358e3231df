"""What users and operators do while a refresh is under way, or while the provider is down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.contrib.auth.models import AbstractUser
from django.db import transaction

from oauth_tokens import OAuthToken, TokenEvent, exceptions, upkeep
from oauth_tokens.models import PendingRevocation
from tests.support.fault_callers import Caller
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., Caller]


def works(provider: Provider, access_token: str) -> bool:
    """Whether the provider's own API takes it."""
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(f"{provider.url}/userinfo", headers=headers, timeout=5).status_code == 200


def revoked(provider: Provider) -> int:
    """Let beat do its part, and count what was given back."""
    upkeep.revoke_pending()
    assert not PendingRevocation.objects.exists()
    return len(provider.requests("revoke"))


@pytest.fixture
def refreshing(token: OAuthToken, callers: Start) -> Caller:
    """A refresh whose answer has arrived and is not saved yet."""
    age(token, EXPIRED)
    caller = callers("answered")
    caller.reach()
    return caller


def test_a_reconnect_during_a_refresh_stands(
    user: AbstractUser, provider: Provider, refreshing: Caller, received: list[Any]
) -> None:
    """Row 11."""
    new = user.oauth_tokens.store("acme", provider.issue())
    refreshing.go_on()
    assert refreshing.result()["token"] == new.access_token
    row = OAuthToken.objects.get()
    assert (row.grant_id, row.version, row.status) == (new.grant_id, 2, "active")
    assert (row.access_token, row.refresh_token) == (new.access_token, new.refresh_token)
    assert row.encrypted_spare_refresh_token is None
    assert revoked(provider) == 1
    assert works(provider, new.access_token)
    assert row.refresh().version == 3
    assert (provider.refreshes, provider.replays) == (2, 0)
    assert [name for name, _ in received] == ["token_stored", "token_refreshed"]


@pytest.mark.postgresql
def test_a_reconnect_in_a_transaction_that_takes_its_time_stands(
    user: AbstractUser, provider: Provider, refreshing: Caller
) -> None:
    """Row 11: the refresh has to wait for the row, and must not take it from under the user."""
    with transaction.atomic():
        new = user.oauth_tokens.store("acme", provider.issue())
        refreshing.go_on()
        assert not refreshing.process.join(0.5)
    assert refreshing.result()["token"] == new.access_token
    assert OAuthToken.objects.get().refresh_token == new.refresh_token
    assert revoked(provider) == 1
    assert works(provider, new.access_token)


def test_a_reconnect_that_is_rolled_back_never_was(
    user: AbstractUser, provider: Provider, refreshing: Caller
) -> None:
    """Row 11, the other way round."""
    with transaction.atomic():
        user.oauth_tokens.store("acme", provider.issue())
        transaction.set_rollback(True)
    refreshing.go_on()
    found = refreshing.result()
    row = OAuthToken.objects.get()
    assert found["token"] == row.access_token
    assert row.access_token.startswith("at-1-2-")
    assert revoked(provider) == 0
    assert row.refresh().version == 3


def test_a_new_consent_without_a_refresh_token_keeps_the_late_one(
    user: AbstractUser, provider: Provider, refreshing: Caller
) -> None:
    """Row 11: the stored grant goes on, so what the refresh got still belongs to it."""
    response = provider.issue()
    del response["refresh_token"]
    user.oauth_tokens.store("acme", response)
    refreshing.go_on()
    assert refreshing.result()["token"] == response["access_token"]
    row = OAuthToken.objects.get()
    assert (row.refresh_token or "").startswith("rt-1-2-"), "the one that was sent is used up"
    assert row.encrypted_spare_refresh_token is None
    assert revoked(provider) == 0


def test_a_disconnect_during_a_refresh_stays(
    user: AbstractUser, provider: Provider, refreshing: Caller
) -> None:
    """Row 12."""
    assert user.oauth_tokens.disconnect("acme")
    refreshing.go_on()
    assert refreshing.result()["error"] == "TokenNotConnected"
    with pytest.raises(exceptions.TokenNotConnected):
        user.oauth_tokens.get_valid("acme")
    assert not OAuthToken.objects.exists()
    assert revoked(provider) == 2, "the stored refresh token and the late one"
    assert not TokenEvent.objects.filter(kind__in=["refreshed", "spare_kept"]).exists()


def test_a_disconnect_while_the_provider_is_down_and_a_refresh_is_under_way(
    user: AbstractUser, provider: Provider, refreshing: Caller
) -> None:
    """Rows 12 and 13: the row still waits for its revocation when the late tokens come."""
    provider.misbehave("status", kinds=["revoke"], status=503)
    assert user.oauth_tokens.disconnect("acme")
    refreshing.go_on()
    assert refreshing.result()["error"] == "TokenNotConnected"
    assert OAuthToken.objects.get().status == "revoking"
    provider.behave()
    make_revocations_due()
    upkeep.revoke_pending()
    assert not OAuthToken.objects.exists()
    assert not PendingRevocation.objects.exists()


def make_revocations_due() -> None:
    """As if the backoff had passed."""
    long_ago = TokenEvent.objects.earliest("created_at").created_at
    OAuthToken.objects.filter(status="revoking").update(refresh_at=long_ago)
    PendingRevocation.objects.update(retry_at=long_ago)


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [("status", {"status": 503}), ("reset", {}), ("hang", {}), ("status", {"status": 429})],
    ids=["503", "reset", "hang", "429"],
)
def test_a_disconnect_while_the_provider_is_down(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Any,
    mode: str,
    arguments: dict[str, Any],
) -> None:
    """Row 13."""
    configure(HTTP_TIMEOUT=0.5)
    provider.misbehave(mode, kinds=["revoke"], **arguments)
    assert user.oauth_tokens.disconnect("acme")
    for _ in range(2):
        with pytest.raises(exceptions.TokenNotConnected):
            user.oauth_tokens.get_valid("acme")
        with pytest.raises(exceptions.TokenNotConnected):
            token.refresh()
        make_revocations_due()
        assert upkeep.revoke_pending() == 0
    assert upkeep.dispatch_due(lambda *_: pytest.fail("not to be refreshed")) == 0
    assert works(provider, token.access_token)
    provider.behave()
    make_revocations_due()
    assert upkeep.revoke_pending() == 1
    assert not works(provider, token.access_token)
    assert not OAuthToken.objects.exists()
    assert provider.refreshes == 0


def test_a_reconnect_before_the_revocation_succeeded(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 13: the old grant is still given back, the new one is not."""
    provider.misbehave("status", kinds=["revoke"], status=503)
    user.oauth_tokens.disconnect("acme")
    new = user.oauth_tokens.store("acme", provider.issue())
    provider.behave()
    if PendingRevocation.objects.exists():
        make_revocations_due()
    upkeep.revoke_pending()
    assert not works(provider, token.access_token)
    assert works(provider, user.oauth_tokens.get_valid("acme").access_token)
    assert user.oauth_tokens.get_valid("acme").access_token == new.access_token


# Row 23


def test_a_user_is_deleted_during_a_refresh(
    user: AbstractUser, provider: Provider, refreshing: Caller, django_user_model: Any
) -> None:
    """Row 23."""
    bob = django_user_model.objects.create_user("bob")
    bobs = age(bob.oauth_tokens.store("acme", provider.issue(user="bob")), EXPIRED)
    user.delete()
    refreshing.go_on()
    assert refreshing.result()["error"] == "TokenNotConnected"
    assert list(OAuthToken.objects.all()) == [bobs]
    assert revoked(provider) == 2  # the late ones, and what the row held
    assert bob.oauth_tokens.get_valid("acme").version == 2


def test_a_provider_is_taken_out_of_the_settings(
    user: AbstractUser, token: OAuthToken, provider: Provider, configure: Any
) -> None:
    """Row 23."""
    configure(PROVIDERS={"acme": provider.settings(), "other": provider.settings()})
    other = age(user.oauth_tokens.store("other", provider.issue()), EXPIRED)
    age(token, EXPIRED)
    configure(PROVIDERS={"other": provider.settings()})
    with pytest.raises(exceptions.ProviderMisconfigured) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.code == "unknown_provider"
    results: list[str] = []
    upkeep.dispatch_due(lambda pk, version: results.append(upkeep.refresh_one(pk, version)))
    assert results == ["refreshed"]
    assert OAuthToken.objects.get(pk=other.pk).version == 2
    row = OAuthToken.objects.get(pk=token.pk)
    assert (row.status, row.version) == ("active", 1)
    assert user.oauth_tokens.disconnect("acme"), "which it can do without the provider"
    assert list(OAuthToken.objects.all()) == [other]
    configure(PROVIDERS={"acme": provider.settings()})
    assert user.oauth_tokens.store("acme", provider.issue()).refresh().version == 2


def test_a_provider_is_taken_out_during_a_refresh(
    user: AbstractUser, provider: Provider, refreshing: Caller, configure: Any
) -> None:
    """Row 23: the worker that still knows the provider saves what it got."""
    configure(PROVIDERS={})
    refreshing.go_on()
    assert refreshing.result()["version"] == 2
    with pytest.raises(exceptions.ProviderMisconfigured):
        age(OAuthToken.objects.get(), EXPIRED).refresh()
    assert provider.refreshes == 1


def test_another_client_id_in_the_settings(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Any,
    django_user_model: Any,
) -> None:
    """Row 23: the provider takes a refresh token from the client that it was issued to only (RFC
    6749 section 5.2), so the user of an older one is asked, and nobody else is."""
    bob = django_user_model.objects.create_user("bob")
    configure(acme={"client_id": "the-client-before"})
    old = age(bob.oauth_tokens.store("acme", provider.issue(user="bob")), EXPIRED)
    configure(acme={"client_id": provider.settings()["client_id"]})
    age(token, EXPIRED)
    provider.misbehave("status", times=1, status=400, body={"error": "invalid_grant"})
    with pytest.raises(exceptions.ReauthenticationRequired) as caught:
        bob.oauth_tokens.get_valid("acme")
    assert caught.value.code == "refresh_token_invalid"
    assert OAuthToken.objects.get(pk=old.pk).client_id == "the-client-before"
    assert user.oauth_tokens.get_valid("acme").version == 2
    again = bob.oauth_tokens.store("acme", provider.issue(user="bob"))
    assert (again.status, again.client_id) == ("active", provider.settings()["client_id"])
    assert again.refresh().status == "active"
