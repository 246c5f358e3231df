"""Redis as the place to wait: who refreshes a row now, and a wake-up call when they are done.

Correctness never rests on it (the database claim does that): every function here answers as if
Redis were not configured when it cannot be reached, and does not ask again for a few seconds.

Three keys a row, in one hash slot: the lock, whose value is the attempt's id; a stream named after
that attempt, which gets one entry when the attempt ends; and what :mod:`oauth_tokens.rescue` keeps.
A waiter blocks on the stream of the attempt that it saw, so an end that came before the wait began
is seen, too, and any number of waiters wake at once without polling.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from .conf import get_settings, on_change

if TYPE_CHECKING:
    import redis

logger = logging.getLogger("oauth_tokens")

#: Seconds after a failure during which Redis is not asked.
DOWN_FOR = 5.0
#: Seconds of one blocking read, below the socket timeout.
_SLICE = 0.8
_SOCKET_TIMEOUT = 1.0
#: Milliseconds for which a late waiter can still see that an attempt ended.
_DONE_FOR = 60_000
#: The set of all names under which something is or was kept.
_KEPT = "oauth_tokens:kept"

_ACQUIRE = """
local kept = redis.call('EXISTS', KEYS[2])
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return {kept} end
return {kept, redis.call('GET', KEYS[1])}
"""
_RELEASE = """
redis.call('XADD', KEYS[2], '*', 'done', '1')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
_DROP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class _Health:
    down_until = 0.0


_health = _Health()


class Lock:
    """The lock ``name``, asked for on behalf of ``attempt_id``.

    Neither asking nor giving back waits for Redis, or a refresh would take half a bare POST longer.

    Arguments:
        lease: seconds after which the lock goes by itself.
    """

    def __init__(self, name: str, attempt_id: str, lease: float) -> None:
        self._attempt_id = attempt_id
        self._keys = _keys(name, attempt_id)
        keys = [self._keys[0], _kept_key(name)]
        self._question = _ask(_ACQUIRE, keys, [attempt_id, int(lease * 1000)])

    @property
    def holder(self) -> str | None:
        """None where the lock is held now, or Redis is not there to be asked; else the id of the
        attempt that holds it. Waits for the answer."""
        return self._answer[0]

    @property
    def kept(self) -> bool | None:
        """Whether something is kept under this name; None where Redis cannot be asked. Waits for
        the answer."""
        return self._answer[1]

    @cached_property
    def _answer(self) -> tuple[str | None, bool | None]:
        answer = None if self._question is None else self._question.answer()
        if answer is None:
            return None, None
        holder = answer[1].decode() if len(answer) > 1 else None
        # A script that was run again after a lost answer finds its own lock.
        return None if holder == self._attempt_id else holder, bool(answer[0])

    def release(self) -> None:
        """Give the lock back if it is still ours, and wake all who wait for this attempt."""
        # On another connection this could overtake the question.
        _ = self._answer
        question = _ask(_RELEASE, self._keys, [self._attempt_id, _DONE_FOR])
        if question is not None:
            _unheard.append(question)


def wait(name: str, attempt_id: str, timeout: float) -> bool | None:
    """Block until ``attempt_id`` has ended.

    Arguments:
        timeout: seconds at most; one call may come back earlier.

    Returns:
        Whether it has ended; None where Redis cannot be waited on, so that the caller has to look
        for itself.
    """
    client = _available()
    if client is None:
        return None
    stream = _keys(name, attempt_id)[1]
    block = max(1, int(min(timeout, _SLICE) * 1000))
    try:
        return bool(client.xread({stream: "0"}, count=1, block=block))
    except _errors() as error:
        _mark_down(error)
        return None


def keep(name: str, value: bytes, ttl: float) -> bool:
    """Keep ``value`` under ``name`` for ``ttl`` seconds; False where that did not work."""

    def write(client: redis.Redis) -> bool:
        client.sadd(_KEPT, name)
        return bool(client.set(_kept_key(name), value, px=int(ttl * 1000)))

    return bool(_do(write))


def kept(name: str) -> bytes | None:
    """What is kept under ``name``, or None (also where Redis cannot be asked)."""
    value: bytes | None = _do(lambda client: client.get(_kept_key(name)))
    return value


