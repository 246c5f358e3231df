"""What operators are told by e-mail: what needs them, once a day at most."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings as django_settings
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils import translation

from ..conf import get_settings
from ..models import TaskRun, TokenEvent
from ..reader import database_now
from .mailer import FAILED, GIVEN_UP, SENT, UNKNOWN, Mailer, message

#: What digests are called in :class:`~oauth_tokens.models.TaskRun`: those about what passes, and
#: about what only operators can mend.
DIGESTS = ("send_digest", "send_digest_urgent")
#: Between two digests, and how long a mail may be under way.
EVERY, UNDER_WAY = timedelta(days=1), timedelta(hours=1)


def send_digest(using: str) -> bool:
    """Tell NOTIFY_OPERATORS what needs them; nothing where nothing does, or they know of today."""
    now, last = database_now(using), {name: TaskRun.last(name, using) for name in DIGESTS}
    with translation.override(django_settings.LANGUAGE_CODE):
        context = _digest(max(filter(None, last.values()), default=None), now, using)
        # What passes, or users can bring about, must not use up the turn of what does not.
        name = DIGESTS[any(alarm.operator for alarm in context.get("alarms", ()))]
        if not context or not TaskRun.take_turn(name, EVERY, now, using):
            return False
        settings = get_settings()
        with Mailer() as mailer:
            outcome = mailer.send(lambda: message("digest", settings.NOTIFY_OPERATORS, context))
    if outcome == FAILED:
        # It has not left for certain: again with the next look.
        TaskRun.give_back(name, last[name], using)
    return outcome == SENT


def _digest(last: datetime | None, now: datetime, using: str) -> dict[str, Any]:
    """What there is to tell operators since the ``last`` digest, or nothing."""
    from ..overview import collect

    overview = collect()
    untold = Q(created_at__gt=last - UNDER_WAY) if last else Q()
    undelivered = (
        TokenEvent._base_manager.using(using)
        .filter(kind=TokenEvent.Kind.NOTICE_SENT, code__in=(GIVEN_UP, UNKNOWN))
        # Later ones may still be under way: they are for the next digest.
        .filter(untold, created_at__lte=now - UNDER_WAY)
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
