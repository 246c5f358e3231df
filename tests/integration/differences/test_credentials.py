"""Tokens of an hour for ones of months, and credentials that change."""

from __future__ import annotations

import base64
from collections.abc import Callable

from django.contrib.auth.models import AbstractUser
from django.test import Client
from django.utils import timezone

from oauth_tokens import OAuthToken
from oauth_tokens.models import PendingRevocation
from oauth_tokens.upkeep import revoke_pending
from tests.support.journeys import connect, tokens
from tests.support.recorder import Recorder, Sent

Configure = Callable[..., None]


# A token of an hour for one of months


def test_a_short_lived_token_is_exchanged_for_a_long_lived_one(
    client: Client, user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    describe(
        token_endpoint_auth_method="client_secret_post",
        long_lived_endpoint=f"{server.url}/long",
        long_lived_grant_type="ig_exchange_token",
        refresh_endpoint=f"{server.url}/refresh",
        refresh_method="GET",
        refresh_grant_type="ig_refresh_token",
        refresh_parameter_names={
            "refresh_token": "access_token",
            "client_id": "",
            "client_secret": "",
        },
        refresh_with="access_token",
        account_id_from="response.user_id",
        metadata_fields=["user_id"],
    )
    server.answers["/token"] = {"access_token": "short", "user_id": 17}
    server.answers["/long"] = {"access_token": "long-1", "expires_in": 5184000}
    server.answers["/refresh"] = lambda sent: {
        "access_token": sent.query["access_token"] + "+",
        "expires_in": 5184000,
    }
    assert connect(client).status_code == 302
    token = user.oauth_tokens.get_valid("acme")
    assert (token.access_token, token.account_id) == ("long-1", "17")
    assert token.extra == {"user_id": 17}
    assert token.seconds_left > 5_000_000
    token.refresh()
    assert token.access_token == "long-1+"
    token.refresh()
    assert token.access_token == "long-1++"
    assert [set(sent.query) for sent in server.of("/refresh")] == [
        {"grant_type", "access_token"}
    ] * 2
    assert server.of("/long")[0].query["client_secret"] == "new-secret"


def test_a_second_exchange_that_fails_connects_nothing(
    client: Client, server: Recorder, describe: Configure
) -> None:
    describe(long_lived_endpoint=f"{server.url}/long", long_lived_grant_type="x")
    server.answers["/token"] = tokens()
    server.answers["/long"] = (500, {})
    assert connect(client).status_code == 503
    assert not OAuthToken.objects.exists()
    assert server.of("/revoke")[0].form["token"] == "rt-1"


# Credentials that change


def client_of(sent: Sent) -> str:
    return base64.b64decode(sent.headers["authorization"].split()[1]).decode()


def test_tokens_of_the_earlier_client_are_refreshed_as_its_own(
    user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    server.answers.update({"/token": tokens(2), "/revoke": {}})
    describe(client_id="old", client_secret="old-secret")
    user.oauth_tokens.store("acme", tokens(), account_id="early")
    describe(previous_clients=[{"client_id": "old", "client_secret": "old-secret"}])
    user.oauth_tokens.store("acme", tokens(), account_id="late")
    for account in ("early", "late"):
        user.oauth_tokens.get_valid("acme", account=account).refresh()
    assert [client_of(sent) for sent in server.of("/token")] == ["old:old-secret", "new:new-secret"]
    # Connecting again makes it a token of the new client.
    user.oauth_tokens.store("acme", tokens(), account_id="early").refresh()
    assert client_of(server.of("/token")[-1]) == "new:new-secret"
    # A client that the settings do not know any more: the one in use now is all there is.
    OAuthToken.objects.update(client_id="gone")
    user.oauth_tokens.get_valid("acme", account="late").refresh()
    assert client_of(server.of("/token")[-1]) == "new:new-secret"


def test_late_tokens_of_the_earlier_client_are_revoked_as_its_own(
    user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    server.answers["/revoke"] = {}
    describe(previous_clients=[{"client_id": "old", "client_secret": "old-secret"}])
    for client_id in ("old", "new"):
        pending = PendingRevocation.enqueue(
            using="default",
            now=timezone.now(),
            user_id=user.pk,
            provider="acme",
            client_id=client_id,
            variables={},
            token="rt",
            token_type_hint="refresh_token",
        )
        assert pending.attempt(timezone.now())
    assert [client_of(s) for s in server.of("/revoke")] == ["old:old-secret", "new:new-secret"]


# Refreshed and revoked where and as it was connected


def test_what_is_kept_goes_into_the_refresh_and_the_revocation(
    client: Client, user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    describe(
        revocation_endpoint=f"{server.url}/{{tenant}}/revoke",
        revocation_token="access_token",
        url_variables=["tenant"],
        metadata_fields=["device_id"],
        refresh_params={"device_id": "{device_id}"},
        previous_clients=[{"client_id": "old", "client_secret": "old-secret"}],
    )
    server.answers.update({"/token": tokens(), "/one/revoke": {}})
    connect(client, {"tenant": "one"}, device_id="d-1")
    OAuthToken.objects.update(client_id="old")
    user.oauth_tokens.get_valid("acme").refresh()
    assert server.of("/token")[-1].form["device_id"] == "d-1"
    assert user.oauth_tokens.disconnect("acme")
    (revoked,) = server.of("/one/revoke")
    assert revoked.form["token"] == "at-1"
    assert client_of(revoked) == "old:old-secret"
    assert not OAuthToken.objects.exists()


def test_a_deleted_users_token_is_given_back_where_it_came_from(
    client: Client, user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    describe(revocation_endpoint=f"{server.url}/{{tenant}}/revoke", url_variables=["tenant"])
    server.answers.update({"/token": tokens(), "/one/revoke": {}})
    connect(client, {"tenant": "one"})
    user.delete()
    PendingRevocation.objects.update(retry_at=timezone.now())
    revoke_pending()
    assert [sent.form["token"] for sent in server.of("/one/revoke")] == ["rt-1"]
