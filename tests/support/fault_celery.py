"""``tests.celery`` with the faults of a real deployment: redelivery, hard limits, two beats."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

from tests.celery import app

app.conf.update(
    # A task is acknowledged when it has ended, and comes again if its process dies before.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    task_time_limit=float(os.environ.get("FAULT_TIME_LIMIT", "0")) or None,
    beat_schedule={
        "refresh_due_tokens": {"task": "oauth_tokens.refresh_due_tokens", "schedule": 0.5}
    },
)


@worker_process_init.connect
def die_once_after_a_refresh(**_: object) -> None:
    """Kill the process that has saved, before it can acknowledge its task: the first time only."""
    flag = os.environ.get("FAULT_KILL_ONCE")
    if not flag:
        return
    from oauth_tokens import signals

    def kill(**__: Any) -> None:
        path = Path(flag)
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    signals.token_refreshed.connect(kill, weak=False)