def drop(name: str, value: bytes) -> None:
    """Keep ``value`` no longer; what else may be kept under ``name`` by now stays."""
    _do(lambda client: client.eval(_DROP, 1, _kept_key(name), value))


def kept_names(limit: int) -> list[str]:
    """Up to ``limit`` names under which something is kept."""

    def read(client: redis.Redis) -> list[str]:
        names = [name.decode() for name in itertools.islice(client.sscan_iter(_KEPT), limit)]
        gone = [name for name in names if not client.exists(_kept_key(name))]
        if gone:
            client.srem(_KEPT, *gone)
        return [name for name in names if name not in gone]

    return _do(read) or []


def _kept_key(name: str) -> str:
    return f"oauth_tokens:{{{name}}}:kept"


def _keys(name: str, attempt_id: str) -> list[str]:
    return [f"oauth_tokens:{{{name}}}:lock", f"oauth_tokens:{{{name}}}:done:{attempt_id}"]


class _Question:
    """A script that Redis is sent at once, and whose answer is read when somebody wants it.

    Arguments:
        connection: of nobody else until the answer is read.
    """

    def __init__(self, connection: Any, command: tuple[Any, ...]) -> None:
        self._connection = connection
        self._command = command
        self._sent = False
        with _noted_timeouts():
            connection.send_command(*command)
            self._sent = True

    def answer(self) -> Any:
        """None where Redis cannot be asked. If it is lost, the script is run once more: each may
        run twice."""
        try:
            with _noted_timeouts():
                if self._sent and _available() is not None:
                    return self._connection.read_response()
                self._connection.disconnect()
        finally:
            _idle.append(self._connection)
        return _do(lambda client: client.execute_command(*self._command))

    def forget(self) -> None:
        """Nobody wants the answer any more, nor the connection."""
        self._connection.disconnect()


@contextmanager
def _noted_timeouts() -> Iterator[None]:
    """Passes over what goes wrong with a connection; a Redis that hangs is not asked again."""
    import redis

    try:
        yield
    except redis.TimeoutError as error:
        _mark_down(error)
    except _errors():
        pass


#: Questions whose answers nobody waits for, oldest first; connections on which nothing is asked.
_unheard: deque[_Question] = deque()
_idle: deque[Any] = deque()


def _ask(script: str, keys: list[str], args: list[Any]) -> _Question | None:
    """None where Redis cannot be asked."""
    client = _available()
    if client is None:
        return None
    with suppress(IndexError):
        _unheard.popleft().answer()
    return _Question(_connection(client), ("EVAL", script, len(keys), *keys, *args))


def _connection(client: redis.Redis) -> Any:
    """A connection on which no answer is outstanding."""
    try:
        connection = _idle.pop()
    except IndexError:
        return client.connection_pool.make_connection()
    closed = True
    with _noted_timeouts():
        closed = connection.can_read()
    if closed:
        # By Redis or something on the way; sending connects anew.
        connection.disconnect()
    return connection


def _do(command: Any) -> Any:
    client = _available()
    if client is None:
        return None
    try:
        return command(client)
    except _errors() as error:
        _mark_down(error)
        return None


def _available() -> redis.Redis | None:
    return None if time.monotonic() < _health.down_until else _client()


def _mark_down(error: Exception) -> None:
    _health.down_until = time.monotonic() + DOWN_FOR
    logger.warning(
        "Redis does not answer (%s): callers are kept apart by the database alone",
        type(error).__name__,
    )


def _errors() -> tuple[type[Exception], ...]:
    import redis

    return (redis.RedisError, OSError)


@cache
def _client() -> redis.Redis | None:
    url = get_settings().REDIS_URL
    if not url:
        return None
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        url,
        socket_timeout=_SOCKET_TIMEOUT,
        socket_connect_timeout=_SOCKET_TIMEOUT / 2,
        # One more try on a fresh connection, for pooled ones that a restart has cut.
        retry=Retry(NoBackoff(), 1),
    )


def reset() -> None:
    """Forget connections and what is known of Redis' health."""
    _health.down_until = 0.0
    _client.cache_clear()
    while _unheard:
        _unheard.popleft().forget()
    while _idle:
        _idle.pop().disconnect()


on_change(reset)
os.register_at_fork(after_in_child=reset)
