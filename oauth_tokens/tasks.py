"""Celery tasks; what they do stands in :mod:`oauth_tokens.upkeep`."""

from __future__ import annotations

from celery import shared_task, signals

from . import notices, upkeep, usage

signals.task_postrun.connect(usage.flush, dispatch_uid="oauth_tokens.usage")


@shared_task(name="oauth_tokens.refresh_due_tokens", ignore_result=True)
def refresh_due_tokens() -> int:
    """Dispatch a :func:`refresh_token` for each row that is due. Run by beat every minute."""
    upkeep.send_due_notices()
    return upkeep.dispatch_due(lambda pk, version: refresh_token.delay(pk, version=version))


@shared_task(name="oauth_tokens.refresh_token", ignore_result=True)
def refresh_token(token_id: int, version: int | None = None) -> str:
    """Refresh one row, unless it is fresh; safe to be delivered twice.

    Arguments:
        version: of the row when it was found due.

    Returns:
        "refreshed", "fresh", or the code of what kept it from being refreshed.
    """
    return upkeep.refresh_one(token_id, version)


@shared_task(name="oauth_tokens.revoke_pending", ignore_result=True)
def revoke_pending() -> int:
    """Try again to revoke what providers have not taken back yet."""
    return upkeep.revoke_pending()


@shared_task(name="oauth_tokens.restore_rescued", ignore_result=True)
def restore_rescued() -> int:
    """Save token sets that the database would not take when they came."""
    return upkeep.restore_rescued()


@shared_task(name="oauth_tokens.send_notices", ignore_result=True)
def send_notices() -> int:
    """Send the e-mails that are due, to users and operators; see docs/notices.md."""
    return notices.send_notices()


@shared_task(name="oauth_tokens.prune_events", ignore_result=True)
def prune_events(days: int = upkeep.KEEP_EVENTS) -> int:
    """Delete history older than ``days``."""
    return upkeep.prune_events(days)
