"""Many callers, one expired token: one request reaches the provider and everybody is served."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AbstractUser
from django.db import connection, transaction
from django.utils import timezone

from oauth_tokens import OAuthToken, exceptions, upkeep
from tests.support.processes import Processes, wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age
from tests.support.servers import free_port

pytestmark = pytest.mark.django_db(transaction=True)

CALLERS = 16


def in_threads(call: Callable[[], Any], count: int = CALLERS) -> list[Any]:
    """Results, or the errors raised, of ``count`` simultaneous calls."""

    def one() -> Any:
        try:
            return call()
        except exceptions.OAuthTokenError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(count)]]


@pytest.fixture(params=["redis", "no redis", "redis down"])
def waiting(request: pytest.FixtureRequest, provider: Provider, configure: Any) -> str:
    """Where callers wait for each other: it must make no difference."""
    if request.param != "redis":
        down = request.param == "redis down"
        configure(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0" if down else "")
    return str(request.param)


@pytest.mark.usefixtures("waiting")
def test_sixteen_threads_cause_one_request(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.3)
    found = in_threads(lambda: user.oauth_tokens.get_valid("acme").access_token)
    assert len(set(found)) == 1
    assert found[0] != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_who_waited_is_served_without_another_query(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.3)

    def queries() -> int:
        asked = []
        connection.ensure_connection()  # MariaDB is asked two things more by a new one

        def note(execute: Any, sql: str, *rest: Any) -> Any:
            asked.append(sql)
            return execute(sql, *rest)

        with connection.execute_wrapper(note):
            assert not user.oauth_tokens.get_valid("acme").is_expired
        return len(asked)

    counts = sorted(in_threads(queries))
    assert counts[:-1] == [1] * (CALLERS - 1)
    assert provider.refreshes == 1


CALL_IN_PROCESS = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from django.contrib.auth import get_user_model
from django.db import connection
from oauth_tokens import exceptions

user = get_user_model().objects.get(username="alice")
threads = int(sys.argv[1])

def call(_):
    try:
        token = user.oauth_tokens.get_valid("acme").access_token
    except exceptions.OAuthTokenError as error:
        token = type(error).__name__
    done = time.time()
    connection.close()
    return token, done

with ThreadPoolExecutor(threads) as pool:
    list(pool.map(lambda _: connection.ensure_connection(), range(threads)))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(list(pool.map(call, range(threads)))), flush=True)
"""


