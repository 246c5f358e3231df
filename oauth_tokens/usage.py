"""Which tokens are in use: noted once a day, and never while somebody waits for a token."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connections, transaction
from django.utils import timezone

from .connection import short_busy_timeout

logger = logging.getLogger("oauth_tokens")

#: How exactly ``last_used_at`` is kept: a finer one would be more writes, and tell no more.
EXACT_TO = timedelta(days=1)

_used: dict[tuple[Any, str], set[int]] = {}


def note(row: Any) -> None:
    """Remember that ``row`` is used; :func:`flush` writes it."""
    if row.last_used_at is None or row.now() - row.last_used_at > EXACT_TO:
        _used.setdefault((type(row), row.database), set()).add(row.pk)


def flush(**kwargs: Any) -> None:
    """Write what was noted. Called after each request and each task of Celery; an error is logged:
    it may not spoil an answer that is already on its way.

    What cannot be written at once is left to the next use of the same tokens.
    """
    while _used:
        (model, using), keys = _used.popitem()
        # Django has closed this request's connections already: nobody else would close a new one.
        unopened = connections[using].connection is None
        try:
            _write(model, using, keys)
        except OperationalError as error:
            # On SQLite, most likely somebody else is writing.
            logger.info("The use of tokens could not be noted: %s", error)
        except Exception:
            logger.exception("The use of tokens could not be noted")
        finally:
            if unopened:
                connections[using].close()


def _write(model: Any, using: str, keys: set[int]) -> None:
    rows = model._base_manager.using(using).filter(pk__in=keys)
    skip_locked = connections[using].features.has_select_for_update_skip_locked
    with short_busy_timeout(using), transaction.atomic(using=using):
        free = rows.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True)
        rows.filter(pk__in=list(free)).update(last_used_at=timezone.now())
