"""An instance that somebody keeps as the ``auth=`` of their client, and a disconnect meanwhile."""

from __future__ import annotations

import pickle
import time
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import requests
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.clients import source
from tests.support import api as handle
from tests.support.api import Api

pytestmark = pytest.mark.django_db(transaction=True)

api_process, api = handle.api_process, handle.api


@pytest.fixture(params=["auth=token", "auth=token.auth", "async"])
def call(request: pytest.FixtureRequest, token: OAuthToken, api: Api) -> Any:
    """Call the API with an instance that was made once; gives the status."""
    auth = token.auth

    async def by_coroutine() -> int:
        async with httpx2.AsyncClient(auth=auth) as client:
            return int((await client.get(api.url)).status_code)

    def by_requests(auth: Any) -> int:
        return requests.get(api.url, auth=auth, timeout=10).status_code

    return {
        "auth=token": lambda: by_requests(token),
        "auth=token.auth": lambda: by_requests(auth),
        "async": async_to_sync(by_coroutine),
    }[request.param]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let seconds pass for those who hold tokens."""
    clock = SimpleNamespace(passed=0.0)
    clock.monotonic = lambda: time.monotonic() + clock.passed
    monkeypatch.setattr(source, "time", clock)

    def wait(seconds: float) -> None:
        clock.passed += seconds

    return wait


def disconnect(user: AbstractUser) -> None:
    """As another process does it."""
    get_user_model().objects.get(pk=user.pk).oauth_tokens.disconnect("acme")


def test_it_outlives_a_disconnect_by_a_minute_at_most(
    call: Any, user: AbstractUser, api: Api, later: Any
) -> None:
    assert call() == 200
    disconnect(user)
    assert call() == 200
    later(source.HELD_FOR)
    for _ in range(2):
        with pytest.raises(exceptions.TokenNotConnected):
            call()
    assert len(api.requests()) == 2


def test_a_401_shows_the_disconnect_at_once(
    call: Any, user: AbstractUser, token: OAuthToken, api: Api
) -> None:
    assert call() == 200
    disconnect(user)
    api.refuse(token.access_token)
    with pytest.raises(exceptions.TokenNotConnected):
        call()


def test_it_is_looked_at_once_a_minute(
    call: Any, api: Api, later: Any, django_assert_num_queries: Any
) -> None:
    assert call() == 200
    later(source.HELD_FOR)
    with django_assert_num_queries(1):
        assert call() == 200
    # What has just been read is that old by the real clock.
    later(-source.HELD_FOR)
    with django_assert_num_queries(0):
        assert call() == 200


def test_another_process_counts_anew(token: OAuthToken, api: Api) -> None:
    assert requests.get(api.url, auth=token, timeout=10).ok
    assert "_used_since" in vars(token)
    assert not vars(pickle.loads(pickle.dumps(token))).keys() & {"_used_since", "_read_at"}  # noqa: S301
