"""Celery: the sweep, one task per token, and what happens when the broker fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from kombu.exceptions import OperationalError

from oauth_tokens import OAuthToken, TokenEvent, tasks
from oauth_tokens.schedule import BEAT_SCHEDULE
from tests.celery import app
from tests.support.processes import Processes, wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age


@pytest.fixture
def dispatched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the sweep hands to Celery, instead of handing it over."""
    log: list[tuple[int, int]] = []
    monkeypatch.setattr(tasks.refresh_token, "delay", lambda pk, version: log.append((pk, version)))
    return log


def tokens(user: AbstractUser, provider: Provider, count: int) -> list[OAuthToken]:
    return [
        user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
        for number in range(count)
    ]


def test_the_sweep_hands_over_what_is_due_the_oldest_first_and_once(
    user: AbstractUser, provider: Provider, dispatched: list[tuple[int, int]]
) -> None:
    fresh, newer, older = tokens(user, provider, 3)
    age(newer, -10)
    age(older, -3000)
    assert tasks.refresh_due_tokens() == 2
    assert dispatched == [(older.pk, 1), (newer.pk, 1)]
    assert tasks.refresh_due_tokens() == 0
    assert provider.requests() == []
    assert OAuthToken.objects.get(pk=fresh.pk).refresh_at == fresh.refresh_at


def test_the_sweep_never_decrypts_and_costs_one_query_a_batch(
    user: AbstractUser,
    provider: Provider,
    dispatched: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: Any,
) -> None:
    for token in tokens(user, provider, 5):
        age(token, EXPIRED)
    OAuthToken.objects.update(encrypted_access_token=b"junk", encrypted_refresh_token=b"junk")
    with django_assert_max_num_queries(17):
        assert tasks.refresh_due_tokens() == 5


def test_a_broker_that_is_down_leaves_everything_due(
    user: AbstractUser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in tokens(user, provider, 3):
        age(token, EXPIRED)
    due = sorted(OAuthToken.objects.values_list("pk", "refresh_at"))

    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("broker is down")

    with monkeypatch.context() as patch:
        patch.setattr(tasks.refresh_token, "delay", refuse)
        with pytest.raises(OperationalError):
            tasks.refresh_due_tokens()
    assert sorted(OAuthToken.objects.values_list("pk", "refresh_at")) == due
    log: list[int] = []
    monkeypatch.setattr(tasks.refresh_token, "delay", lambda pk, version: log.append(pk))
    assert tasks.refresh_due_tokens() == 3


def test_rows_that_need_their_user_are_left_alone(
    user: AbstractUser, provider: Provider, dispatched: list[tuple[int, int]]
) -> None:
    (token,) = tokens(user, provider, 1)
    age(token, EXPIRED)
    OAuthToken.objects.update(status="reauth_required")
    assert tasks.refresh_due_tokens() == 0


def test_a_provider_that_was_removed_from_the_settings_stops_nothing(
    user: AbstractUser,
    provider: Provider,
    configure: Callable[..., None],
    dispatched: list[tuple[int, int]],
) -> None:
    configure(PROVIDERS={"acme": provider.settings(), "gone": provider.settings()})
    orphan = age(user.oauth_tokens.store("gone", provider.issue()), EXPIRED)
    token = age(user.oauth_tokens.store("acme", provider.issue()), EXPIRED)
    configure(PROVIDERS={"acme": provider.settings()})
    tasks.refresh_due_tokens()
    assert (token.pk, 1) in dispatched
    assert tasks.refresh_token(orphan.pk) == "unknown_provider"
    assert OAuthToken.objects.get(pk=orphan.pk).status == "active"


def test_a_task_refreshes_a_stale_token_and_leaves_a_fresh_one(
    token: OAuthToken, provider: Provider
) -> None:
    assert tasks.refresh_token(token.pk) == "fresh"
    age(token, STALE)
    assert tasks.refresh_token(token.pk, version=1) == "refreshed"
    assert provider.refreshes == 1
    assert OAuthToken.objects.get().version == 2


def test_a_task_that_is_delivered_twice_refreshes_once(
    token: OAuthToken, provider: Provider
) -> None:
    age(token, STALE)
    assert tasks.refresh_token(token.pk, version=1) == "refreshed"
    assert tasks.refresh_token(token.pk, version=1) == "fresh"
    age(token, STALE)
    assert tasks.refresh_token(token.pk, version=1) == "fresh"
    assert provider.refreshes == 1


def test_a_task_for_a_token_that_is_gone(user: AbstractUser, provider: Provider) -> None:
    assert tasks.refresh_token(4711) == "gone"


def test_a_failing_task_tells_the_code_instead_of_raising(
    token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.misbehave("status", status=400, body={"error": "invalid_grant"})
    assert tasks.refresh_token(token.pk) == "refresh_token_invalid"


def test_old_history_is_pruned(token: OAuthToken) -> None:
    token.refresh()
    assert tasks.prune_events(days=1) == 0
    assert TokenEvent.objects.count() == 2
    assert tasks.prune_events(days=-1) == 2
    assert TokenEvent.objects.count() == 0


def test_the_schedule_names_tasks_that_exist() -> None:
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= set(app.tasks)
    assert BEAT_SCHEDULE["refresh_due_tokens"]["schedule"] == 60


@pytest.fixture
def worker(processes: Processes, provider: Provider) -> Any:
    return processes.celery("worker", "--concurrency=2", "--loglevel=WARNING", "--without-mingle")


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_refreshes_what_the_sweep_finds(
    user: AbstractUser, provider: Provider, worker: Any
) -> None:
    rows = tokens(user, provider, 4)
    for row in rows:
        age(row, STALE)
    for _ in range(2):  # as two beats would
        tasks.refresh_due_tokens.delay()
    wait_until(lambda: OAuthToken.objects.filter(version=2).count() == 4, timeout=40)
    tasks.refresh_due_tokens.delay()
    time.sleep(0.5)
    assert (provider.refreshes, provider.replays) == (4, 0)
    assert set(OAuthToken.objects.values_list("version", flat=True)) == {2}


@pytest.mark.django_db(transaction=True)
def test_a_worker_and_views_at_once_cause_one_request(
    user: AbstractUser, token: OAuthToken, provider: Provider, worker: Any
) -> None:
    tasks.refresh_token.delay(token.pk)
    wait_until(valkey_queue_is_empty, timeout=40)
    age(token, EXPIRED)
    provider.configure(latency=0.5)

    def view(_: int) -> str:
        try:
            return str(user.oauth_tokens.get_valid("acme").access_token)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        tasks.refresh_token.delay(token.pk, version=1)
        found = set(pool.map(view, range(4)))
    assert found == {OAuthToken.objects.get().access_token}
    assert (provider.refreshes, provider.replays) == (1, 0)


def valkey_queue_is_empty() -> bool:
    with app.connection_for_read() as broker:
        return broker.default_channel.client.llen("celery") == 0
