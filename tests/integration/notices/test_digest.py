"""What operators are told by e-mail, once a day at most."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import AbstractUser
from django.core import mail
from django.db.models import F
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent, exceptions, notices, overview
from oauth_tokens.models import TaskRun
from oauth_tokens.notices import mailer
from oauth_tokens.notices.digest import DIGESTS, UNDER_WAY
from tests.support.mails import MailServer
from tests.support.outbox import DAY, SITE, html_of, look_again
from tests.support.rows import EXPIRED, age

Configure = Callable[..., None]
Kind = TokenEvent.Kind


@pytest.fixture
def alarms(db: None, monkeypatch: pytest.MonkeyPatch, configure: Configure) -> list[overview.Alarm]:
    """What the overview says that is wrong."""
    found: list[overview.Alarm] = []
    counted = overview.Overview(timezone.now(), alarms=found)
    counted.of("acme").reauth_required = 3
    monkeypatch.setattr(overview, "collect", lambda: counted)
    configure(NOTIFY_OPERATORS=["ops@your.site", "boss@your.site"])
    return found


REFUSED = overview.Alarm("invalid_client", True, "acme refuses <this> site.", "Check its secret.")


def test_operators_are_told_once_a_day(alarms: list[overview.Alarm]) -> None:
    alarms.append(REFUSED)
    notices.send_notices()
    (message,) = mail.outbox
    assert message.to == ["ops@your.site", "boss@your.site"]
    assert message.subject == "your.site: 1 thing about OAuth tokens to look at"
    for text in ("acme refuses <this> site.", "Check its secret.", "acme: 3 connections need"):
        assert text in str(message.body)
    assert "acme refuses &lt;this&gt; site." in html_of(message)
    TaskRun.objects.filter(task="look_for_notices").delete()
    notices.send_notices()
    assert len(mail.outbox) == 1
    TaskRun.objects.update(ran_at=timezone.now() - DAY)
    notices.send_notices()
    assert len(mail.outbox) == 2


def test_operators_are_not_told_that_all_is_well(alarms: list[overview.Alarm]) -> None:
    notices.send_notices()
    assert mail.outbox == []
    alarms.append(REFUSED)
    look_again()
    assert len(mail.outbox) == 1


def test_operators_are_told_of_mails_that_failed(
    alarms: list[overview.Alarm], ended: OAuthToken, user: AbstractUser
) -> None:
    notices.send_notices()
    TokenEvent.objects.filter(kind=Kind.NOTICE_SENT).update(
        code=mailer.UNKNOWN, created_at=timezone.now() - timedelta(hours=2)
    )
    mail.outbox.clear()
    look_again()
    (message,) = mail.outbox
    assert message.subject == "your.site: e-mails to users have failed"
    assert "1 e-mail to a user could not be sent" in str(message.body)


def test_each_mail_that_failed_is_in_one_digest(alarms: list[overview.Alarm]) -> None:
    last = timezone.now() - 3 * DAY
    TaskRun.objects.create(task=DIGESTS[0], ran_at=last)
    told, untold, under_way = last - 2 * UNDER_WAY, last - UNDER_WAY / 2, timezone.now()
    for moment in (told, untold, last + DAY, under_way):
        TokenEvent.objects.create(
            provider="acme", kind=Kind.NOTICE_SENT, code=mailer.GIVEN_UP, created_at=moment
        )
    notices.send_notices()
    assert "2 e-mails to users could not be sent" in str(mail.outbox[0].body)
    a_day_later()
    look_again()
    assert "1 e-mail to a user could not be sent" in str(mail.outbox[1].body)
    a_day_later()
    look_again()
    assert len(mail.outbox) == 2


def a_day_later() -> None:
    TaskRun.objects.filter(task=DIGESTS[0]).update(ran_at=F("ran_at") - DAY)
    TokenEvent.objects.update(created_at=F("created_at") - DAY)


@pytest.mark.parametrize("last", [None, 3 * DAY])
def test_a_digest_that_was_refused_is_tried_again(
    alarms: list[overview.Alarm], mail_server: MailServer, last: timedelta | None
) -> None:
    ran_at = last and timezone.now() - last
    if ran_at:
        TaskRun.objects.create(task=DIGESTS[0], ran_at=ran_at)
    alarms.append(REFUSED)
    mail_server.end = "451 not now"
    notices.send_notices()
    # What it would have told is for the next one to tell.
    assert TaskRun.last(DIGESTS[0], "default") == ran_at
    mail_server.end = "250 taken"
    look_again()
    assert mail_server.taken == 2
    look_again()
    assert mail_server.taken == 2


def test_a_failing_provider_is_in_the_real_overview(
    configure: Configure, token: OAuthToken, user: AbstractUser
) -> None:
    configure(NOTIFY_OPERATORS=["ops@your.site"], acme={"client_secret": "wrong"})
    with pytest.raises(exceptions.ProviderMisconfigured):
        age(token, EXPIRED).refresh()
    notices.send_notices()
    assert "acme" in str(mail.outbox[0].body)
    assert f"{SITE}/admin/oauth_tokens/" in str(mail.outbox[0].body)
