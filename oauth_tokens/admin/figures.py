"""What the overview shows: figures, each a link to the rows behind it.

Imported when somebody looks: a worker need not start with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import OAuthToken, PendingRevocation, TokenEvent
from ..overview import EXPIRING_DAYS, UNUSED_DAYS, Overview, ProviderFigures, collect
from ..words import code_in_words, distance, when
from .charts import of_a_day, of_days
from .shared import SYMBOLS, badge, sees

#: Providers in the table of those that are slow.
SLOWEST = 10


class Figure(NamedTuple):
    """A number, what it counts, and where the rows are; "" where the viewer may not see them."""

    label: str
    number: int
    url: str = ""
    tone: str = ""

    @property
    def sign(self) -> str:
        """What says the same as its colour."""
        return SYMBOLS.get(self.tone, "")


class Links:
    """Addresses of lists in the admin, narrowed down."""

    def __init__(self, request: HttpRequest, site: admin.AdminSite) -> None:
        self.request, self.site = request, site

    def tokens(self, **narrowed: object) -> str:
        return self._list(OAuthToken, narrowed)

    def events(self, **narrowed: object) -> str:
        return self._list(TokenEvent, narrowed)

    def revocations(self) -> str:
        return self._list(PendingRevocation, {})

    def _list(self, model: type[Model], narrowed: dict[str, object]) -> str:
        if not sees(self.site, self.request, model):
            return ""
        name = f"admin:{model._meta.label_lower.replace('.', '_')}_changelist"
        url = reverse(name, current_app=self.site.name)
        return f"{url}?{urlencode(narrowed)}" if narrowed else url


def page(request: HttpRequest, site: admin.AdminSite) -> dict[str, Any]:
    """What the template shows."""
    overview = collect()
    links = Links(request, site)
    return {
        "alarms": [(_alarm_badge(alarm.operator), alarm) for alarm in overview.alarms],
        "sweep": _sweep(overview),
        "figures": list(_figures(overview, links)),
        "charts": [of_a_day(overview.hours), of_days(overview.hours)],
        "outcomes": _outcomes(overview, links),
        "causes": [
            (cause, code_in_words(cause.code), _of_cause(links, cause.provider, cause.code))
            for cause in overview.causes
        ],
        "providers": [
            (
                it.provider,
                _state(it),
                list(_states(partial(getattr, it), partial(links.tokens, provider=it.provider))),
            )
            for it in sorted(overview.providers.values(), key=_worst_first)
        ],
        "slowest": _slowest(overview),
    }


def _alarm_badge(operator: bool) -> SafeString:
    return badge("bad", _("needs you")) if operator else badge("warn", _("notice"))


def _sweep(overview: Overview) -> str:
    sweep = overview.sweep
    if sweep.ran_at is None:
        return _("No sweep has run yet.")
    text = ngettext(
        "The last sweep was %(when)s; %(number)d token is due.",
        "The last sweep was %(when)s; %(number)d tokens are due.",
        sweep.due,
    )
    return text % {"when": when(sweep.ran_at), "number": sweep.due}


def _figures(overview: Overview, links: Links) -> Iterator[Figure]:
    total, tokens = overview.total, links.tokens
    yield from _states(total, tokens)
    if expired := total("expired"):
        yield Figure(_("expired"), expired, tokens(over=1), "bad")
    if leaving := total("revoking"):
        yield Figure(_("being revoked"), leaving, tokens(status__exact="revoking"))
    if overview.pending_revocations:
        pending = overview.pending_revocations
        yield Figure(_("late tokens to be revoked"), pending, links.revocations())
    if overview.rescued:
        yield Figure(_("kept aside, to be saved"), overview.rescued, "", "warn")


def _states(count: Callable[[str], int], tokens: Callable[..., str]) -> Iterator[Figure]:
    """Of all tokens, or of one provider's; ``count`` and ``tokens`` give number and link."""
    ended, failing, dying = map(count, ("reauth_required", "failing", "expiring"))
    yield Figure(_("connected"), count("active"), tokens(status__exact="active", over=0))
    yield Figure(
        _("need re-authentication"),
        ended,
        tokens(status__exact="reauth_required"),
        "bad" if ended else "",
    )
    yield Figure(_("failing now"), failing, tokens(failing=1), "warn" if failing else "")
    yield Figure(
        _("dying within %(days)d days") % {"days": EXPIRING_DAYS},
        dying,
        tokens(expiring=EXPIRING_DAYS),
        "warn" if dying else "",
    )
    yield Figure(
        _("not used for %(days)d days") % {"days": UNUSED_DAYS},
        count("unused"),
        tokens(unused=UNUSED_DAYS),
    )


def _outcomes(overview: Overview, links: Links) -> list[Figure]:
    """The legend of the charts, with links to the entries of the last 24 hours."""
    since = overview.hours[-24].start.isoformat()

    def of(kind: str) -> str:
        return links.events(kind__exact=kind, created_at__gte=since)

    return [
        Figure(_("refreshed"), overview.total("refreshed"), of("refreshed"), "refreshed"),
        Figure(
            _("failed, to be tried again"), overview.total("failed"), of("refresh_failed"), "failed"
        ),
        Figure(
            _("ended, for the user to mend"),
            overview.total("ended"),
            of("reauth_required"),
            "ended",
        ),
    ]


def _of_cause(links: Links, provider: str, code: str) -> str:
    return links.tokens(status__exact="reauth_required", provider=provider, error_code=code)


def _worst_first(it: ProviderFigures) -> tuple[bool, bool, bool, int, str]:
    working = it.circuit_since is None
    return (
        not it.circuit_operator,
        working,
        not it.failing,
        -it.active - it.reauth_required,
        it.provider,
    )


def _state(it: ProviderFigures) -> tuple[SafeString, str]:
    """A badge, and what there is to say about it."""
    if it.circuit_since is not None:
        text = _("for %(time)s: %(reason)s") % {
            "time": distance(it.circuit_since),
            "reason": code_in_words(it.circuit_code),
        }
        if it.circuit_operator:
            return badge("bad", _("refuses this site")), text
        return badge("warn", _("failing")), text
    if it.active and not it.configured:
        return badge("warn", _("not refreshed")), _("the settings have no such provider")
    if it.failing:
        text = _("some tokens, for %(time)s") % {
            "time": distance(it.failing_since) if it.failing_since else "-"
        }
        return badge("warn", _("failing")), text
    return badge("good", _("works")), ""


def _slowest(overview: Overview) -> list[ProviderFigures]:
    timed = [it for it in overview.providers.values() if it.p95 is not None]
    return sorted(timed, key=lambda it: it.p95 or 0.0, reverse=True)[:SLOWEST]
