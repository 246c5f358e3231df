"""What has to be done from time to time: by Celery beat, or by a command from cron."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DatabaseErrors
from django.db import models, router
from django.db.models import Q

from . import rescue
from .conf import get_settings
from .exceptions import DecryptionError, OAuthTokenError
from .models import OAuthToken, PendingRevocation, ProviderCircuit, TaskRun, TokenEvent
from .models.notices import send_notice
from .providers.registry import provider_names
from .reader import database_now, read_rows
from .refresh import Need, ensure

logger = logging.getLogger("oauth_tokens")

#: Rows read at once by a sweep.
BATCH = 500
#: Days for which history is kept.
KEEP_EVENTS = 90
#: What a sweep is called in :class:`~oauth_tokens.models.TaskRun`.
SWEEP = "refresh_due_tokens"

Dispatch = Callable[[int, int], object]


def database() -> str:
    """Alias of the database that holds the tokens."""
    return router.db_for_write(OAuthToken)


def due_rows(using: str, now: datetime) -> models.QuerySet[OAuthToken]:
    """What a sweep would refresh at ``now``, were all providers well."""
    return OAuthToken._base_manager.using(using).filter(
        status=OAuthToken.Status.ACTIVE, refresh_at__lte=now, provider__in=provider_names()
    )


def dispatch_due(dispatch: Dispatch) -> int:
    """Hand every row that is due for a refresh to ``dispatch(pk, version)``, the oldest first.

    ``refresh_at`` is pushed forward for each row handed over, so that a backlog is never handed
    over twice, and put back if ``dispatch`` fails. Of a provider that is failing as a whole only
    one row is handed over, and only when a probe is due.

    Returns:
        How many rows were handed over.

    Raises:
        Whatever ``dispatch`` raises; that row and all after it stay due.
    """
    using = database()
    now, begun = database_now(using), time.monotonic()
    failing = {circuit.provider: circuit for circuit in ProviderCircuit.open_circuits(using)}
    due = due_rows(using, now)
    count = 0
    for circuit in failing.values():
        if circuit.probe_at is not None and circuit.probe_at <= now:
            count += _hand_over(due.filter(provider=circuit.provider), dispatch, now, 1)
    healthy = due.exclude(provider__in=failing)
    while True:
        handed = _hand_over(healthy, dispatch, now, BATCH)
        count += handed
        # After each batch, for the overview: a long sweep is no silent one.
        TaskRun.note(SWEEP, now + timedelta(seconds=time.monotonic() - begun), using)
        if not handed:
            return count


def _hand_over(due: Any, dispatch: Dispatch, now: Any, limit: int) -> int:
    later = now + timedelta(seconds=2 * get_settings().LOCK_TIMEOUT)
    handed = 0
    for pk, version, refresh_at in due.order_by("refresh_at").values_list(
        "pk", "version", "refresh_at"
    )[:limit]:
        row = OAuthToken._base_manager.using(due.db).filter(pk=pk)
        # Two sweeps may run: whoever moves refresh_at hands the row over.
        if not row.filter(refresh_at=refresh_at).update(refresh_at=later):
            continue
        try:
            dispatch(pk, version)
        except BaseException:
            row.filter(refresh_at=later).update(refresh_at=refresh_at)
            raise
        handed += 1
    return handed


def refresh_one(pk: int, version: int | None = None) -> str:
    """Refresh one row in the background.

    Arguments:
        version: of the row when it was found due; it is left alone once it has a newer one. Without
            it, the row is refreshed if it is stale.

    Returns:
        "refreshed", "fresh", or the code of what kept it from being refreshed.
    """
    row = read_rows(OAuthToken, database(), {"id": pk})
    if not row:
        return "gone"
    token = row[0]
    before = token.version
    need = Need("sweep", min_ttl=token.leeway, beyond_version=version, wait=False)
    try:
        if need.met_by(token) and token.status == OAuthToken.Status.ACTIVE:
            return "fresh"
        ensure(token, need)
    except OAuthTokenError as error:
        if isinstance(error, DecryptionError):
            logger.error("%r: %s", token, error)
        return error.code
    return "refreshed" if token.version > before else "fresh"


def restore_rescued() -> int:
    """Save what the database would not take earlier. Returns how many entries were saved."""
    restored = 0
    for key in rescue.kept_keys():
        try:
            restored += _restore(key)
        except (DatabaseErrors, OAuthTokenError) as error:
            # One entry must not keep the others waiting.
            logger.error("A rescued token could not be restored (%s)", type(error).__name__)
    return restored


def _restore(key: str) -> bool:
    using = database()
    pk = key.rpartition(":")[2]
    if not pk.isdigit() or OAuthToken(pk=int(pk)).key != key:
        return False  # another site's
    found = rescue.find(key)
    if found is None:
        return False
    kept = found.kept
    rows = read_rows(OAuthToken, using, {"id": int(pk)})
    if rows:
        # Committed before it is forgotten, whatever transaction the caller may be in.
        with rows[0].own_connection():
            rows[0].save_rescued(kept)
    else:
        # Its user disconnected, or is gone.
        PendingRevocation.of(
            kept.token_set,
            provider=kept.provider,
            client_id=kept.client_id,
            variables=kept.url_variables,
            using=using,
            now=database_now(using),
        )
    rescue.forget(key, found.entries)
    for row in rows:
        row.send_notices()
    return bool(rows)


def revoke_pending() -> int:
    """Try again to revoke what providers have not taken back yet. Returns how many they took."""
    using = database()
    now = database_now(using)
    done = 0
    leaving = OAuthToken._base_manager.using(using).filter(status=OAuthToken.Status.REVOKING)
    for row in _taken(leaving, "refresh_at", now):
        done += OAuthToken.objects.revoke_row(row)
    for late in _taken(PendingRevocation._base_manager.using(using), "retry_at", now):
        done += late.attempt(now)
    return done


def _taken(rows: Any, date: str, now: datetime) -> Iterator[Any]:
    """Rows whose ``date`` has come, each for whoever moves it first: two sweeps may run."""
    begun = time.monotonic()
    for row in rows.filter(**{f"{date}__lte": now}).order_by(date)[:BATCH]:
        # From now on: those before it may have taken their time.
        lease = time.monotonic() - begun + get_settings().LOCK_TIMEOUT
        later = now + timedelta(seconds=lease)
        seen = {"pk": row.pk, date: getattr(row, date)}
        if rows.filter(**seen).update(**{date: later}):
            setattr(row, date, later)
            yield row


def send_due_notices() -> int:
    """Send the notices whose sender died between commit and send. Returns how many were sent."""
    using = database()
    now = database_now(using)
    due = TokenEvent._base_manager.using(using).filter(notice_at__lte=now)
    # Its user is gone, so there is nobody to tell.
    due.filter(token__isnull=True).update(notice_at=None)
    events = due.select_related("token")[:BATCH]
    return sum(send_notice(event, event.token) for event in events if event.token is not None)


def prune_events(days: int = KEEP_EVENTS) -> int:
    """Delete history older than ``days``. Returns how many entries."""
    using = database()
    old = Q(created_at__lt=database_now(using) - timedelta(days=days))
    told = Q(notice_at__isnull=True, mail_at__isnull=True)
    return int(TokenEvent._base_manager.using(using).filter(old & told)._raw_delete(using))
