"""Callers whose every step is chosen from outside, against a provider made of a dictionary.

A caller is a thread that stands at a gate until it is told to :meth:`Caller.step`; only one runs at
a time, so a schedule is repeated exactly. Each stands for a process: nothing in memory is shared.
Time stands still until :meth:`World.pass_time`.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from oauth_tokens import OAuthToken, exceptions, locks, rescue, transport
from oauth_tokens.models import circuit
from oauth_tokens.models.columns import StoredTokenSet
from oauth_tokens.models.transitions import Transitions
from oauth_tokens.providers.wire import Response
from oauth_tokens.refresh import attempt, dates, protocol

#: Seconds: short, so that schedules are full of expired tokens.
LIFETIME = 60


class Killed(BaseException):
    """SIGKILL: what would run afterwards in this thread must have no effect."""


class TimeLimit(BaseException):
    """As Celery's soft time limit: may come anywhere, and ``finally`` blocks run."""


class Caller:
    """One process that makes one call."""

    def __init__(self, world: World, what: str, call: Callable[[], Any]) -> None:
        self.world = world
        self.what = what
        self.at = "start"
        self.dead = False
        self.stood_still = False
        #: The refresh token sent and not answered yet, and by when an answer is waited for.
        self.sending: tuple[str, float] | None = None
        #: Refresh tokens received and not saved yet.
        self.holding: set[str] = set()
        self.result: Any = None
        self._call = call
        self._raise: type[BaseException] | None = None
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def running(self) -> bool:
        return self.at != "end"

    def step(self, fault: type[BaseException] | None = None) -> None:
        """Let it run to its next gate; ``fault`` is raised where it stands."""
        self._raise = fault
        self.dead = self.dead or fault is Killed
        self._go.release()
        assert self._stopped.acquire(timeout=30), f"stuck after {self.at}"

    def gate(self, name: str) -> None:
        self.at = name
        self._stopped.release()
        self._go.acquire()
        fault, self._raise = self._raise, None
        if fault is not None:
            raise fault

    def _run(self) -> None:
        self._go.acquire()
        self.world.current.caller = self
        try:
            if self._raise is None:
                self.result = self._call()
        except (exceptions.OAuthTokenError, OperationalError, Killed, TimeLimit) as error:
            self.result = error
        except BaseException as error:
            self.world.crashes.append(error)
        finally:
            connection.close()
            self.at, self.sending = "end", None
            self._stopped.release()


class StrictProvider:
    """Rotates at each use and revokes the family when a used refresh token comes again.

    Arguments:
        rotation: "strict", "grace" or "none", as in the settings.
        grace: seconds.
    """

    def __init__(self, rotation: str, grace: float) -> None:
        self.rotation, self.grace = rotation, grace
        self.families = itertools.count(1)
        self.used_at: dict[str, float] = {}
        self.newest: dict[str, int] = {}
        self.dead: set[str] = set()
        self.given_back: set[str] = set()
        self.replays = 0

    def issue(self, family: str | None = None) -> dict[str, Any]:
        family = family or str(next(self.families))
        self.newest[family] = generation = self.newest.get(family, 0) + 1
        return {
            "access_token": f"at-{family}-{generation}",
            "refresh_token": f"rt-{family}-{generation}",
            "token_type": "Bearer",
            "expires_in": LIFETIME,
        }

    def is_replay(self, token: str) -> bool:
        return self.rotation == "strict" and token in self.used_at

    def refresh(self, token: str, now: float) -> tuple[int, dict[str, Any]]:
        family = family_of(token)
        used_at = self.used_at.setdefault(token, now)
        if self.rotation == "none":
            answer = self.issue(family)
            self.newest[family] -= 1
            return 200, {**answer, "refresh_token": token}
        within = self.rotation == "grace" and now - used_at < self.grace
        if used_at != now and not within:
            self.replays += 1
            self.dead.add(family)
        if family in self.dead:
            return 400, {"error": "invalid_grant"}
        return 200, self.issue(family)

    def revoke(self, token: str) -> None:
        self.given_back.add(token)
        self.dead.add(family_of(token))


def family_of(token: str) -> str:
    return token.split("-")[1]


def generation_of(token: str) -> int:
    return int(token.split("-")[2])


