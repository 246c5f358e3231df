"""Random schedules of callers, crashes, clocks, users and failing stores.

After every step: (a) no refresh token is sent by two holders at once; (b) the newest refresh token
that was ever received is in the database (main or spare), in the rescue store, given back to the
provider or waiting for it, in the hands of a living process, or of no use any more. At the end
everybody who is still connected is served.

A schedule is repeated by its seed: ``SEED=17 pytest tests/faults/test_random.py -m ""``.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import OperationalError

from oauth_tokens import OAuthToken, TokenEvent, exceptions, rescue, upkeep
from oauth_tokens.models import PendingRevocation, ProviderCircuit
from tests.support.fault_machine import (
    LIFETIME,
    Caller,
    Killed,
    StrictProvider,
    TimeLimit,
    World,
    family_of,
    generation_of,
)

pytestmark = pytest.mark.django_db(transaction=True)

GRACE = 30
#: What happens, as often as it stands here.
ODDS = ["somebody_calls"] * 3 + ["a_caller_goes_on"] * 6 + ["time_passes"] * 2 + [
    "a_caller_is_ended", "the_user_acts", "something_fails", "beat_restores",
]  # fmt: skip
#: Callers alone: nothing that could excuse a replay.
CALM = ["somebody_calls"] * 3 + ["a_caller_goes_on"] * 6
#: Where the end of a caller, or of its time, leaves open what the provider has done.
MAY_HAVE_SENT = ("claimed", "to send", "sent", "answered", "to save")


class Schedule:
    """One row, at first freshly connected, and what the seed lets happen to it."""

    def __init__(
        self,
        seed: int,
        user: Any,
        valkey: redis.Redis,
        configure: Callable[..., None],
        patches: pytest.MonkeyPatch,
    ) -> None:
        self.choose = random.Random(seed)
        self.user, self.valkey = user, valkey
        for model in (OAuthToken, TokenEvent, PendingRevocation, ProviderCircuit):
            model._base_manager.all().delete()
        valkey.flushdb()
        rotation = self.choose.choice(["strict", "grace", "none"])
        configure(
            acme={"refresh_token_rotation": rotation, "rotation_grace": GRACE},
            REDIS_URL=self.choose.choice(["", django_settings.REDIS_URL]),
        )
        self.provider = StrictProvider(rotation, GRACE)
        self.world = World(patches, self.provider)
        #: Refresh tokens that a crash took with it, as it has to be.
        self.lost: set[str] = set()
        #: Refresh tokens that were safe at some time.
        self.seen: set[str] = set()
        self.outcome_was_unknown = False
        self.stops: Counter[str] = Counter()
        self.log: list[str] = []
        self.user.oauth_tokens.store("acme", self.provider.issue())

    def run(self, steps: int) -> None:
        odds = self.choose.choice([ODDS, CALM])
        with self.world.ended():
            self.world.pass_time(LIFETIME)
            for _ in range(3):
                self.somebody_calls()
            for _ in range(steps):
                what = self.choose.choice(odds)
                self.note(what)
                getattr(self, what)()
                self.check()
            self.everybody_is_served_in_the_end()

    def note(self, what: object) -> None:
        self.log.append(str(what))

    def note_choice(self, options: list[Any]) -> Any:
        self.note(chosen := self.choose.choice(options))
        return chosen

    def somebody_calls(self) -> None:
        row = OAuthToken.objects.first()
        if row is None or len(self.world.active) >= 4:
            return
        calls: dict[str, Callable[[], Any]] = {
            "get_valid": lambda: self.user.oauth_tokens.get_valid("acme"),
            "refresh": row.refresh,
            "unauthorized": row.report_unauthorized,
            "sweep": lambda: upkeep.refresh_one(row.pk, row.version),
        }
        what = self.note_choice(list(calls))
        self.world.call(what, calls[what])

    def a_caller_goes_on(self) -> None:
        if not self.world.active:
            return
        caller = self.choose.choice(self.world.active)
        for _ in range(self.choose.choice([1, 1, 1, 1, 2, 4])):
            if caller.running:
                self.step(caller)

    def a_caller_is_ended(self) -> None:
        """By SIGKILL, or by a time limit that lets it clean up."""
        if not self.world.active:
            return
        caller = self.choose.choice(self.world.active)
        fault = self.note_choice([Killed, TimeLimit])
        if caller.at in MAY_HAVE_SENT:
            self.outcome_was_unknown = True
        before = caller.at
        caller.step(fault)
        assert not caller.running
        left = self.useful(caller.holding) - self.located() - self.seen
        assert not left or fault is Killed or before == "answered"
        self.lost |= left

    def step(self, caller: Caller) -> None:
        caller.step()
        if not caller.running:
            self.check_result(caller)
            assert not self.useful(caller.holding) - self.located() - self.seen
            caller.holding.clear()
        self.stops[caller.at] += 1
        self.note(f"{self.world.callers.index(caller)} is at {caller.at}")

    def check_result(self, caller: Caller) -> None:
        if isinstance(caller.result, exceptions.ReauthenticationRequired):
            code = caller.result.code
            assert code in ("outcome_unknown", "refresh_token_invalid"), code
            assert self.outcome_was_unknown, "the user is asked although nothing went wrong"
        elif isinstance(caller.result, OAuthToken):
            assert caller.result.status == "active"
            # Who stood still, or waited for one who did, may find a token that has expired.
            assert caller.result.seconds_left > 0 or caller.stood_still

    def the_user_acts(self) -> None:
        if self.note_choice([False, False, True]):
            self.user.oauth_tokens.disconnect("acme")
        else:
            self.user.oauth_tokens.store("acme", self.provider.issue())

    def time_passes(self) -> None:
        seconds = self.note_choice([1, 3, 12, 40, 70, 400])
        for caller in self.world.active:
            caller.stood_still |= caller.at != "waiting" or seconds > LIFETIME
            self.outcome_was_unknown |= seconds > 1 and caller.at in MAY_HAVE_SENT
        self.world.pass_time(seconds)
        if seconds > 10:
            # The locks' time to live is real time, which does not pass here.
            for key in self.valkey.scan_iter("*:lock"):
                self.valkey.delete(key)

    def something_fails(self) -> None:
        what = self.note_choice(["redis", "database", "commit", "answer"])
        if what == "redis":
            self.valkey.flushdb()
        elif what == "database":
            self.world.database_failures = self.choose.randint(1, 6)
        elif what == "commit":
            self.world.commit_is_lost = True
        else:
            self.world.answer_is_lost = self.outcome_was_unknown = True

    def beat_restores(self) -> None:
        self.world.database_failures = 0
        with contextlib.suppress(OperationalError):
            upkeep.restore_rescued()
        upkeep.revoke_pending()

    # Invariants

    def check(self) -> None:
        self.no_two_holders()
        self.the_newest_is_not_lost()
        self.nothing_is_replayed_without_need()

    def located(self) -> set[str]:
        """The refresh tokens that are safe."""
        found = set()
        for row in OAuthToken.objects.all():
            found.add(row.refresh_token)
            if row.encrypted_spare_refresh_token:
                found.add(row._open("encrypted_spare_refresh_token"))
        found |= {pending.token for pending in PendingRevocation.objects.all()}
        for key in rescue.kept_keys():
            rescued = rescue.find(key)
            assert rescued is not None
            found.add(rescued.kept.token_set.refresh_token)
        self.seen |= found
        return found

    def useful(self, tokens: set[str]) -> set[str]:
        """Those with which something could still be had from the provider."""
        provider = self.provider
        return {
            token
            for token in tokens
            if family_of(token) not in provider.dead
            and (provider.rotation == "none" or token not in provider.used_at)
        }

    def no_two_holders(self) -> None:
        assert not self.world.violations
        assert not self.world.crashes

    def the_newest_is_not_lost(self) -> None:
        located = self.located()
        in_hand = {token for caller in self.world.active for token in caller.holding}
        newest: dict[str, str] = {}
        for token in self.world.received:
            best = newest.setdefault(family_of(token), token)
            if generation_of(token) > generation_of(best):
                newest[family_of(token)] = token
        row = OAuthToken.objects.first()
        current = family_of(row.refresh_token) if row and row.refresh_token else ""
        for family, token in newest.items():
            # A grant that the user has replaced or ended since its token was stored is over.
            over = family != current and token in self.seen
            if token not in located | in_hand | self.lost and not over:
                assert not self.useful({token}), f"{token} is lost"

    def nothing_is_replayed_without_need(self) -> None:
        assert self.outcome_was_unknown or not self.provider.replays

    def everybody_is_served_in_the_end(self) -> None:
        world = self.world
        world.database_failures, world.commit_is_lost, world.answer_is_lost = 0, False, False
        for _ in range(200):
            if not world.active:
                break
            for caller in world.active:
                self.step(caller)
            world.pass_time(0.1)
        assert not world.active
        upkeep.restore_rescued()
        world.pass_time(8000)
        self.valkey.flushdb()
        row = OAuthToken.objects.first()
        if row is None or row.status == "revoking":
            return
        caller = world.call("get_valid", lambda: self.user.oauth_tokens.get_valid("acme"))
        while caller.running:
            self.step(caller)
        if row.status == "active" and not self.outcome_was_unknown:
            assert isinstance(caller.result, OAuthToken), caller.result
        self.no_two_holders()
        self.the_newest_is_not_lost()


def run(seeds: range, steps: int, *arguments: Any) -> Counter[str]:
    stops: Counter[str] = Counter()
    for seed in [int(os.environ["SEED"])] if "SEED" in os.environ else seeds:
        with pytest.MonkeyPatch.context() as patches:
            schedule = Schedule(seed, *arguments, patches)
            try:
                schedule.run(steps)
            except AssertionError as error:
                raise AssertionError(f"SEED={seed}: {error}\n" + "\n".join(schedule.log)) from error
            stops += schedule.stops
    print(f"{len(seeds)} schedules of {steps} steps; callers stopped at {dict(stops)}")  # noqa: T201
    return stops


@pytest.fixture
def rescued(configure: Callable[..., None], provider: Any, tmp_path: Path) -> None:
    configure(RESCUE_DIR=str(tmp_path / "rescue"), HTTP_TIMEOUT=2, LOCK_TIMEOUT=10)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("rescued")
def test_random_schedules(user: Any, valkey: redis.Redis, configure: Any) -> None:
    """All rows of callers and crashes, mixed."""
    stops = run(range(30), 40, user, valkey, configure)
    assert stops["saved"] > 20


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("rescued")
def test_many_random_schedules(user: Any, valkey: redis.Redis, configure: Any) -> None:
    """The same for longer."""
    stops = run(range(1000, 1600), 60, user, valkey, configure)
    assert {"to send", "sent", "answered", "to save", "saved", "too late", "waiting"} <= set(stops)
