"""Which tokens are in use: noted once a day, and never while somebody waits for a token."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

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
    it may not spoil an answer that is already on its way."""
    while _used:
        (model, using), keys = _used.popitem()
        # Django has closed this request's connections already: nobody else would close a new one.
        unopened = connections[using].connection is None
        try:
            model._base_manager.using(using).filter(pk__in=keys).update(last_used_at=timezone.now())
        except Exception:
            logger.exception("The use of tokens could not be noted")
        finally:
            if unopened:
                connections[using].close()
