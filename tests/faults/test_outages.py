"""A provider that fails as a whole, with very many tokens due.

Time is compressed: ``FASTER`` divides every constant that counts seconds of an outage (backoff,
circuit, the sweep's period, the lease), while requests and queries take what they take.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent, exceptions, upkeep
from oauth_tokens.models import ProviderCircuit, circuit
from oauth_tokens.refresh import dates
from tests.support.fault_population import populate
from tests.support.provider import Provider
from tests.support.rows import STALE, age

pytestmark = pytest.mark.django_db(transaction=True)

FASTER = 200
MINUTE = 60 / FASTER
#: As many at once as Celery has worker processes.
WORKERS = 4

Measured = Callable[[str, object], None]


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch, configure: Any) -> None:
    for module, name in (
        (circuit, "WINDOW"),
        (circuit, "FIRST_PROBE"),
        (circuit, "LAST_PROBE"),
        (circuit, "BELIEVED_FOR"),
        (dates, "BACKOFF_FIRST"),
        (dates, "BACKOFF_LAST"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name) / FASTER)
    later = upkeep.get_settings

    class Compressed:
        def __getattr__(self, name: str) -> Any:
            value = getattr(later(), name)
            return value / FASTER if name == "LOCK_TIMEOUT" else value

    # How far the sweep pushes a row that it hands over; the leases themselves stay as they are.
    monkeypatch.setattr(upkeep, "get_settings", Compressed)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Stands for Celery's workers."""
    with ThreadPoolExecutor(WORKERS) as running:
        yield running
        for _ in range(WORKERS):
            running.submit(lambda: (time.sleep(0.02), connection.close()))


def sweep(pool: ThreadPoolExecutor) -> list[str]:
    """One minute's sweep and what became of it."""
    tasks = []

    def dispatch(pk: int, version: int) -> None:
        tasks.append(pool.submit(upkeep.refresh_one, pk, version))

    upkeep.dispatch_due(dispatch)
    return [task.result() for task in tasks]


def marked() -> int:
    return OAuthToken.objects.exclude(status="active").count()


def outage_of_the_operators_making(
    provider: Provider, configure: Any, pool: ThreadPoolExecutor, count: int
) -> None:
    populate(provider, count)
    configure(acme={"client_secret": "not-the-right-one"})
    begin = time.monotonic()
    for _ in range(4):
        sweep(pool)
        time.sleep(MINUTE)
    took = time.monotonic() - begin
    assert marked() == 0
    assert not OAuthToken.objects.exclude(failure_count=0).exists()
    # As many as were on their way when the first one was refused, and the probes since.
    assert provider.refreshes <= WORKERS + 12 + took / circuit.LAST_PROBE
    user = OAuthToken.objects.first().user
    with pytest.raises(exceptions.ProviderMisconfigured) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.code == "invalid_client"


