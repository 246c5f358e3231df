"""Encrypt all stored tokens with the first key, so that the others can be retired."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from oauth_tokens import rescue, upkeep
from oauth_tokens.models.rekeying import SECRETS, rekey_batch


class Command(BaseCommand):
    """``manage.py oauth_tokens_rotate_keys``"""

    help = (
        "Encrypts all stored tokens with the first of ENCRYPTION_KEYS. Safe while refreshes run; "
        "stopped and started again it goes on where it was. To rotate: put a new key first, "
        "restart every process, run this, remove the old key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch-size", type=int, default=200, help="rows locked at a time")
        parser.add_argument("--no-progress", action="store_true", help="no progress bar")

    def handle(self, *args: Any, batch_size: int, no_progress: bool, **options: Any) -> None:
        if batch_size < 1:
            raise CommandError("--batch-size must be at least 1.")
        using = upkeep.database()
        # What is kept aside is encrypted with the key of its day.
        upkeep.restore_rescued()
        total = sum(model._base_manager.using(using).count() for model in SECRETS)
        show = not no_progress and sys.stderr.isatty()
        done = changed = unreadable = 0
        for model in SECRETS:
            after = None
            while batch := rekey_batch(model, after, batch_size, using):
                after = batch.last_pk
                done += batch.read
                changed += batch.changed
                unreadable += batch.unreadable
                if show:
                    self.stderr.write(bar(done, total), ending="")
        if show:
            self.stderr.write("")
        self.stdout.write(
            f"Rows encrypted anew: {changed}. Had the first key already: "
            f"{done - changed - unreadable}."
        )
        kept = sum(1 for _key in rescue.kept_keys())
        if kept:
            self.stdout.write(
                f"{kept} rescued tokens wait to be restored: run oauth_tokens_refresh before "
                "you remove the old key."
            )
        if unreadable:
            raise CommandError(
                f"{unreadable} rows do not open with any configured key. Keep the old keys in "
                "ENCRYPTION_KEYS and run this again; their users can also connect again."
            )


def bar(done: int, total: int, width: int = 40) -> str:
    """A progress bar that overwrites itself."""
    share = min(done / total, 1.0) if total else 1.0
    filled = int(share * width)
    return f"\r[{'#' * filled}{'.' * (width - filled)}] {done}/{total} ({share:.0%})"
