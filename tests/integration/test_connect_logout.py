"""What happens between a provider's answer and the row: nothing received is left lying about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client
from pytest_django import Settings

from oauth_tokens import OAuthToken
from oauth_tokens import connect as connecting
from tests.support.consent import begin, consent
from tests.support.provider import Provider


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen when the code has been exchanged."""
    original = connecting.find_account

    def at_that_moment(happening: Callable[[], object]) -> None:
        def find_account(*args: Any) -> tuple[str, str]:
            happening()
            return original(*args)

        monkeypatch.setattr(connecting, "find_account", find_account)

    return at_that_moment


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
def test_who_logs_out_while_a_code_is_exchanged_is_not_connected(
    client: Client,
    user: AbstractUser,
    provider: Provider,
    settings: Settings,
    configure: Callable[..., None],
    meanwhile: Callable[[Callable[[], object]], None],
    engine: str,
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    configure(REVOKE_ON_LOGOUT=True)
    client.force_login(user)
    url = consent(begin(client))
    meanwhile(client.logout)
    answer = client.get(url)
    assert answer.status_code == 400
    assert "session_ended" in answer.content.decode()
    assert not OAuthToken.objects.exists()
    assert len(provider.requests("revoke")) == 1


def test_sessions_in_cookies_cannot_tell(
    client: Client, user: AbstractUser, provider: Provider, settings: Settings
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client.force_login(user)
    assert client.get(consent(begin(client)))["Location"] == "/oauth/"
    assert OAuthToken.objects.get().status == "active"


def test_tokens_are_given_back_whatever_goes_wrong(
    client: Client,
    user: AbstractUser,
    provider: Provider,
    meanwhile: Callable[[Callable[[], object]], None],
) -> None:
    client.force_login(user)
    url = consent(begin(client))
    meanwhile(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.get(url)
    assert not OAuthToken.objects.exists()
    assert len(provider.requests("revoke")) == 1