@pytest.mark.parametrize(
    "count", [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
@pytest.mark.usefixtures("compressed")
def test_a_wrong_client_secret_marks_nobody_and_heals_by_itself(
    provider: Provider,
    configure: Any,
    pool: ThreadPoolExecutor,
    received: list[tuple[str, dict[str, Any]]],
    record_property: Measured,
    count: int,
) -> None:
    """Row 16."""
    outage_of_the_operators_making(provider, configure, pool, count)
    assert [name for name, _ in received] == ["provider_failing"]
    assert (received[0][1]["sender"], received[0][1]["code"]) == ("acme", "invalid_client")
    refused = provider.refreshes
    record_property("requests refused", refused)
    configure(acme={"client_secret": provider.settings()["client_secret"]})
    # Those that were refused wait for a minute, which is not compressed.
    OAuthToken.objects.update(refresh_at=timezone.now())
    start = time.monotonic()
    while OAuthToken.objects.filter(version=1).exists():
        assert time.monotonic() - start < 300
        sweep(pool)
        time.sleep(MINUTE / 4)
    record_property("seconds to recover", round(time.monotonic() - start, 1))
    assert marked() == 0
    assert provider.refreshes == refused + count
    assert provider.replays == 0
    assert ProviderCircuit.objects.get().opened_at is None
    assert [name for name, _ in received].count("provider_failing") == 1


@pytest.mark.parametrize(
    "count", [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
@pytest.mark.usefixtures("compressed")
def test_two_hours_of_outage(
    provider: Provider,
    pool: ThreadPoolExecutor,
    received: list[tuple[str, dict[str, Any]]],
    record_property: Measured,
    count: int,
) -> None:
    """Row 17. The quick form has a quarter of an hour, and fewer tokens."""
    minutes = 120 if count == 10_000 else 15
    populate(provider, count)
    provider.misbehave("status", status=503)
    begin = time.time()
    end = begin + minutes * MINUTE
    while time.time() < end:
        started = time.time()
        sweep(pool)
        time.sleep(max(0.0, MINUTE - (time.time() - started)))
    during = [record["received"] for record in provider.requests("refresh_token")]
    assert marked() == 0
    # Ten that open the circuit and those on their way, then probes two minutes apart, or nearer
    # where a request takes longer than its compressed share. However many tokens there are.
    probes = 2 * (time.time() - begin) / circuit.LAST_PROBE
    assert len(during) <= circuit.OPENS_AFTER + WORKERS + 8 + probes
    assert [name for name, _ in received].count("provider_failing") == 1
    provider.behave()
    start = time.monotonic()
    while OAuthToken.objects.filter(expires_at__lt=timezone.now()).exists():
        assert time.monotonic() - start < 300
        sweep(pool)
        time.sleep(MINUTE / 4)
    took = time.monotonic() - start
    record_property("requests during the outage", len(during))
    record_property("seconds until all were fresh", round(took, 1))
    print(f"{len(during)} requests in {minutes} minutes of outage; {count} fresh in {took:.1f} s")  # noqa: T201
    assert marked() == 0
    assert provider.refreshes == len(during) + count
    assert provider.replays == 0
    assert not TokenEvent.objects.filter(kind="reauth_required").exists()


def test_an_outage_is_not_asked_about_by_every_view(
    user: AbstractUser, provider: Provider, pool: ThreadPoolExecutor
) -> None:
    """Row 17, the lazy way: a stale token serves, an expired one fails fast."""
    tokens = [
        user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
        for number in range(40)
    ]
    for token in tokens:
        age(token, random.choice([STALE, -60]))
    provider.misbehave("status", status=503)
    fast: list[float] = []
    waits: list[float] = []
    for _ in range(3):
        for token in tokens:
            start = time.monotonic()
            try:
                user.oauth_tokens.get_valid("acme", account=token.account_id)
            except exceptions.RefreshFailed as error:
                waits.append(error.retry_after or 0)
            fast.append(time.monotonic() - start)
    assert provider.refreshes <= circuit.OPENS_AFTER + 2
    assert min(waits) > 0
    assert sorted(fast)[len(fast) // 2] < 0.1
    assert marked() == 0


@pytest.mark.usefixtures("compressed")
def test_only_after_days_of_nothing_but_failures_the_user_is_asked(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Any,
    received: list[tuple[str, dict[str, Any]]],
) -> None:
    """Row 17's end: GIVE_UP_AFTER."""
    configure(GIVE_UP_AFTER=1)
    age(token, -60)
    provider.misbehave("status", status=503)
    seen = set()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            user.oauth_tokens.get_valid("acme")
        except exceptions.OAuthTokenError as error:
            seen.add(error.code)
            if isinstance(error, exceptions.ReauthenticationRequired):
                break
        time.sleep(0.05)
    assert seen >= {"http_503", "refresh_exhausted"}
    assert OAuthToken.objects.get().error_code == "refresh_exhausted"
    asked = [arguments["code"] for name, arguments in received if name == "reauth_required"]
    assert asked == ["refresh_exhausted"]
