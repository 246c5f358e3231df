"""What Celery beat has to run: ``app.conf.beat_schedule |= BEAT_SCHEDULE``."""

from __future__ import annotations

from typing import Any

#: Seconds between runs; each entry expires before the next, so that a stopped worker finds no pile.
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    name: {"task": f"oauth_tokens.{name}", "schedule": seconds, "options": {"expires": seconds}}
    for name, seconds in {
        "refresh_due_tokens": 60.0,
        "restore_rescued": 60.0,
        "revoke_pending": 60.0,
        "send_notices": 60.0,
        "prune_events": 86400.0,
    }.items()
}
