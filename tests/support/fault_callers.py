"""Callers in processes of their own, which halt where a test wants to kill, stop or hinder them.

Points at which they halt: ``claimed`` (the request is not sent yet), ``answered`` (the provider's
answer is there, not saved), ``saved`` (saved, those who wait not woken yet).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from django.conf import settings

from tests.support.processes import wait_until

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.fault_preload"])


class Caller:
    """One process that calls ``user.oauth_tokens.<method>("acme")``, in threads if wanted.

    Arguments:
        halt: the point at which it waits for :meth:`go_on`.
        method: "get_valid", or a method of the token.
        threads: callers in the process; only where there is one it may halt.
        rounds: how often each calls, one after the other.
        pause: seconds between two rounds.
        port: of the database, if it is not the test's.
        clock: seconds by which the application's clock is wrong.
    """

    def __init__(
        self,
        halt: str = "",
        *,
        method: str = "get_valid",
        threads: int = 1,
        rounds: int = 1,
        pause: float = 0,
        port: int | None = None,
        clock: float = 0,
    ) -> None:
        from django.db import connection

        database = {**connection.settings_dict, **({"PORT": port} if port else {})}
        self._pipe, end = FORKS.Pipe()
        self.halt = halt
        given = settings.OAUTH_TOKENS
        order = (end, database, given, halt, method, threads, rounds, pause, clock)
        self.process = FORKS.Process(target=_main, args=order, daemon=True)
        self.process.start()
        end.close()
        assert self._pipe.recv() == "ready"

    def go_on(self) -> None:
        self._pipe.send("go on")

    def reach(self) -> None:
        """Let it call, until it is where it is to halt."""
        self.go_on()
        at = self._pipe.recv()
        assert at == self.halt, at

    def results(self) -> list[dict[str, Any]]:
        """What each call gave; see :func:`one_call`."""
        found: list[dict[str, Any]] = self._pipe.recv()
        return found

    def result(self) -> dict[str, Any]:
        (found,) = self.results()
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.join(20)

    def stop(self) -> None:
        assert self.process.pid
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process.pid
        os.kill(self.process.pid, signal.SIGCONT)


def all_call(callers: list[Caller], during: Callable[[], object] | None = None) -> list[Any]:
    """Let all of them call at once, do ``during`` meanwhile, and gather what they got."""
    for caller in callers:
        caller.go_on()
    if during is not None:
        during()
    return [result for caller in callers for result in caller.results()]


def until_processed(provider: Any, count: int = 1) -> None:
    """Wait until the provider has rotated, although its answer is still on the way."""
    wait_until(
        lambda: sum("family" in record for record in provider.requests("refresh_token")) >= count
    )


def _main(
    pipe: Connection,
    database: dict[str, Any],
    oauth_tokens: dict[str, Any],
    halt: str,
    method: str,
    threads: int,
    rounds: int,
    pause: float,
    clock: float,
) -> None:
    from django.contrib.auth import get_user_model
    from django.db import connection, connections

    connections.settings = connections.configure_settings({"default": database})
    del connections["default"]
    settings.OAUTH_TOKENS = oauth_tokens
    sent = _note_signals()
    _halt_at(halt, pipe)
    if clock:
        _set_clock(clock)
    user = get_user_model().objects.get(username="alice")

    def call(_: int) -> list[dict[str, Any]]:
        try:
            return [one_call(user, method, pause) for _ in range(rounds)]
        finally:
            connection.close()

    with contextlib.suppress(EOFError, OSError), ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: connection.ensure_connection(), range(threads)))
        _halt(pipe, "ready")
        found = [result for results in pool.map(call, range(threads)) for result in results]
        pipe.send([{**result, "signals": sent} for result in found])


def one_call(user: Any, method: str, pause: float = 0) -> dict[str, Any]:
    """``token``, ``version``, ``status``, or the ``error`` and its ``code``; when it was ``done``,
    by the wall clock, and how many seconds it ``took``."""
    from django.db import close_old_connections

    from oauth_tokens import exceptions

    close_old_connections()  # as before each request
    start = time.monotonic()
    result: dict[str, Any] = {"token": None, "error": None, "code": None}
    try:
        if method == "get_valid":
            token = user.oauth_tokens.get_valid("acme")
        else:
            token = getattr(user.oauth_tokens.get(), method)()
    except exceptions.OAuthTokenError as error:
        result.update(error=type(error).__name__, code=error.code)
    except Exception as error:
        result.update(error=type(error).__name__)
    else:
        result.update(token=token.access_token, version=token.version, status=token.status)
    result.update(done=time.time(), took=time.monotonic() - start)
    time.sleep(pause)
    return result


def _note_signals() -> list[str]:
    from oauth_tokens import signals

    sent: list[str] = []

    def note(name: str) -> Callable[..., None]:
        def receiver(**arguments: Any) -> None:
            sent.append(f"{name}:{arguments['code']}" if "code" in arguments else name)

        return receiver

    for name in ("token_refreshed", "refresh_failed", "reauth_required"):
        getattr(signals, name).connect(note(name), weak=False)
    return sent


def _halt(pipe: Connection, where: str) -> None:
    pipe.send(where)
    pipe.recv()


def _halt_at(point: str, pipe: Connection) -> None:
    from oauth_tokens import transport
    from oauth_tokens.models.transitions import Transitions

    send, save = transport.send, Transitions.save_refreshed

    def halting_send(*args: Any, **kwargs: Any) -> Any:
        transport.send = send  # only the refresh halts, no revocation after it
        if point == "claimed":
            _halt(pipe, point)
        answer = send(*args, **kwargs)
        if point == "answered":
            _halt(pipe, point)
        return answer

    def halting_save(*args: Any, **kwargs: Any) -> Any:
        saved = save(*args, **kwargs)
        if point == "saved":
            _halt(pipe, point)
        return saved

    transport.send = halting_send
    Transitions.save_refreshed = halting_save  # type: ignore[method-assign]


def _set_clock(seconds: float) -> None:
    """Let every clock that Python code asks for the date be wrong."""
    from datetime import timedelta

    from django.utils import timezone

    right_time, right_now = time.time, timezone.now
    time.time = lambda: right_time() + seconds
    timezone.now = lambda: right_now() + timedelta(seconds=seconds)
