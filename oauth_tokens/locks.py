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


class Acquired(NamedTuple):
    """The answer to :func:`acquire`.

    Arguments:
        holder: None where the lock is held now, or Redis is not there to be asked; else the id of
            the attempt that holds it.
        kept: whether something is kept under this name; None where Redis cannot be asked.
    """

    holder: str | None
    kept: bool | None


def acquire(name: str, attempt_id: str, lease: float) -> Acquired:
    """Try to take the lock ``name`` for ``attempt_id``.

    Arguments:
        lease: seconds after which the lock goes by itself.
    """
    keys = [_keys(name, attempt_id)[0], _kept_key(name)]
    answer = _call("acquire", keys, [attempt_id, int(lease * 1000)])
    if answer is None:
        return Acquired(None, None)
    kept, holder = bool(answer[0]), answer[1].decode() if len(answer) > 1 else None
    # A command that was repeated after a lost answer finds its own lock.
    return Acquired(None if holder == attempt_id else holder, kept)


def release(name: str, attempt_id: str) -> None:
    """Give the lock back if it is still ours, and wake all who wait for this attempt."""
    _call("release", _keys(name, attempt_id), [attempt_id, _DONE_FOR])


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
    _call("drop", [_kept_key(name)], [value])


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


def _call(script: str, keys: list[str], args: list[Any]) -> Any:
    return _do(lambda client: _scripts()[script](keys=keys, args=args, client=client))


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


@cache
def _scripts() -> dict[str, Any]:
    client = _client()
    assert client is not None  # noqa: S101 - only asked for once a client is there
    return {
        "acquire": client.register_script(_ACQUIRE),
        "release": client.register_script(_RELEASE),
        "drop": client.register_script(_DROP),
    }


def reset() -> None:
    """Forget connections and what is known of Redis' health."""
    _health.down_until = 0.0
    _client.cache_clear()
    _scripts.cache_clear()


on_change(reset)
os.register_at_fork(after_in_child=reset)
