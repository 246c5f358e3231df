"""The figures of the admin's overview, for a terminal, and as a health check."""

from __future__ import annotations

import dataclasses
import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error as DatabaseErrors
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from oauth_tokens.models import OAuthToken
from oauth_tokens.overview import Alarm, Overview, collect, missing_keys
from oauth_tokens.words import code_in_words, when


class Command(BaseCommand):
    help = (
        "Tokens by provider and state, failing providers, and when the sweep last ran: the figures "
        "of the admin's overview. Exit status 1 if an operator has to act."
    )
    # What is wrong with the settings is part of what this tells.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        overview = look()
        if options["json"]:
            self.stdout.write(json.dumps(dataclasses.asdict(overview), indent=2, default=str))
        else:
            for line in in_words(overview):
                self.stdout.write(line)
        if any(alarm.operator for alarm in overview.alarms):
            raise SystemExit(1)


def look() -> Overview:
    """The overview, with the alarms that only this command gives: it reads part of ciphertexts,
    and a database that does not answer is worth a line of its own."""
    try:
        overview = collect()
        if overview.settings_known and (missing := missing_keys()):
            text = ngettext(
                "Of the oldest tokens, %(number)d was encrypted with a key that is missing.",
                "Of the oldest tokens, %(number)d were encrypted with a key that is missing.",
                missing,
            )
            fix = _("Put the key back into ENCRYPTION_KEYS, after the first one.")
            alarm = Alarm("missing_key", True, text % {"number": missing}, fix)
            overview.alarms.insert(0, alarm)
    except DatabaseErrors as error:
        text = _("The tokens cannot be counted: %(error)s.")
        fix = _("See that the database answers, and run manage.py migrate.")
        overview = Overview(timezone.now())
        # Its own words may hold addresses and passwords.
        name = type(error).__name__
        overview.alarms.append(Alarm("uncountable", True, text % {"error": name}, fix))
    return overview


def in_words(overview: Overview) -> Iterable[str]:
    """Lines for a terminal."""
    for alarm in overview.alarms:
        label = _("PROBLEM") if alarm.operator else _("NOTE")
        yield f"{label}: {alarm.text} {alarm.fix}"
    if not overview.hours:
        return
    if overview.alarms:
        yield ""
    status = OAuthToken.Status
    head: list[Any] = [
        *(_("provider"), status.ACTIVE.label, _("expired"), _("re-authenticate")),
        *(status.REVOKING.label, _("failing"), _("dying"), _("unused")),
        *(_("refreshed"), _("failed"), "p50", "p95"),
    ]
    rows: list[list[Any]] = [
        [
            *(it.provider, it.active, it.expired, it.reauth_required),
            *(it.revoking, it.failing, it.expiring, it.unused),
            *(it.refreshed, it.failed + it.ended, _seconds(it.p50), _seconds(it.p95)),
        ]
        for it in overview.providers.values()
    ]
    yield from _table([[str(cell) for cell in row] for row in [head, *rows]])
    yield ""
    for cause in overview.causes:
        yield _("%(number)d of %(provider)s to connect again: %(reason)s") % {
            "number": cause.count,
            "provider": cause.provider,
            "reason": code_in_words(cause.code),
        }
    ran_at = overview.sweep.ran_at
    yield _("last sweep: %(when)s; %(number)d due; %(late)d revocations pending") % {
        "when": when(ran_at) if ran_at else _("never"),
        "number": overview.sweep.due,
        "late": overview.pending_revocations,
    }


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _table(rows: list[list[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = "  ".join(cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True))
        yield f"{first.ljust(widths[0])}  {cells}"
