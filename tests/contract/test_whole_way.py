"""Each preset from the connect page to the disconnect button, with everything in between real."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client
from django.utils import timezone

from oauth_tokens import OAuthToken
from oauth_tokens.exceptions import (
    ProviderMisconfigured,
    ReauthenticationRequired,
    scope_signature,
)
from tests.contract.dialect import CODE, DIALECTS, Dialect
from tests.contract.stand_in import WRONG_SECRET, Conversation

CODE_PARAMETER = {"dingtalk": "authCode"}


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser) -> None:
    client.force_login(user)


def connect(client: Client, conversation: Conversation) -> OAuthToken:
    """Consent, as a user does who has been asked for the variables already."""
    dialect = conversation.dialect
    signature = scope_signature(dialect.name, "", client.session["_auth_user_id"])
    form = {**dialect.variables, "signature": signature}
    start = client.get(f"/oauth/{dialect.name}/connect/", form)
    assert start.status_code == 302, start.content
    location = start["Location"]
    assert location.startswith(f"{dialect.authorize}?")
    asked = {key: values[0] for key, values in parse_qs(urlsplit(location).query).items()}
    assert asked["redirect_uri"] == dialect.redirect_uri
    conversation.nonce = asked.get("nonce")
    back = {
        CODE_PARAMETER.get(dialect.name, "code"): CODE,
        "state": asked["state"],
        **dialect.redirect,
    }
    end = client.get(f"/oauth/{dialect.name}/callback/", back)
    assert end.status_code == 302, end.content
    return OAuthToken.objects.get()


def expire(token: OAuthToken) -> None:
    """The access token has expired, however long the provider lets it live."""
    hour = timedelta(hours=1)
    OAuthToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - hour)


@pytest.mark.parametrize("preset", DIALECTS)
def test_connect_refresh_die_disconnect(
    preset: str,
    client: Client,
    user: AbstractUser,
    dialect: Dialect,
    conversation: Conversation,
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    token = connect(client, conversation)
    assert token.access_token.endswith("ACCESS-1")
    assert token.authorization.startswith("Bearer ")
    assert (token.account_id, token.account_label) == dialect.account
    assert (token.expires_at is None) == (dialect.lifetime is None)
    if dialect.refreshed:
        expire(token)
        token = user.oauth_tokens.get_valid(preset)
        assert token.access_token.endswith("ACCESS-2")
        rotated = '"REFRESH-2"' in dialect.refreshed
        kept = {"access_token": "ACCESS-2", "refresh_token": f"REFRESH-{1 + rotated}"}
        assert token.refresh_token == kept[dialect.renews]
    else:
        assert user.oauth_tokens.get_valid(preset).access_token == "ACCESS-1"
    if dialect.dead:
        conversation.live = set()
        expire(token)
        with pytest.raises(ReauthenticationRequired) as caught:
            user.oauth_tokens.get_valid(preset)
        assert caught.value.code == "refresh_token_invalid"
        token.refresh_from_db()
        assert token.status == "reauth_required"
    with django_capture_on_commit_callbacks(execute=True):
        assert user.oauth_tokens.disconnect(preset)
    assert not OAuthToken.objects.exists()
    told = dialect.revoke and conversation.received[-1].url == dialect.revoke["url"]
    assert bool(told) == bool(dialect.revoke)


@pytest.mark.parametrize("preset", ["github", "strava", "stripe", "auth0", "zoho"])
def test_a_wrong_secret_is_for_the_operator_to_mend(
    preset: str,
    client: Client,
    user: AbstractUser,
    dialect: Dialect,
    conversation: Conversation,
    configure: Callable[..., None],
) -> None:
    token = connect(client, conversation)
    expire(token)
    configure(PROVIDERS={preset: dialect.description(client_secret=WRONG_SECRET)})
    with pytest.raises(ProviderMisconfigured):
        user.oauth_tokens.get_valid(preset)
    token.refresh_from_db()
    assert token.status == "active"
