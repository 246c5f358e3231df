"""Which account at the provider is connected, and what proves it (OpenID Connect Core)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.http import HttpResponse
from django.test import Client

from oauth_tokens import OAuthToken
from oauth_tokens.models import PendingRevocation
from tests.support.consent import begin, connect, consent, id_token, parameters
from tests.support.provider import Provider

Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser, provider: Provider) -> None:
    client.force_login(user)


@pytest.fixture
def openid(provider: Provider, configure: Configure) -> None:
    configure(
        acme={
            "issuer": provider.url,
            "scope": ["openid", "email"],
            "account_id_from": "id_token.sub",
            "account_label_from": "id_token.email",
        }
    )


def connect_with(client: Client, provider: Provider, **claims: Any) -> HttpResponse:
    """Connect, the answer's ID token having ``claims`` and the nonce that was asked for."""
    url = begin(client)
    claims = {"nonce": parameters(url)["nonce"], **claims}
    provider.configure(override={"id_token": id_token(provider, **claims)})
    response: HttpResponse = client.get(consent(url))
    return response


@pytest.mark.usefixtures("openid")
def test_the_account_of_the_id_token(client: Client, provider: Provider) -> None:
    assert connect_with(client, provider).status_code == 302
    token = OAuthToken.objects.get()
    assert (token.account_id, token.account_label) == ("alice-7", "alice@acme.example")
    assert token.id_token


@pytest.mark.usefixtures("openid")
def test_an_audience_among_others_and_a_clock_a_little_behind(
    client: Client, provider: Provider
) -> None:
    claims = {"aud": ["other", "client"], "exp": time.time() - 10}
    assert connect_with(client, provider, **claims).status_code == 302


@pytest.mark.usefixtures("openid")
def test_two_accounts_stand_side_by_side(client: Client, provider: Provider) -> None:
    connect_with(client, provider, sub="one")
    connect_with(client, provider, sub=2)
    connect_with(client, provider, sub="one", email="new@acme.example")
    rows = OAuthToken.objects.order_by("account_id").values_list("account_id", "account_label")
    assert list(rows) == [("2", "alice@acme.example"), ("one", "new@acme.example")]


@pytest.mark.usefixtures("openid")
@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://evil.example"}, "id_token_iss"),
        ({"aud": "other"}, "id_token_aud"),
        ({"aud": ["other"]}, "id_token_aud"),
        ({"aud": None}, "id_token_aud"),
        ({"exp": 1}, "id_token_exp"),
        ({"exp": "soon"}, "id_token_exp"),
        ({"nonce": "replayed"}, "id_token_nonce"),
        ({"nonce": None}, "id_token_nonce"),
    ],
)
def test_an_id_token_for_somebody_else(
    client: Client, provider: Provider, claims: dict[str, Any], code: str
) -> None:
    answer = connect_with(client, provider, **claims)
    assert answer.status_code == 400
    assert code in answer.content.decode()
    assert not OAuthToken.objects.exists()
    # What was received and is not used is given back.
    assert len(provider.requests("revoke")) == 1
    assert not PendingRevocation.objects.exists()


@pytest.mark.usefixtures("openid")
@pytest.mark.parametrize("text", ["x", "a.b.c", "a.e30", "..", "a.WzFd.c"])
def test_an_id_token_that_is_none(client: Client, provider: Provider, text: str) -> None:
    provider.configure(override={"id_token": text})
    answer = connect(client)
    assert answer.status_code == 400
    assert "id_token_" in answer.content.decode()
    assert not OAuthToken.objects.exists()


@pytest.mark.usefixtures("openid")
@pytest.mark.parametrize("sub", [None, "", True, {"a": 1}, "x" * 256])
def test_an_account_without_a_usable_id(client: Client, provider: Provider, sub: object) -> None:
    answer = connect_with(client, provider, sub=sub)
    assert answer.status_code == 502
    assert "account_unknown" in answer.content.decode()
    assert not OAuthToken.objects.exists()
    assert len(provider.requests("revoke")) == 1


@pytest.mark.usefixtures("openid")
def test_the_id_token_is_missing(client: Client, provider: Provider) -> None:
    assert connect(client).status_code == 502
    assert not OAuthToken.objects.exists()


def test_the_account_of_the_answer(
    client: Client, provider: Provider, configure: Configure
) -> None:
    configure(acme={"account_id_from": "response.team.id", "metadata_fields": ["team.id", "realm"]})
    provider.configure(override={"team": {"id": 42}})
    client.get(consent(begin(client)) + "&realm=R1")
    token = OAuthToken.objects.get()
    assert token.account_id == "42"
    assert token.extra == {"team.id": 42, "realm": "R1"}


def test_the_account_of_userinfo(client: Client, configure: Configure) -> None:
    configure(acme={"account_id_from": "userinfo.sub", "account_label_from": "userinfo.email"})
    assert connect(client).status_code == 302
    token = OAuthToken.objects.get()
    assert (token.account_id, token.account_label) == ("alice", "alice@acme.example")


@pytest.mark.usefixtures("openid")
def test_userinfo_about_somebody_else(
    client: Client, provider: Provider, configure: Configure
) -> None:
    configure(acme={"account_label_from": "userinfo.email"})
    answer = connect_with(client, provider)
    assert answer.status_code == 400
    assert "subject_mismatch" in answer.content.decode()
    assert not OAuthToken.objects.exists()


@pytest.mark.parametrize("mode", ["status", "truncated", "reset"])
def test_a_failing_userinfo_connects_no_account(
    client: Client, provider: Provider, configure: Configure, mode: str
) -> None:
    configure(acme={"account_id_from": "userinfo.sub"})
    provider.misbehave(mode, kinds=["userinfo"])
    answer = connect(client)
    assert answer.status_code == 502
    assert not OAuthToken.objects.exists()
    assert len(provider.requests("revoke")) == 1


def test_a_label_is_not_worth_failing_for(
    client: Client, provider: Provider, configure: Configure
) -> None:
    configure(acme={"account_label_from": "userinfo.email"})
    provider.misbehave("status", kinds=["userinfo"])
    assert connect(client).status_code == 302
    assert OAuthToken.objects.get().account_label == ""


def test_what_cannot_be_given_back_now_is_given_back_later(
    client: Client, provider: Provider, configure: Configure
) -> None:
    configure(acme={"account_id_from": "userinfo.sub"})
    provider.misbehave("status", kinds=["userinfo", "revoke"])
    connect(client)
    pending = PendingRevocation.objects.get()
    assert pending.token_type_hint == "refresh_token"
    assert pending.token.startswith("rt-")


def test_a_userinfo_endpoint_that_is_not_configured(
    client: Client, provider: Provider, configure: Configure
) -> None:
    configure(acme={"account_id_from": "userinfo.sub", "userinfo_endpoint": ""})
    answer = connect(client)
    assert answer.status_code == 500
    assert "missing_endpoint" in answer.content.decode()
    assert len(provider.requests("revoke")) == 1


def test_giving_back_must_not_end_the_grant_that_stands(
    client: Client, provider: Provider, configure: Configure
) -> None:
    configure(acme={"account_id_from": "userinfo.id", "revocation_revokes_siblings": True})
    assert connect(client).status_code == 502
    assert provider.requests("revoke") == []