class World:
    """Clock, provider and faults, with the package wired to them by ``monkeypatch``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, provider: StrictProvider) -> None:
        self.provider = provider
        self.start = timezone.now()
        self.seconds = 0.0
        self.ticks = itertools.count(1)
        self.current = threading.local()
        self.callers: list[Caller] = []
        self.crashes: list[BaseException] = []
        self.violations: list[str] = []
        self.received: list[str] = []
        self.database_failures = 0
        self.commit_is_lost = False
        self.answer_is_lost = False
        self._patch(monkeypatch)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        # Never the same twice, as with real clocks.
        return self.seconds + next(self.ticks) * 1e-6

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds

    def call(self, what: str, function: Callable[[], Any]) -> Caller:
        self.callers.append(Caller(self, what, function))
        return self.callers[-1]

    @property
    def active(self) -> list[Caller]:
        return [caller for caller in self.callers if caller.running]

    def me(self) -> Caller | None:
        return getattr(self.current, "caller", None)

    def gate(self, name: str) -> None:
        caller = self.me()
        if caller is not None and not caller.dead:
            caller.gate(name)

    # What the package calls

    def send(self, request: Any, *, timeout: float, latest: float = float("inf")) -> Response:
        form = dict(pair.split("=", 1) for pair in str(request.body).split("&"))
        caller = self.me()
        if "grant_type" not in form:
            self.provider.revoke(form["token"])
            return Response(200, {}, b"")
        assert caller is not None
        token, deadline = form["refresh_token"], min(self.monotonic() + timeout, latest)
        caller.gate("to send")
        if self.monotonic() > deadline:
            raise transport.TransportError("connect_timeout", reached=False)
        for other in self.callers:
            if other is not caller and not other.dead and other.sending is not None:
                sent, until = other.sending
                if sent == token and until > self.monotonic():
                    self.violations.append(f"{token} is sent by two holders at once")
        if caller.what != "unauthorized" and self.provider.is_replay(token) and self.alive(token):
            self.violations.append(f"{token} is sent again while the access token lives")
        caller.sending = (token, deadline)
        status, body = self.provider.refresh(token, self.monotonic())
        lost, self.answer_is_lost = self.answer_is_lost, False
        caller.gate("sent")
        caller.sending = None
        if lost:
            raise transport.TransportError("connection_reset", reached=True)
        if status == 200:
            caller.holding.add(body["refresh_token"])
            self.received.append(body["refresh_token"])
        caller.gate("answered")
        return Response(status, {}, repr(body).replace("'", '"').encode())

    def alive(self, refresh_token: str) -> bool:
        """Whether there is something to lose with the grant of ``refresh_token``."""
        row = OAuthToken.objects.first()
        return row is not None and row.refresh_token == refresh_token and not row.is_expired

    def fail_database(self) -> None:
        if self.database_failures:
            self.database_failures -= 1
            raise OperationalError("the database is gone")

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = self
        time = SimpleNamespace(monotonic=self.monotonic, sleep=lambda _: self.gate("waiting"))
        no_pause = SimpleNamespace(monotonic=self.monotonic, sleep=lambda _: None)
        # What real clocks and chance decide would make a schedule different each time.
        monkeypatch.setattr(circuit, "BELIEVED_FOR", 0.0)
        monkeypatch.setattr(dates.random, "uniform", lambda low, high: (low + high) / 2)
        monkeypatch.setattr(protocol, "time", time)
        monkeypatch.setattr(attempt, "time", no_pause)
        monkeypatch.setattr(protocol, "_flights", PerThread())
        monkeypatch.setattr(rescue, "_memory", Nothing())
        monkeypatch.setattr(transport, "send", self.send)
        monkeypatch.setattr(locks, "wait", lambda *_: self.gate("waiting") or True)
        monkeypatch.setattr(StoredTokenSet, "now", lambda _: self.now())
        for name, module in list(sys.modules.items()):
            if name.startswith("oauth_tokens.") and hasattr(module, "database_now"):
                monkeypatch.setattr(module, "database_now", lambda _: self.now())
        claim, save, late, release, keep = (
            Transitions.claim,
            Transitions.save_refreshed,
            Transitions.keep_late,
            locks.Lock.release,
            rescue.keep,
        )

        def claiming(*arguments: Any) -> bool:
            world.gate("to claim")
            return claim(*arguments)

        def saving(row: Any, token_set: Any, *arguments: Any) -> bool:
            world.gate("to save")
            world.fail_database()
            saved = save(row, token_set, *arguments)
            if saved and world.commit_is_lost:
                world.commit_is_lost = False
                raise OperationalError("the connection broke at the commit")
            world.gate("saved" if saved else "too late")
            return saved

        def too_late(*arguments: Any) -> None:
            world.fail_database()
            late(*arguments)

        def unless_dead(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **keywords: Any) -> Any:
                caller = world.me()
                if caller is None or not caller.dead:
                    return function(*arguments, **keywords)
                return None

            return call

        monkeypatch.setattr(Transitions, "claim", claiming)
        monkeypatch.setattr(Transitions, "save_refreshed", saving)
        monkeypatch.setattr(Transitions, "keep_late", too_late)
        monkeypatch.setattr(locks.Lock, "release", unless_dead(release))
        monkeypatch.setattr(rescue, "keep", unless_dead(keep))

    @contextlib.contextmanager
    def ended(self) -> Iterator[None]:
        """Kill whatever is left at the end."""
        try:
            yield
        finally:
            for caller in self.active:
                caller.step(Killed)


class Nothing(dict[str, Any]):
    """Memory that one process does not share with another."""

    def __setitem__(self, key: str, value: Any) -> None:
        pass

    def __delitem__(self, key: str) -> None:
        pass


class PerThread(dict[str, Any]):
    """What one process has of its own, where threads stand for processes."""

    def __init__(self) -> None:
        super().__init__()
        self._own = threading.local()

    def _mine(self) -> dict[str, Any]:
        found: dict[str, Any] = self._own.__dict__.setdefault("mine", {})
        return found

    def setdefault(self, key: str, value: Any = None) -> Any:
        return self._mine().setdefault(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        return self._mine().get(key, default)

    def __delitem__(self, key: str) -> None:
        del self._mine()[key]
