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
        tries = pool.map(lambda n: locks.Lock("row", f"attempt-{n}", 10), range(16))
        answers = [lock.holder for lock in tries]
    assert answers.count(None) == 1
    holder = f"attempt-{answers.index(None)}"
    assert set(answers) == {None, holder}


def test_the_lock_has_a_lease(valkey: redis.Redis) -> None:
    assert locks.Lock("row", "one", 0.1).holder is None
    assert locks.Lock("row", "two", 0.1).holder == "one"
    time.sleep(0.15)
    assert locks.Lock("row", "two", 60).holder is None
    assert all(valkey.pttl(key) > 0 for key in valkey.scan_iter())


def test_a_lock_that_somebody_else_took_over_is_not_released() -> None:
    lock = locks.Lock("row", "one", 0.05)
    time.sleep(0.1)
    assert locks.Lock("row", "two", 10).holder is None
    lock.release()
    assert locks.Lock("row", "three", 10).holder == "two"


def test_rows_do_not_share_locks() -> None:
    assert locks.Lock("row", "one", 10).holder is None
    assert locks.Lock("other", "two", 10).holder is None


def test_all_waiters_wake_at_once() -> None:
    lock = locks.Lock("row", "one", 10)
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
    locks.Lock("row", "one", 10).release()
    start = time.monotonic()
    assert locks.wait("row", "one", 5)
    assert time.monotonic() - start < 0.7


def test_nothing_stays_in_redis_for_ever(valkey: redis.Redis) -> None:
    for number in range(10):
        locks.Lock("row", f"attempt-{number}", 10).release()
    assert valkey.dbsize() > 0
    assert all(0 < valkey.pttl(key) <= 60_000 for key in valkey.scan_iter())


@pytest.mark.parametrize("url", ["", "down"])
def test_without_redis_every_caller_goes_on(configure: Callable[..., None], url: str) -> None:
    configure(REDIS_URL=url and f"redis://127.0.0.1:{free_port()}/0")
    start = time.monotonic()
    lock = locks.Lock("row", "one", 10)
    assert lock.holder is None
    assert lock.kept is None
    assert locks.Lock("row", "two", 10).holder is None
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
    assert locks.Lock("one", "attempt", 10).kept is True
    time.sleep(0.15)
    assert locks.kept("one") is None
    assert locks.kept_names(10) == []
    locks.keep("two", b"value", 10)
    locks.drop("two", b"an older one")
    assert locks.kept("two") == b"value"
    locks.drop("two", b"value")
    assert locks.kept("two") is None
    assert locks.kept_names(10) == []


def test_nobody_waits_for_an_answer_before_looking_at_it(valkey: redis.Redis) -> None:
    for lock in [locks.Lock("connect", str(number), 10) for number in range(3)]:
        lock.release()
    held = locks.Lock("row", "one", 10)
    assert held.holder is None
    start = time.monotonic()
    valkey.client_pause(400)
    lock = locks.Lock("row", "two", 10)
    held.release()
    assert time.monotonic() - start < 0.3
    assert lock.holder == "one"
    assert time.monotonic() - start >= 0.3
    lock.release()


class Broken:
    """A connection that has just died: what is sent is lost, and that shows when it is read."""

    def can_read(self) -> bool:
        return False

    def send_command(self, *command: object) -> None:
        pass

    def read_response(self) -> None:
        raise redis.ConnectionError

    def disconnect(self) -> None:
        pass


def test_what_a_broken_connection_lost_is_sent_again(valkey: redis.Redis) -> None:
    locks.reset()
    locks._idle.append(Broken())
    lock = locks.Lock("row", "one", 10)
    assert not valkey.keys("*row*")
    assert (lock.holder, lock.kept) == (None, False)
    assert len(valkey.keys("*row*:lock")) == 1
    # That one is the next to be used.
    lock.release()
    assert len(valkey.keys("*row*:lock")) == 1
    assert locks.Lock("other", "two", 10).holder is None
    assert not valkey.keys("*row*:lock")
    locks.reset()


def test_connections_are_used_again(valkey: redis.Redis) -> None:
    for number in range(30):
        locks.Lock("row", f"attempt-{number}", 10).release()
    connected = valkey.info("clients")["connected_clients"]
    for number in range(30):
        lock = locks.Lock("row", f"attempt-{number}", 10)
        assert lock.holder is None
        lock.release()
    assert valkey.info("clients")["connected_clients"] == connected


def test_a_redis_that_hangs_is_waited_for_once(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(REDIS_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        start = time.monotonic()
        for number in range(5):
            lock = locks.Lock("row", f"attempt-{number}", 10)
            assert (lock.holder, lock.kept) == (None, None)
            lock.release()
        assert time.monotonic() - start < 3
