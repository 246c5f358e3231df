"""All tokens at a glance, for an operator: counted by the database, and nothing is decrypted."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import (
    BinaryField,
    Case,
    Count,
    DateTimeField,
    FloatField,
    Func,
    IntegerField,
    Min,
    Q,
    Value,
    When,
)
from django.db.models.functions import Floor, Ln, Substr
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import rescue
from ..encryption import get_keyring
from ..exceptions import DecryptionError
from ..models import OAuthToken, PendingRevocation, ProviderCircuit, TaskRun, TokenEvent
from ..models.conditions import expiring, failing, over, unused
from ..providers.registry import provider_names
from ..reader import database_now
from ..upkeep import SWEEP, database
from .alarms import alarms
from .figures import Alarm, Cause, Hour, Overview, ProviderFigures

__all__ = [
    "EXPIRING_DAYS",
    "UNUSED_DAYS",
    "Alarm",
    "Hour",
    "Overview",
    "ProviderFigures",
    "collect",
    "missing_keys",
]

#: Days until a refresh token's known end, and days without use, that are worth a look.
EXPIRING_DAYS, UNUSED_DAYS = 7, 30
#: Days of history, today among them.
HISTORY_DAYS = 7
#: Durations are counted in steps of e ** (1/8), so percentiles are right within 7 %.
STEPS = 8
#: Active tokens, the oldest, whose encryption key is looked at.
SAMPLE = 500
#: How a refresh ends: done, to be tried again, or for its user to mend.
OUTCOMES: dict[str, str] = {
    TokenEvent.Kind.REFRESHED: "refreshed",
    TokenEvent.Kind.REFRESH_FAILED: "failed",
    TokenEvent.Kind.REAUTH_REQUIRED: "ended",
}


def collect() -> Overview:
    """Count everything, with six queries whatever there is.

    Raises:
        django.db.Error: the tables cannot be read.
    """
    using = database()
    overview = Overview(database_now(using))
    try:
        overview.providers = {name: ProviderFigures(name) for name in provider_names()}
        site = OAuthToken(pk=0).key.removesuffix("0")
        overview.rescued = sum(key.startswith(site) for key in rescue.kept_keys())
    except ImproperlyConfigured as error:
        overview.settings_known = False
        fix = _("Mend the setting; manage.py check names every mistake in it.")
        overview.alarms.append(Alarm("settings", True, str(error), fix))
    _count_circuits(overview, using)
    _count_tokens(overview, using)
    _count_events(overview, using)
    overview.sweep.ran_at = TaskRun.last(SWEEP, using)
    overview.pending_revocations = PendingRevocation._base_manager.using(using).count()
    overview.alarms += alarms(overview)
    return overview


def missing_keys() -> int:
    """Of the oldest active tokens, ``SAMPLE`` at most, how many no configured key can open.

    Reads as much of each ciphertext as names its key, and too little of it to open anything.

    Raises:
        django.core.exceptions.ImproperlyConfigured: there is no key.
        django.db.Error: the tables cannot be read.
    """
    head = Substr("encrypted_access_token", 1, 40, output_field=BinaryField())
    rows = OAuthToken._base_manager.using(database()).filter(status=OAuthToken.Status.ACTIVE)
    missing = 0
    for start in rows.order_by("pk").values_list(head, flat=True)[:SAMPLE]:
        try:
            get_keyring().decrypt(bytes(start), b"")
        except DecryptionError as error:
            missing += error.code == "unknown_key"
    return missing


def _count_circuits(overview: Overview, using: str) -> None:
    for circuit in ProviderCircuit.open_circuits(using):
        figures = overview.of(circuit.provider)
        figures.circuit_code = circuit.code
        figures.circuit_operator = circuit.operator
        figures.circuit_since = circuit.opened_at


def _count_tokens(overview: Overview, using: str) -> None:
    now, sweep = overview.at, overview.sweep
    due = Q(status=OAuthToken.Status.ACTIVE, refresh_at__lte=now)
    groups = OAuthToken._base_manager.using(using).values("provider", "status", "error_code")
    for group in groups.annotate(
        number=Count("pk"),
        expired=Count("pk", filter=over(now)),
        failing=Count("pk", filter=failing(now)),
        failing_since=Min("failing_since", filter=failing(now)),
        expiring=Count("pk", filter=expiring(EXPIRING_DAYS, now)),
        unused=Count("pk", filter=unused(UNUSED_DAYS, now)),
        due=Count("pk", filter=due),
        due_since=Min("refresh_at", filter=due),
    ).order_by("-number", "provider", "error_code"):
        figures = overview.of(group["provider"])
        status = group["status"]
        setattr(figures, status, getattr(figures, status) + group["number"])
        figures.active -= group["expired"]
        for name in ("expired", "failing", "expiring", "unused"):
            setattr(figures, name, getattr(figures, name) + group[name])
        figures.failing_since = _earlier(figures.failing_since, group["failing_since"])
        if status == OAuthToken.Status.REAUTH_REQUIRED:
            cause = Cause(figures.provider, group["error_code"], group["number"])
            overview.causes.append(cause)
        if figures.configured and not figures.circuit_since:
            sweep.due += group["due"]
            sweep.due_since = _earlier(sweep.due_since, group["due_since"])


def _earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    return min(filter(None, (first, second)), default=None)


class _HoursSince(Func):
    """Whole hours from the second expression to the first."""

    output_field = IntegerField()
    # Not EXTRACT, which PostgreSQL computes in numeric: the whole query takes twice as long.
    template = "FLOOR(DATE_PART('epoch', %(expressions)s) / 3600)"
    arg_joiner = " - "

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # A day is 1.0 there, and the first moment of an hour may come out a little below it.
        template = "CAST((JULIANDAY(%(expressions)s)) * 24 + 0.00001 AS INTEGER)"
        joiner = ") - JULIANDAY("
        return self.as_sql(compiler, connection, template=template, arg_joiner=joiner, **extra)

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "-TIMESTAMPDIFF(HOUR, %(expressions)s)"
        return self.as_sql(compiler, connection, template=template, arg_joiner=", ", **extra)


def _count_events(overview: Overview, using: str) -> None:
    """The hours, and the last 24 of them by provider: one query for both, since it is reading the
    entries that takes time."""
    today = timezone.localtime(overview.at).replace(hour=0, minute=0, second=0, microsecond=0)
    start = (today - timedelta(days=HISTORY_DAYS - 1)).astimezone(UTC)
    number = int((overview.at - start) / timedelta(hours=1)) + 1
    hours = [Hour(start + timedelta(hours=hour)) for hour in range(number)]
    day = Q(created_at__gte=hours[-24].start)
    step = Floor(Ln("duration") * STEPS, output_field=FloatField())
    groups = (
        TokenEvent._base_manager.using(using)
        .filter(kind__in=OUTCOMES, created_at__gte=start)
        # Not later than the hours that there are: the clock may have been set back.
        .filter(created_at__lt=start + timedelta(hours=number))
        .values_list(
            _HoursSince("created_at", Value(start, DateTimeField())),
            "provider",
            "kind",
            Case(When(day & Q(duration__gt=0), then=step), output_field=FloatField()),
        )
        .annotate(Count("pk"))
        .order_by()
    )
    durations: defaultdict[str, Counter[float]] = defaultdict(Counter)
    for hour, provider, kind, duration, count in groups:
        # In SQLite the last moment of an hour may come out as the next one.
        counted: list[Any] = [hours[min(int(hour), number - 1)]]
        if hour >= number - 24:
            counted.append(overview.of(provider))
        for figures in counted:
            setattr(figures, OUTCOMES[kind], getattr(figures, OUTCOMES[kind]) + count)
        if duration is not None:
            durations[provider][duration] += count
    for provider, counts in durations.items():
        figures = overview.of(provider)
        figures.p50, figures.p95 = _percentile(counts, 0.5), _percentile(counts, 0.95)
    overview.hours = hours


def _percentile(counts: Counter[float], share: float) -> float:
    """Seconds within which ``share`` of the refreshes were done, from counts by step."""
    wanted = share * counts.total()
    for step in sorted(counts):
        wanted -= counts[step]
        if wanted <= 0:
            break
    return math.exp((step + 0.5) / STEPS)