def in_processes(processes: Processes, count: int, threads: int) -> Callable[[], list[Any]]:
    """Start ``count`` processes; the returned function lets them all call and gathers results."""
    started = [processes.python(CALL_IN_PROCESS, str(threads)) for _ in range(count)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    def go() -> list[Any]:
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        lines = [process.stdout.readline() for process in started if process.stdout]
        return [result for line in lines for result in json.loads(line)]

    return go


def test_four_processes_cause_one_request(
    token: OAuthToken, provider: Provider, processes: Processes
) -> None:
    go = in_processes(processes, 4, 4)
    age(token, EXPIRED)
    provider.configure(latency=0.5)
    found = go()
    assert len(found) == CALLERS
    assert len({access_token for access_token, _ in found}) == 1
    assert found[0][0] == OAuthToken.objects.get().access_token != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_many_coroutines_cause_one_request_and_keep_the_loop_free(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=1.5)
    longest_pause = 0.0

    async def heartbeat() -> None:
        nonlocal longest_pause
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest_pause = max(longest_pause, time.monotonic() - before)

    async def call() -> list[OAuthToken]:
        heart = asyncio.create_task(heartbeat())
        found = await asyncio.gather(*(user.oauth_tokens.aget_valid("acme") for _ in range(64)))
        heart.cancel()
        return found

    found = async_to_sync(call)()
    assert len(found) == 64
    assert {each.access_token for each in found} == {OAuthToken.objects.get().access_token}
    assert (provider.refreshes, provider.replays) == (1, 0)
    # Not for the whole of the refresh; shorter ones are the machine's.
    assert longest_pause < 1.4


def test_a_coroutine_that_is_cancelled_takes_nobody_with_it(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=0.5)

    async def call() -> OAuthToken:
        first = asyncio.create_task(user.oauth_tokens.aget_valid("acme"))
        second = asyncio.create_task(user.oauth_tokens.aget_valid("acme"))
        await asyncio.sleep(0.2)
        first.cancel()
        return await second

    found = async_to_sync(call)()
    assert found.access_token == OAuthToken.objects.get().access_token != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_while_one_refreshes_a_stale_token_the_others_do_not_wait(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, STALE)
    provider.configure(latency=3.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(in_threads, lambda: user.oauth_tokens.get_valid("acme"), 1)
        wait_until(lambda: provider.refreshes == 1)
        start = time.monotonic()
        found = user.oauth_tokens.get_valid("acme")
        assert time.monotonic() - start < 2.5
        assert found.access_token == token.access_token
        assert first.result()[0].access_token != token.access_token
    assert provider.refreshes == 1


def test_waiting_is_bounded(
    user: AbstractUser, token: OAuthToken, provider: Provider, configure: Any
) -> None:
    configure(WAIT_TIMEOUT=0.4, HTTP_TIMEOUT=2)
    age(token, EXPIRED)
    provider.configure(latency=1.2)
    start = time.monotonic()
    found = in_threads(lambda: user.oauth_tokens.get_valid("acme"), 4)
    timed_out = [result for result in found if isinstance(result, exceptions.RefreshTimeout)]
    served = [result for result in found if isinstance(result, OAuthToken)]
    assert (len(timed_out), len(served)) == (3, 1)
    assert time.monotonic() - start < 5
    assert all(error.retryable for error in timed_out)
    assert provider.refreshes == 1


def test_an_outage_is_asked_about_once_by_all_callers(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=503)
    found = in_threads(lambda: user.oauth_tokens.get_valid("acme"))
    assert {type(result) for result in found} == {exceptions.RefreshFailed}
    assert provider.refreshes == 1


def test_a_process_killed_before_it_sent_costs_nobody_anything(
    user: AbstractUser, token: OAuthToken, provider: Provider, processes: Processes, configure: Any
) -> None:
    """Not even where there is no Redis to say that the holder is gone."""
    configure(REDIS_URL="", LOCK_TIMEOUT=3, HTTP_TIMEOUT=0.9, WAIT_TIMEOUT=8)
    age(token, EXPIRED)
    holder = processes.python(
        "import os\n"
        "from oauth_tokens import OAuthToken, transport\n"
        "transport.send = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "OAuthToken.objects.get().refresh()\n"
    )
    holder.wait(20)
    assert provider.refreshes == 0
    found = user.oauth_tokens.get_valid("acme")
    assert found.access_token != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.postgresql
def test_the_callers_rollback_does_not_lose_a_rotated_token(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    with transaction.atomic():
        found = user.oauth_tokens.get_valid("acme").access_token
        transaction.set_rollback(True)
    assert OAuthToken.objects.get().access_token == found != token.access_token
    assert provider.refreshes == 1


@pytest.mark.postgresql
def test_a_repeatable_read_snapshot_does_not_hide_a_finished_refresh(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert OAuthToken.objects.get().access_token == token.access_token
        (elsewhere,) = in_threads(lambda: user.oauth_tokens.get_valid("acme").access_token, 1)
        assert user.oauth_tokens.get_valid("acme").access_token == elsewhere
    assert provider.refreshes == 1


@pytest.mark.postgresql
def test_what_was_stored_in_an_open_transaction_cannot_be_refreshed_in_it(
    user: AbstractUser, provider: Provider
) -> None:
    with transaction.atomic():
        token = user.oauth_tokens.store("acme", provider.issue())
        with pytest.raises(exceptions.RefreshFailed, match="Commit") as caught:
            token.refresh()
        assert caught.value.code == "uncommitted"
        age(token, STALE)
        assert user.oauth_tokens.get_valid("acme").version == 1
    assert provider.refreshes == 0
    assert user.oauth_tokens.get_valid("acme").version == 2


def test_two_sweeps_tell_the_provider_once(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    provider.misbehave("status", status=503, kinds=["revoke"], times=1)
    user.oauth_tokens.disconnect("acme")
    assert len(provider.requests("revoke")) == 1
    OAuthToken.objects.update(refresh_at=timezone.now() - timedelta(seconds=1))
    provider.configure(latency=0.3)
    assert sorted(in_threads(upkeep.revoke_pending, 2)) == [0, 1]
    assert len(provider.requests("revoke")) == 2
    assert not OAuthToken.objects.exists()


@pytest.mark.postgresql
def test_connections_of_its_own_are_closed_again(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    before = connection.connection
    for _ in range(3):
        age(token, EXPIRED)
        with transaction.atomic():
            user.oauth_tokens.get_valid("acme")
    assert connection.connection is before
    assert provider.refreshes == 3


@pytest.mark.sqlite
def test_sqlite_has_one_writer_so_a_writing_caller_gets_a_living_token_or_a_clear_error(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, STALE)
    with transaction.atomic():
        user.save()
        assert user.oauth_tokens.get_valid("acme").access_token == token.access_token
    age(token, EXPIRED)
    with transaction.atomic():
        user.save()
        start = time.monotonic()
        with pytest.raises(exceptions.RefreshFailed, match="transaction") as caught:
            user.oauth_tokens.get_valid("acme")
        assert time.monotonic() - start < 10
    assert caught.value.retryable
    assert provider.refreshes == 0
    assert user.oauth_tokens.get_valid("acme").access_token != token.access_token
