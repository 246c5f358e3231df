"""The state of an authorization request: whose answer is taken, and how often (RFC 6749 10.12)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import AbstractUser
from django.http import HttpResponse
from django.test import Client

from oauth_tokens import OAuthToken
from oauth_tokens.connect import SESSION_KEY
from tests.support.consent import CALLBACK, begin, changed, consent, exchanges
from tests.support.provider import Provider


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser, provider: Provider) -> None:
    client.force_login(user)


def assert_stale(answer: HttpResponse, code: str, provider: Provider) -> None:
    page = answer.content.decode()
    assert answer.status_code == 400
    assert code in page
    assert 'href="/oauth/acme/connect/' in page
    assert exchanges(provider) == 0
    assert not OAuthToken.objects.exists()


@pytest.mark.parametrize("state", [None, "", "guessed", "__proto__"])
def test_a_foreign_state(client: Client, provider: Provider, state: str | None) -> None:
    back = changed(consent(begin(client)), state=state)
    assert_stale(client.get(back), "unknown_state", provider)


def test_a_state_of_another_session(
    client: Client, provider: Provider, django_user_model: type[AbstractUser]
) -> None:
    """Login CSRF: the attacker's code must not be connected to the victim's user."""
    back = consent(begin(client))
    victim = Client()
    victim.force_login(django_user_model.objects.create_user("bob"))
    assert_stale(victim.get(back), "unknown_state", provider)


def test_a_state_of_another_user_in_the_same_session(
    client: Client, provider: Provider, django_user_model: type[AbstractUser]
) -> None:
    back = consent(begin(client))
    bob = django_user_model.objects.create_user("bob")
    session = client.session
    session["_auth_user_id"] = str(bob.pk)
    session["_auth_user_hash"] = bob.get_session_auth_hash()
    session.save()
    assert_stale(client.get(back), "other_user", provider)


def test_a_state_of_another_provider(
    client: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    """Mix-up: what was asked of one provider is not answered by another (RFC 9700 section 4.4)."""
    configure(PROVIDERS={"acme": provider.settings(), "other": provider.settings()})
    back = consent(begin(client)).replace("/acme/", "/other/")
    answer = client.get(back)
    assert answer.status_code == 400
    assert "other_provider" in answer.content.decode()
    assert exchanges(provider) == 0


def test_a_repeated_state(client: Client, provider: Provider) -> None:
    back = consent(begin(client))
    assert_stale(client.get(f"{back}&state=second"), "unknown_state", provider)


def test_an_old_state(client: Client, provider: Provider) -> None:
    back = consent(begin(client))
    session = client.session
    for entry in session[SESSION_KEY].values():
        entry["at"] -= 601
    session.save()
    assert_stale(client.get(back), "expired_state", provider)


def test_a_state_that_an_earlier_release_kept(client: Client, provider: Provider) -> None:
    session = client.session
    session[SESSION_KEY] = {"s": {"provider": "acme"}}
    session.save()
    assert_stale(client.get(f"{CALLBACK}?state=s&code=c"), "unknown_state", provider)


def test_a_state_is_good_for_once(client: Client, provider: Provider) -> None:
    back = consent(begin(client))
    assert client.get(back).status_code == 302
    again = client.get(back)
    assert again.status_code == 400
    assert "unknown_state" in again.content.decode()
    assert exchanges(provider) == 1
    assert OAuthToken.objects.get().version == 1


@pytest.mark.parametrize("status", [400, 500])
def test_a_state_is_used_up_by_a_failure(client: Client, provider: Provider, status: int) -> None:
    """Also by one that is answered with 5xx, after which Django does not save the session."""
    provider.misbehave("status", status=status, kinds=["authorization_code"], times=1)
    back = consent(begin(client))
    assert client.get(back).status_code >= 400
    assert "unknown_state" in client.get(back).content.decode()
    assert exchanges(provider) == 1


def test_several_at_once_but_not_too_many(client: Client, provider: Provider) -> None:
    answers = [consent(begin(client, f"?next=/{number}/")) for number in range(12)]
    assert len(client.session[SESSION_KEY]) == 10
    assert [client.get(back).status_code for back in answers[:2]] == [400, 400]
    assert [client.get(back)["Location"] for back in answers[2:]] == [
        f"/{number}/" for number in range(2, 12)
    ]
