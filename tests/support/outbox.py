"""The outbox of e-mails: what brings mails into it, what became of them, and what they say."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent, exceptions, notices
from oauth_tokens.models import TaskRun
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

SITE = "https://your.site"
DAY = timedelta(days=1)


def end(token: OAuthToken, provider: Provider) -> OAuthToken:
    provider.misbehave("status", status=400, body={"error": "invalid_grant"})
    with pytest.raises(exceptions.ReauthenticationRequired):
        age(token, EXPIRED).refresh()
    provider.behave()
    ripen()
    return OAuthToken.objects.get(pk=token.pk)


def dies_in(token: OAuthToken, left: timedelta) -> OAuthToken:
    rows = OAuthToken.objects.filter(pk=token.pk)
    rows.update(refresh_token_expires_at=timezone.now() + left)
    return rows.get()


def ripen() -> None:
    """Let time pass until each mail of the outbox is due."""
    TokenEvent.objects.filter(mail_at__isnull=False).update(mail_at=timezone.now())


def look_again() -> int:
    """An hour later."""
    then = timezone.now() - notices.LOOK_EVERY - timedelta(seconds=1)
    TaskRun.objects.filter(task=notices.LOOK).update(ran_at=then)
    return notices.send_notices()


def attempts() -> list[str]:
    """How attempts to send mails went."""
    return list(
        TokenEvent.objects.filter(kind=TokenEvent.Kind.NOTICE_SENT)
        .order_by("pk")
        .values_list("code", flat=True)
    )


def waiting() -> int:
    return TokenEvent.objects.filter(mail_at__isnull=False).count()


def html_of(message: mail.EmailMessage) -> str:
    assert isinstance(message, EmailMultiAlternatives)
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    return str(html)


def link_in(message: mail.EmailMessage) -> str:
    found = re.search(rf"{SITE}(/oauth/reconnect/\S+)", str(message.body))
    assert found
    return found[1]
