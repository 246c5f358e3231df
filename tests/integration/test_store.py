"""``store()`` and ``disconnect()``."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent, exceptions
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.usefixtures("provider")


def test_the_database_holds_no_token_in_the_clear(user: AbstractUser, provider: Provider) -> None:
    provider.configure(override={"id_token": "id-token-value"})
    response = provider.issue()
    user.oauth_tokens.store("acme", response)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            if table.startswith("oauth_tokens_"):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
                for row in cursor.fetchall():
                    stored = b"".join(
                        bytes(value)
                        if isinstance(value, (bytes, memoryview))
                        else str(value).encode()
                        for value in row
                    )
                    for key in ("access_token", "refresh_token", "id_token"):
                        assert response[key].encode() not in stored


def as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()


def test_storing_again_replaces_the_grant_and_its_state(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=400, body={"error": "invalid_grant"}, times=1)
    with pytest.raises(exceptions.ReauthenticationRequired):
        user.oauth_tokens.get_valid("acme")
    response = provider.issue()
    again = user.oauth_tokens.store("acme", response)
    assert again.pk == token.pk
    row = OAuthToken.objects.get()
    assert (row.status, row.error_code, row.failure_count) == ("active", "", 0)
    assert row.version > token.version
    assert user.oauth_tokens.get_valid("acme").access_token == response["access_token"]


def test_storing_again_without_a_refresh_token_keeps_the_old_one(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    provider.configure(omit=["refresh_token"])
    user.oauth_tokens.store("acme", provider.issue())
    assert OAuthToken.objects.get().refresh_token == token.refresh_token


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"access_token": ""},
        {"access_token": None, "refresh_token": "rt-secret"},
        {"error": "invalid_grant"},
        {"token": "x"},
        "access_token",
        None,
        [],
    ],
)
def test_a_malformed_response_is_refused_and_the_row_stays(
    user: AbstractUser, token: OAuthToken, response: Any
) -> None:
    with pytest.raises(exceptions.InvalidTokenResponse) as caught:
        user.oauth_tokens.store("acme", response)
    assert "rt-secret" not in str(caught.value)
    row = OAuthToken.objects.get()
    assert (row.version, row.access_token) == (token.version, token.access_token)


def test_an_unknown_provider_stores_nothing(user: AbstractUser, provider: Provider) -> None:
    with pytest.raises(exceptions.ProviderMisconfigured):
        user.oauth_tokens.store("acmee", provider.issue())
    assert OAuthToken.objects.count() == 0


@pytest.mark.parametrize(
    ("expires_in", "expected"),
    [
        ("absent", 3600),
        (None, 3600),
        ("", 3600),
        (0, 3600),
        (-1, 3600),
        ("1800", 1800),
        (60.5, 60.5),
    ],
)
def test_expiry_of_each_spelling(
    user: AbstractUser, provider: Provider, expires_in: Any, expected: float
) -> None:
    response = {**provider.issue(), "expires_in": expires_in}
    if expires_in == "absent":
        del response["expires_in"]
    token = user.oauth_tokens.store("acme", response)
    left = (token.expires_at - timezone.now()).total_seconds()
    assert expected - 5 < left <= expected


@pytest.mark.parametrize("ago", [500, -1800])
def test_what_a_client_kept_is_as_old_as_it_is(
    user: AbstractUser, provider: Provider, ago: int
) -> None:
    kept = {**provider.issue(), "expires_in": 3600, "expires_at": time.time() - ago}
    token = user.oauth_tokens.store("acme", kept)
    assert token.is_expired is (ago > 0)
    if ago < 0:
        assert abs(token.seconds_left + ago) < 5
    assert user.oauth_tokens.get_valid("acme").version == (2 if ago > 0 else 1)


@pytest.mark.parametrize("refresh_token", ["absent", None, ""])
def test_a_refresh_answer_without_a_refresh_token_keeps_the_old_one(
    user: AbstractUser, token: OAuthToken, provider: Provider, refresh_token: Any
) -> None:
    age(token, EXPIRED)
    if refresh_token == "absent":
        provider.configure(omit=["refresh_token"], rotation="none")
    else:
        provider.configure(override={"refresh_token": refresh_token}, rotation="none")
    found = user.oauth_tokens.get_valid("acme")
    assert found.access_token != token.access_token
    assert found.refresh_token == token.refresh_token


@pytest.mark.parametrize("scope", [None, "absent"])
def test_a_refresh_answer_without_scope_keeps_the_granted_ones(
    user: AbstractUser, token: OAuthToken, provider: Provider, scope: Any
) -> None:
    age(token, EXPIRED)
    provider.configure(override={"scope": None}, omit=["scope"] if scope == "absent" else [])
    assert user.oauth_tokens.get_valid("acme").scopes == {"profile", "email"}


def test_refresh_is_due_before_expiry(user: AbstractUser, provider: Provider) -> None:
    token = user.oauth_tokens.store("acme", provider.issue())
    ahead = token.expires_at - token.refresh_at
    assert timedelta(seconds=300) <= ahead < timedelta(seconds=3600)


def test_saving_an_old_instance_does_not_bring_old_tokens_back(
    user: AbstractUser, token: OAuthToken
) -> None:
    stale = OAuthToken.objects.get()
    newest = token.refresh().access_token
    stale.account_label = "Work"
    stale.save()
    row = OAuthToken.objects.get()
    assert (row.access_token, row.account_label) == (newest, "Work")
    with pytest.raises(ValueError, match="store"):
        stale.save(update_fields=["encrypted_access_token"])


def test_nothing_shows_a_token(user: AbstractUser, token: OAuthToken) -> None:
    secrets = [token.access_token, token.refresh_token]
    texts = [repr(token), str(token), repr(OAuthToken.objects.all()), repr(vars(token))]
    for secret in secrets:
        assert not [text for text in texts if secret in text]


def test_disconnect_revokes_at_the_provider_and_forgets(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    user.oauth_tokens.disconnect("acme")
    assert user.oauth_tokens.count() == 0
    assert len(provider.requests("revoke")) == 1
    with pytest.raises(exceptions.TokenNotConnected):
        user.oauth_tokens.get_valid("acme")
    kinds = set(TokenEvent.objects.values_list("kind", flat=True))
    assert {"stored", "disconnected"} <= kinds


def test_disconnecting_one_account_leaves_the_other(user: AbstractUser, provider: Provider) -> None:
    user.oauth_tokens.store("acme", provider.issue(), account_id="work")
    user.oauth_tokens.store("acme", provider.issue(), account_id="home")
    user.oauth_tokens.disconnect("acme", account="work")
    assert [token.account_id for token in user.oauth_tokens.all()] == ["home"]


def test_disconnecting_what_is_not_connected(user: AbstractUser, token: OAuthToken) -> None:
    assert user.oauth_tokens.disconnect("acme", account="other") is False
    assert user.oauth_tokens.disconnect("acme") is True
    assert user.oauth_tokens.disconnect("acme") is False


@pytest.mark.parametrize(
    ("mode", "arguments"), [("status", {"status": 503}), ("reset", {}), ("hang", {})]
)
def test_a_provider_that_is_down_delays_the_revocation(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Callable[..., None],
    mode: str,
    arguments: dict[str, Any],
) -> None:
    from oauth_tokens.tasks import revoke_pending

    configure(HTTP_TIMEOUT=0.5)
    provider.misbehave(mode, kinds=["revoke"], **arguments)
    user.oauth_tokens.disconnect("acme")
    with pytest.raises(exceptions.TokenNotConnected):
        user.oauth_tokens.get_valid("acme")
    provider.behave()
    attempts = len(provider.requests("revoke"))
    make_revocations_due()
    revoke_pending()
    answered = [r for r in provider.requests("revoke")[attempts:] if r["status"] == 200]
    assert len(answered) == 1
    make_revocations_due()
    revoke_pending()
    assert len(provider.requests("revoke")) == attempts + 1
    assert user.oauth_tokens.count() == 0


def make_revocations_due() -> None:
    from oauth_tokens.models import PendingRevocation

    past = timezone.now() - timedelta(seconds=1)
    PendingRevocation.objects.update(retry_at=past)
    OAuthToken.objects.filter(status="revoking").update(retry_at=past, refresh_at=past)


def test_deleting_the_user_deletes_the_tokens(user: AbstractUser, token: OAuthToken) -> None:
    user.delete()
    assert OAuthToken.objects.count() == 0
