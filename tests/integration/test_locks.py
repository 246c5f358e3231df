"""Redis as the place to wait: it wakes, it expires, and it may be missing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from oauth_tokens import locks
from tests.support.servers import free_port


def test_one_of_many_gets_the_lock_and_the_others_learn_who() -> None:
    with ThreadPoolExecutor(16) as pool:
        tries = pool.map(lambda n: locks.acquire("row", f"attempt-{n}", 10), range(16))
        answers = [lock.holder for lock in tries]
    assert answers.count(None) == 1
    holder = f"attempt-{answers.index(None)}"
    assert set(answers) == {None, holder}


def test_the_lock_has_a_lease(valkey: redis.Redis) -> None:
    assert locks.acquire("row", "one", 0.1).holder is None
    assert locks.acquire("row", "two", 0.1).holder == "one"
    time.sleep(0.15)
    assert locks.acquire("row", "two", 60).holder is None
    assert all(valkey.pttl(key) > 0 for key in valkey.scan_iter())


def test_a_lock_that_somebody_else_took_over_is_not_released() -> None:
    lock = locks.acquire("row", "one", 0.05)
    time.sleep(0.1)
    assert locks.acquire("row", "two", 10).holder is None
    lock.release()
    assert locks.acquire("row", "three", 10).holder == "two"


def test_rows_do_not_share_locks() -> None:
    assert locks.acquire("row", "one", 10).holder is None
    assert locks.acquire("other", "two", 10).holder is None


def test_all_waiters_wake_at_once() -> None:
    lock = locks.acquire("row", "one", 10)
    woken: list[float] = []

    def wait() -> None:
        assert locks.wait("row", "one", 5)
        woken.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert woken == []
    released = time.monotonic()
    lock.release()
    for thread in threads:
        thread.join(5)
    assert len(woken) == 16
    assert max(woken) - released < 0.7


def test_an_end_before_the_wait_began_is_seen() -> None:
    locks.acquire("row", "one", 10).release()
    start = time.monotonic()
    assert locks.wait("row", "one", 5)
    assert time.monotonic() - start < 0.7


def test_nothing_stays_in_redis_for_ever(valkey: redis.Redis) -> None:
    for number in range(10):
        locks.acquire("row", f"attempt-{number}", 10).release()
    assert valkey.dbsize() > 0
    assert all(0 < valkey.pttl(key) <= 60_000 for key in valkey.scan_iter())


@pytest.mark.parametrize("url", ["", "down"])
def test_without_redis_every_caller_goes_on(configure: Callable[..., None], url: str) -> None:
    configure(REDIS_URL=url and f"redis://127.0.0.1:{free_port()}/0")
    start = time.monotonic()
    lock = locks.acquire("row", "one", 10)
    assert lock.holder is None
    assert lock.kept is None
    assert locks.acquire("row", "two", 10).holder is None
    assert locks.wait("row", "one", 5) is None
    lock.release()
    assert locks.kept("row") is None
    assert locks.keep("row", b"value", 10) is False
    assert locks.kept_names(10) == []
    assert time.monotonic() - start < 3


def test_values_are_kept_for_their_time() -> None:
    assert locks.keep("one", b"value", 0.1)
    assert locks.kept("one") == b"value"
    assert locks.kept_names(10) == ["one"]
    assert locks.acquire("one", "attempt", 10).kept == b"value"
    time.sleep(0.15)
    assert locks.kept("one") is None
    assert locks.kept_names(10) == []
    locks.keep("two", b"value", 10)
    locks.drop("two", b"an older one")
    assert locks.kept("two") == b"value"
    locks.drop("two", b"value")
    assert locks.kept("two") is None
    assert locks.kept_names(10) == []


def test_a_lock_that_redis_gave_is_given_back_whatever_others_found_since(
    valkey: redis.Redis,
) -> None:
    lock = locks.acquire("row", "one", 10)
    assert lock.holder is None
    locks._mark_down(redis.TimeoutError())
    lock.release()
    locks.reset()
    assert locks.wait("row", "one", 5)
    assert locks.acquire("row", "two", 10).holder is None


@pytest.mark.parametrize(
    "options", ["protocol=4", "max_connections=1", "decode_responses=True", "protocol=2"]
)
def test_whatever_the_address_says_no_error_of_redis_gets_out(
    configure: Callable[..., None], valkey: redis.Redis, options: str
) -> None:
    where = valkey.connection_pool.connection_kwargs
    configure(REDIS_URL=f"redis://127.0.0.1:{where['port']}/{where['db']}?{options}")
    held = [locks.acquire(name, "one", 10) for name in ("row", "other")]
    assert [lock.holder for lock in held] == [None, None]
    works = options != "protocol=4"
    assert locks.keep("row", b"\xff", 10) is works
    again = locks.acquire("row", "two", 10)
    assert (again.holder, again.kept) == (("one", b"\xff") if works else (None, None))
    for lock in held:
        lock.release()
    assert bool(locks.wait("row", "one", 1)) is works


def test_a_redis_that_hangs_is_waited_for_once(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(REDIS_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        start = time.monotonic()
        for number in range(5):
            lock = locks.acquire("row", f"attempt-{number}", 10)
            assert (lock.holder, lock.kept) == (None, None)
            lock.release()
        assert time.monotonic() - start < 3
