"""What of an overview needs attention, in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..words import code_in_words, distance
from .figures import Alarm, Overview, ProviderFigures

#: Time without a sweep, or for which a token may be overdue, until an operator should look.
MAX_SILENCE = timedelta(minutes=5)
#: The same where no sweep ever ran: the first one may be on its way.
FIRST_SWEEP = timedelta(minutes=1)


def alarms(overview: Overview) -> Iterator[Alarm]:
    """What the figures of ``overview`` give cause for, the worst first."""
    found = [*_sweep(overview), *_aside(overview)]
    for figures in overview.providers.values():
        found += _provider(figures)
    yield from sorted(found, key=lambda alarm: not alarm.operator)


def _sweep(overview: Overview) -> Iterator[Alarm]:
    sweep = overview.sweep
    run = _("Start Celery beat and a worker, or let cron run oauth_tokens_refresh every minute.")
    late = overview.at - (sweep.due_since or overview.at)
    if sweep.ran_at is None:
        if late > FIRST_SWEEP:
            text = ngettext(
                "The sweep has never run, and %(number)d token is due for a refresh.",
                "The sweep has never run, and %(number)d tokens are due for a refresh.",
                sweep.due,
            )
            yield Alarm("sweep_silent", True, text % {"number": sweep.due}, run)
    elif overview.at - sweep.ran_at > MAX_SILENCE:
        text = _("The sweep has not run for %(time)s.")
        yield Alarm("sweep_silent", True, text % {"time": distance(sweep.ran_at)}, run)
    elif late > MAX_SILENCE:
        text = ngettext(
            "The sweep runs, but %(number)d token has been due for up to %(time)s.",
            "The sweep runs, but %(number)d tokens have been due for up to %(time)s.",
            sweep.due,
        )
        values = {"number": sweep.due, "time": distance(overview.at - late)}
        fix = _("Look into its log, and whether Celery's broker takes what it hands over.")
        yield Alarm("sweep_lags", True, text % values, fix)


def _aside(overview: Overview) -> Iterator[Alarm]:
    if overview.rescued:
        text = ngettext(
            "%(number)d refreshed token could not be saved and is kept aside.",
            "%(number)d refreshed tokens could not be saved and are kept aside.",
            overview.rescued,
        )
        fix = _("The database is tried again each minute. Leave Redis and RESCUE_DIR as they are.")
        yield Alarm("rescued", False, text % {"number": overview.rescued}, fix)


def _provider(figures: ProviderFigures) -> Iterator[Alarm]:
    name = figures.provider
    values = {"provider": name, "reason": code_in_words(figures.circuit_code)}
    if figures.circuit_since is not None:
        values["time"] = distance(figures.circuit_since)
    if figures.circuit_since and figures.circuit_operator:
        text = _("%(provider)s has been refusing this site for %(time)s: %(reason)s.")
        fix = _("Check its client_id, client_secret and token_endpoint_auth_method.")
        yield Alarm("provider_refuses", True, text % values, fix, name)
    elif figures.circuit_since:
        text = _("%(provider)s has been failing for %(time)s: %(reason)s.")
        fix = _("It is tried again by itself. Until then tokens serve for as long as they live.")
        yield Alarm("provider_failing", False, text % values, fix, name)
    if figures.active and not figures.configured:
        text = ngettext(
            "%(number)d token of %(provider)s is not refreshed: the settings have no such "
            "provider.",
            "%(number)d tokens of %(provider)s are not refreshed: the settings have no such "
            "provider.",
            figures.active,
        )
        fix = _("Describe it in OAUTH_TOKENS['PROVIDERS'] again, or revoke its tokens.")
        number = {"number": figures.active, **values}
        yield Alarm("unknown_provider", False, text % number, fix, name)
