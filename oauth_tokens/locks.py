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
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

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
local kept = redis.call('GET', KEYS[2])
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
    """What came of asking for a lock.

    Attributes:
        holder: the id of the attempt that holds it; None where that is the one it was asked for
            on behalf of, or where Redis is not there to be asked.
        kept: what is kept under the lock's name; None where nothing is, or Redis is not there.
    """

    def __init__(self, keys: list[str], attempt_id: str, answer: Any) -> None:
        self._keys, self._attempt_id = keys, attempt_id
        self._answered = answer is not None
        self.kept: bytes | None = answer[0] if answer else None
        holder = answer[1].decode() if answer and len(answer) > 1 else None
        # A script that was run again after a lost answer finds its own lock.
        self.holder: str | None = None if holder == attempt_id else holder

    def release(self) -> None:
        """Give the lock back and wake all who wait for this attempt. Waits for nothing: the answer
        was 0.1 x a bare POST."""
        command = _command(_RELEASE, self._keys, [self._attempt_id, _DONE_FOR])
        # Redis answered this lock: what others have met since is no reason to leave it behind.
        _do(lambda client: _tell(client, command), even_if_down=self._answered)


def acquire(name: str, attempt_id: str, lease: float) -> Lock:
    """Ask for the lock ``name`` on behalf of ``attempt_id``.

    Arguments:
        lease: seconds after which the lock goes by itself.
    """
    keys = _keys(name, attempt_id)
    script_keys = [keys[0], _kept_key(name)]
    command = _command(_ACQUIRE, script_keys, [attempt_id, int(lease * 1000)])
    return Lock(keys, attempt_id, _do(lambda client: _ask(client, command)))


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


def _command(script: str, keys: list[str], args: list[Any]) -> tuple[Any, ...]:
    return ("EVAL", script, len(keys), *keys, *args)


class _Idle(NamedTuple):
    """A connection that nobody uses.

    Arguments:
        owed: how many answers are to come on it that nobody waits for.
        since: when (monotonic) the last of them was asked for.
    """

    connection: Any
    owed: int = 0
    since: float = 0.0


#: The connections of locks, beside the client's own, which hands out none on which answers are to
#: come: as many as threads ask at a time. The last is that on which Redis was heard last.
_idle: deque[_Idle] = deque()


def _ask(client: redis.Redis, command: tuple[Any, ...]) -> Any:
    """What Redis answers. What was lost with its connection is sent once more on a fresh one, so
    that the command may run twice."""
    connection, owed = _sent(client, command)
    heard = False
    try:
        try:
            for _ in range(owed):
                connection.read_response()
            answer = connection.read_response()
        except _errors():
            connection.disconnect()
            connection.send_command(*command)
            answer = connection.read_response()
        heard = True
    finally:
        if heard:
            _idle.append(_Idle(connection))
        else:
            # The answer may still come, and is for nobody else.
            connection.disconnect()
    return answer


def _tell(client: redis.Redis, command: tuple[Any, ...]) -> None:
    """Send ``command`` and go on: who asks on that connection next passes over the answer."""
    connection, owed = _sent(client, command)
    _idle.appendleft(_Idle(connection, owed + 1, time.monotonic()))


def _sent(client: redis.Redis, command: tuple[Any, ...]) -> tuple[Any, int]:
    """A connection on which ``command`` is on its way, and how many answers come before its own."""
    connection, owed = _connection(client)
    try:
        connection.send_command(*command)
    except BaseException:
        connection.disconnect()
        raise
    return connection, owed


def _connection(client: redis.Redis) -> tuple[Any, int]:
    """A connection to use, and how many answers are to come on it that nobody waits for."""
    try:
        connection, owed, since = _idle.pop()
    except IndexError:
        pool = client.connection_pool
        return pool.connection_class(**pool.connection_kwargs), 0
    lost = True
    try:
        heard = connection.can_read()
        # What comes though nothing is owed is the end, by Redis or something on the way.
        lost = not heard and time.monotonic() - since > _SOCKET_TIMEOUT if owed else heard
    except _errors():
        pass
    finally:
        if lost:
            # Sending connects anew.
            connection.disconnect()
    return connection, 0 if lost else owed


def _do(command: Any, *, even_if_down: bool = False) -> Any:
    client = _client() if even_if_down else _available()
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

    client = redis.Redis.from_url(
        url,
        socket_timeout=_SOCKET_TIMEOUT,
        socket_connect_timeout=_SOCKET_TIMEOUT / 2,
        # One more try on a fresh connection, for pooled ones that a restart has cut.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )
    # Whatever the address says: ciphertext is no text.
    client.connection_pool.connection_kwargs["decode_responses"] = False
    return client


def reset() -> None:
    """Forget connections and what is known of Redis' health."""
    _health.down_until = 0.0
    _client.cache_clear()
    while _idle:
        _idle.popleft().connection.disconnect()


on_change(reset)
os.register_at_fork(after_in_child=reset)
