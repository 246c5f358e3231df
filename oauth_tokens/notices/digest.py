"""What operators are told by e-mail: what needs them, once a day at most."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings as django_settings
from django.urls import NoReverseMatch, reverse
from django.utils import translation

from ..conf import get_settings
from ..models import TaskRun, TokenEvent
from ..models.notices import take_turn
from ..reader import database_now
from .mailer import FAILED, GIVEN_UP, INTERRUPTED, SENT, UNKNOWN, Mailer, message

#: Between two digests, and how long a mail may be under way.
EVERY, UNDER_WAY = timedelta(days=1), timedelta(hours=1)


def send_digest(using: str) -> bool:
    """Tell NOTIFY_OPERATORS what needs them; nothing where nothing does, or they know of today."""
    with translation.override(django_settings.LANGUAGE_CODE):
        context = _digest(using)
        if not context or not take_turn("send_digest", EVERY, using):
            return False
        settings = get_settings()
        with Mailer() as mailer:
            outcome = mailer.send(
                lambda: message("digest", settings.SITE_URL, settings.NOTIFY_OPERATORS, context)
            )
    if outcome == FAILED:
        # It has not left for certain: again with the next look.
        TaskRun._base_manager.using(using).filter(task="send_digest").delete()
    return outcome == SENT


def _digest(using: str) -> dict[str, Any]:
    """What there is to tell operators, or nothing."""
    from ..overview import collect

    overview, now = collect(), database_now(using)
    undelivered = (
        TokenEvent._base_manager.using(using)
        .filter(kind=TokenEvent.Kind.NOTICE_SENT, code__in=(GIVEN_UP, UNKNOWN, INTERRUPTED))
        # Those of this minute may still be under way.
        .filter(created_at__range=(now - EVERY - UNDER_WAY, now - UNDER_WAY))
        .count()
    )
    if not overview.alarms and not undelivered:
        return {}
    return {
        "alarms": overview.alarms,
        "providers": list(overview.providers.values()),
        "undelivered": undelivered,
        "url": _overview_url(),
    }


def _overview_url() -> str:
    try:
        return get_settings().SITE_URL.rstrip("/") + reverse("admin:oauth_tokens_overview")
    except NoReverseMatch:
        return ""
