"""Coroutines: one of them refreshes in a thread, the others await it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import SynchronousOnlyOperation

from oauth_tokens import OAuthToken, exceptions
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age

pytestmark = pytest.mark.django_db(transaction=True)

CALLERS = 200


async def gathered(user: AbstractUser, count: int = CALLERS, **arguments: Any) -> list[Any]:
    calls = [user.oauth_tokens.aget_valid("acme", **arguments) for _ in range(count)]
    return await asyncio.gather(*calls, return_exceptions=True)


def test_two_hundred_coroutines_cause_one_request(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.3)
    found = async_to_sync(gathered)(user)
    assert {t.access_token for t in found} == {OAuthToken.objects.get().access_token}
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_coroutines_go_on_in_the_order_in_which_they_came(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.2)
    served: list[int] = []

    async def caller(number: int) -> None:
        await user.oauth_tokens.aget_valid("acme")
        served.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*[caller(number) for number in range(20)])

    async_to_sync(all_of_them)()
    # The first one is busy with everybody's refresh.
    assert [number for number in served if number > 0] == list(range(1, 20))
    assert len(served) == 20


def test_other_synchronous_calls_go_on_meanwhile(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.5)
    ended: list[str] = []

    async def refreshed() -> None:
        await user.oauth_tokens.aget_valid("acme")
        ended.append("refresh")

    async def other() -> None:
        while not provider.refreshes:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.01)
        await sync_to_async(OAuthToken.objects.count)()
        ended.append("other")

    async def both() -> None:
        await asyncio.gather(refreshed(), other())

    async_to_sync(both)()
    assert ended == ["other", "refresh"]


def test_coroutines_do_not_wait_for_a_stale_token(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, STALE)
    old = token.access_token
    provider.configure(latency=0.5)
    found = async_to_sync(gathered)(user, 20)
    # The one that refreshes brings the new one; the others were not kept waiting for it.
    assert sorted(t.access_token == old for t in found) == [False] + [True] * 19
    assert provider.refreshes == 1


def test_the_failure_of_the_one_is_everybodys(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=503)
    found = async_to_sync(gathered)(user, 20)
    assert {type(error) for error in found} == {exceptions.RefreshFailed}
    assert provider.refreshes == 1


def test_waiting_ends_with_wait_timeout(
    user: AbstractUser, token: OAuthToken, provider: Provider, configure: Any
) -> None:
    configure(WAIT_TIMEOUT=0.3)
    age(token, EXPIRED)
    provider.configure(latency=1.0)
    found = async_to_sync(gathered)(user, 5)
    kinds = sorted(type(result).__name__ for result in found)
    assert kinds == ["OAuthToken"] + ["RefreshTimeout"] * 4


def test_a_reported_401_is_refreshed_once(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    async def report() -> list[OAuthToken]:
        held = [await user.oauth_tokens.aget_valid("acme") for _ in range(5)]
        return await asyncio.gather(*(each.areport_unauthorized() for each in held))

    found = async_to_sync(report)()
    assert {t.version for t in found} == {token.version + 1}
    assert provider.refreshes == 1


def test_the_twins_store_refresh_and_disconnect(user: AbstractUser, provider: Provider) -> None:
    async def live() -> tuple[int, int]:
        stored = await user.oauth_tokens.astore("acme", await sync_to_async(provider.issue)())
        first = stored.version
        await stored.arefresh()
        await user.oauth_tokens.adisconnect("acme")
        return first, stored.version

    assert async_to_sync(live)() == (1, 2)
    assert not OAuthToken.objects.exists()
    assert len(provider.requests("revoke")) == 1


def test_get_valid_in_a_coroutine_names_its_twin(user: AbstractUser, token: OAuthToken) -> None:
    async def forgetful() -> OAuthToken:
        return user.oauth_tokens.get_valid("acme")

    with pytest.raises(SynchronousOnlyOperation, match=r"await user\.oauth_tokens\.aget_valid\(\)"):
        async_to_sync(forgetful)()
