"""What Celery beat and worker do, in one process: for cron, or as a service with ``--loop``."""

from __future__ import annotations

import signal
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, close_old_connections

from oauth_tokens import notices, upkeep
from oauth_tokens.reader import database_now

from .oauth_tokens_rotate_keys import bar


class _Ended:
    """Whether the process was told to end.

    No ``threading.Event``: a handler that sets one while the same thread waits for it can hang.
    """

    def __init__(self) -> None:
        self.told = False

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.told and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))


class _Stopped(Exception):
    """The process was told to end in the middle of a sweep."""


class Command(BaseCommand):
    help = "Refresh all tokens that are due, without Celery: once, or every --loop seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--loop",
            type=float,
            metavar="SECONDS",
            help="go on until SIGTERM or SIGINT, with a pause of so many seconds between sweeps",
        )

        parser.add_argument("--no-progress", action="store_true", help="no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        pause = options["loop"]
        if pause is None:
            show = not options["no_progress"] and sys.stderr.isatty()
            self.stdout.write(self._sweep(_Ended(), show))
            return
        if not pause > 0:
            raise CommandError("--loop takes a number of seconds greater than 0.")
        ended = _Ended()

        def end(number: int, frame: FrameType | None) -> None:
            ended.told = True

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not ended.told:
                self._sweep_and_survive(ended)
                ended.wait(pause)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _sweep_and_survive(self, ended: _Ended) -> None:
        """A database that fails for a while ends no service: the next sweep finds what is due."""
        try:
            self.stdout.write(self._sweep(ended))
        except Error as error:
            self.stderr.write(f"sweep failed: {type(error).__name__}")
        close_old_connections()

    def _count_due(self) -> int:
        using = upkeep.database()
        return upkeep.due_rows(using, database_now(using)).count()

    def _sweep(self, ended: _Ended, show: bool = False) -> str:
        """One sweep; returns what it did, in a line.

        Arguments:
            show: whether to draw a progress bar.
        """
        outcomes: Counter[str] = Counter()
        restored = upkeep.restore_rescued()
        total = self._count_due() if show else 0

        def refresh(pk: int, version: int) -> None:
            if ended.told:
                raise _Stopped
            outcomes[upkeep.refresh_one(pk, version)] += 1
            if show:
                self.stderr.write(bar(outcomes.total(), total), ending="")

        try:
            upkeep.dispatch_due(refresh)
            if total:
                self.stderr.write("")
            outcomes["revoked"] = upkeep.revoke_pending()
            outcomes["told by signal"] = upkeep.send_due_notices()
            outcomes["told by e-mail"] = notices.send_notices()
        except _Stopped:
            outcomes["left for the next sweep"] += 1
        outcomes["restored"] = restored
        done = [f"{count} {outcome}" for outcome, count in sorted(outcomes.items()) if count]
        return ", ".join(done) or "nothing due"
