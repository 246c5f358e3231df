"""Threads and coroutines of one process that share a row, its instance or its failure."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AbstractUser
from django.db import OperationalError, connection

from oauth_tokens import OAuthToken, exceptions, rescue, signals
from oauth_tokens.refresh import attempt, protocol
from oauth_tokens.refresh.row import Need
from tests.integration.test_concurrency import in_threads
from tests.support.processes import wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queries() -> Iterator[list[str]]:
    """One entry for each time that a row is read anew."""
    asked: list[str] = []
    reload = OAuthToken.reload

    def noted(row: OAuthToken) -> None:
        asked.append("reload")
        reload(row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OAuthToken, "reload", noted)
        yield asked


DEAD = {"error": "invalid_grant"}


class Interrupted(BaseException):
    """A time limit, or Ctrl-C."""


def test_an_interrupt_between_two_tries_to_save_loses_nothing(
    token: OAuthToken, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(token, EXPIRED)
    row = OAuthToken.objects.get()

    def failing(*args: Any) -> None:
        raise OperationalError("the database is gone")

    def interrupted(seconds: float) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(OAuthToken, "save_refreshed", failing)
        patch.setattr(attempt.time, "sleep", interrupted)
        with pytest.raises(Interrupted):
            row.refresh()
    found = rescue.find(row.key)
    assert found is not None
    restored = OAuthToken.objects.get().refresh()
    assert restored.refresh_token == found.kept.token_set.refresh_token
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_a_disconnect_by_the_very_instance_that_is_being_refreshed_stays(
    token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    row = OAuthToken.objects.get()
    provider.configure(latency=0.5)
    provider.misbehave("status", status=503, kinds=["revoke"])

    def refresh() -> None:
        try:
            row.refresh()
        except exceptions.TokenNotConnected:
            pass
        finally:
            connection.close()

    thread = threading.Thread(target=refresh)
    thread.start()
    wait_until(lambda: provider.refreshes == 1)
    row.disconnect()
    thread.join()
    assert OAuthToken.objects.get().status == "revoking"


def test_a_coroutine_that_was_cancelled_does_not_undo_a_disconnect(
    token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.5)
    provider.misbehave("status", status=503, kinds=["revoke"])

    async def impatient() -> None:
        row = await OAuthToken.objects.aget()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await row.arefresh()
        await row.adisconnect()

    async_to_sync(impatient)()
    wait_until(lambda: not protocol._flights)
    assert OAuthToken.objects.get().status == "revoking"


@pytest.mark.parametrize("state", ["failing", "reauth_required"])
def test_who_waited_for_a_failure_does_not_repeat_it(
    user: AbstractUser, token: OAuthToken, provider: Provider, queries: list[str], state: str
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.3)
    answer = {"status": 503} if state == "failing" else {"status": 400, "body": DEAD}
    provider.misbehave("status", **answer)
    found = in_threads(lambda: user.oauth_tokens.get_valid("acme"), 32)
    expected = (
        exceptions.RefreshFailed if state == "failing" else exceptions.ReauthenticationRequired
    )
    assert {type(error) for error in found} == {expected}
    assert provider.refreshes == 1
    # Each looks once; in a chain of waiters everybody would look after everybody.
    assert len(queries) <= 3 * 32


def test_many_coroutines_fail_together(
    user: AbstractUser, token: OAuthToken, provider: Provider, queries: list[str]
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=503)

    async def all_of_them() -> list[Any]:
        calls = [user.oauth_tokens.aget_valid("acme") for _ in range(200)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert {type(error) for error in async_to_sync(all_of_them)()} == {exceptions.RefreshFailed}
    assert provider.refreshes == 1
    assert len(queries) <= 3 * 200


def test_a_forced_refresh_that_waited_for_a_failure_sends_no_other(
    token: OAuthToken, provider: Provider
) -> None:
    provider.configure(latency=0.3)
    provider.misbehave("status", status=503)
    found = in_threads(lambda: OAuthToken.objects.get().refresh(), 8)
    assert {type(error) for error in found} == {exceptions.RefreshFailed}
    assert provider.refreshes < 8


def test_coroutines_do_not_wait_for_receivers(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.2)
    all_served = threading.Event()

    def receiver(**kwargs: Any) -> None:
        assert all_served.wait(20)

    async def caller() -> None:
        await user.oauth_tokens.aget_valid("acme")

    async def all_of_them() -> None:
        leader = asyncio.create_task(caller())
        while not protocol._flights:  # noqa: ASYNC110 - taken off in a thread
            await asyncio.sleep(0.01)
        await asyncio.gather(*[caller() for _ in range(5)])
        all_served.set()
        await leader

    signals.token_refreshed.connect(receiver)
    try:
        async_to_sync(all_of_them)()
    finally:
        signals.token_refreshed.disconnect(receiver)
    assert provider.refreshes == 1


def test_threads_and_coroutines_wait_for_each_other(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.4)
    found: list[Any] = []

    async def coroutines() -> None:
        calls = [user.oauth_tokens.aget_valid("acme") for _ in range(8)]
        found.extend(await asyncio.gather(*calls))

    def in_a_loop() -> None:
        async_to_sync(coroutines)()
        connection.close()

    thread = threading.Thread(target=in_a_loop)
    thread.start()
    found += in_threads(lambda: user.oauth_tokens.get_valid("acme"), 8)
    thread.join()
    assert {row.version for row in found} == {2}
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_a_cancelled_leader_leaves_no_flight_behind(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)

    async def cancelled() -> None:
        blocked = threading.Event()
        blocker = asyncio.create_task(sync_to_async(blocked.wait)())
        await asyncio.sleep(0)
        task = asyncio.create_task(token.arefresh())
        await asyncio.sleep(0.1)
        task.cancel()
        blocked.set()
        await asyncio.gather(task, blocker, return_exceptions=True)

    async_to_sync(cancelled)()
    wait_until(lambda: not protocol._flights)
    assert not user.oauth_tokens.get_valid("acme").is_expired


def test_an_interrupted_take_off_leaves_no_flight_behind(
    token: OAuthToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(protocol, "refresh", interrupted)
        with pytest.raises(Interrupted):
            token.refresh()
    assert token.refresh().version == 2


def test_a_row_of_another_grant_is_nobodys_answer(token: OAuthToken) -> None:
    """A tenant's database may hold a row of the same number that is somebody else's."""
    other = token.copy()
    other.grant_id = uuid.uuid4()
    assert not protocol.taken_over(token, Need("lazy"), other)
    assert protocol.taken_over(token, Need("lazy"), token.copy())


def test_copies_share_nothing_that_can_be_changed(user: AbstractUser, provider: Provider) -> None:
    token = user.oauth_tokens.store("acme", provider.issue(), extra={"team": {"id": 1}})
    twin = token.copy()
    twin.extra["team"]["id"] = 2
    assert token.extra == {"team": {"id": 1}}


def test_schemas_of_one_database_have_locks_of_their_own(
    token: OAuthToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = token.key
    monkeypatch.setattr(connection, "schema_name", "tenant", raising=False)
    assert token.key != key
    monkeypatch.undo()
    assert token.key == key
