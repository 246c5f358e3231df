"""Each mail is sent once, whoever sends it, dies on the way, or fails to take it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent, notices, tasks
from oauth_tokens.notices import mailer
from tests.support.mails import FILES, MailServer
from tests.support.outbox import DAY, attempts, end, ripen, waiting
from tests.support.processes import Processes
from tests.support.provider import Provider

Configure = Callable[..., None]
Kind = TokenEvent.Kind


# Several senders, and those who die

SENDER = """
import sys
from django.conf import settings
from oauth_tokens import notices
from tests.support.mails import use_backend
use_backend(settings, sys.argv[1], file_path=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
print(notices.note_expiring("default"), notices.send_notices(), flush=True)
"""


def go_on(process: Any) -> None:
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go on\n")
    process.stdin.flush()


@pytest.mark.django_db(transaction=True)
def test_two_processes_send_each_mail_once_and_note_each_death_once(
    processes: Processes, user: AbstractUser, provider: Provider, tmp_path: Path
) -> None:
    both = [processes.python(SENDER, FILES, str(tmp_path)) for _ in range(2)]
    rows = [
        user.oauth_tokens.store("acme", provider.issue(), account_id=f"account-{number}")
        for number in range(24)
    ]
    for row in rows[:12]:
        row.require_reauthentication("provider_reported")
        row.send_notices()
    ripen()
    TokenEvent.objects.filter(kind=Kind.STORED).update(created_at=timezone.now() - 30 * DAY)
    OAuthToken.objects.update(refresh_token_expires_at=timezone.now() + 6 * DAY)
    for process in both:
        go_on(process)
    results = [map(int, process.stdout.readline().split()) for process in both if process.stdout]
    assert [sum(counts) for counts in zip(*results, strict=True)] == [12, 12]
    texts = "".join(path.read_text() for path in tmp_path.iterdir())
    accounts = re.findall(r"^Account: (\S+)$", texts, re.M)
    assert sorted(accounts) == sorted(row.account_id for row in rows[:12])
    assert attempts() == [mailer.SENT] * 12
    noted = TokenEvent.objects.filter(kind=Kind.EXPIRING).order_by("token")
    assert list(noted.values_list("token", flat=True)) == [row.pk for row in rows[12:]]


@pytest.mark.django_db(transaction=True)
def test_a_mail_whose_sender_was_killed_is_not_sent_again(
    processes: Processes, ended: OAuthToken, tmp_path: Path
) -> None:
    killing = """
import os
from django.core.mail.backends.filebased import EmailBackend
class Killing(EmailBackend):
    def send_messages(self, messages):
        super().send_messages(messages)
        os.kill(os.getpid(), 9)
"""
    process = processes.python(killing + SENDER, "__main__.Killing", str(tmp_path))
    go_on(process)
    assert process.wait(20) == -9
    assert len(list(tmp_path.iterdir())) == 1
    assert (notices.send_notices(), waiting(), mail.outbox) == (0, 0, [])
    # The history tells an operator that nobody knows.
    assert attempts() == [mailer.UNKNOWN]


# A mail server that fails


def test_a_mail_that_is_refused_is_tried_again_ever_later(
    ended: OAuthToken, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    mail_server.end = "451 not now"
    delays = []
    for _ in notices.DELAYS:
        assert notices.send_notices() == 0
        due = TokenEvent.objects.get(mail_at__isnull=False)
        assert due.mail_at
        delays.append(round((due.mail_at - timezone.now()).total_seconds(), -1))
        assert notices.send_notices() == 0, "it is not due yet"
        ripen()
    assert delays == list(notices.DELAYS)
    assert (notices.send_notices(), waiting()) == (0, 0)
    assert attempts() == [mailer.FAILED] * len(notices.DELAYS) + [mailer.GIVEN_UP]
    assert mail_server.taken == len(notices.DELAYS) + 1
    assert "SMTPDataError" in caplog.text


def test_a_mail_that_is_refused_holds_up_no_other(
    ended: OAuthToken, user: AbstractUser, provider: Provider, mail_server: MailServer
) -> None:
    other = type(user).objects.create_user("bob", "bob@example.org")
    end(other.oauth_tokens.store("acme", provider.issue()), provider)
    type(user).objects.filter(pk=user.pk).update(email="no address@")
    assert notices.send_notices() == 1
    assert sorted(attempts()) == sorted([mailer.FAILED, mailer.SENT])
    assert waiting() == 1


def test_a_mail_server_that_is_back_gets_the_mail(
    ended: OAuthToken, mail_server: MailServer
) -> None:
    mail_server.end = "451 not now"
    notices.send_notices()
    mail_server.end = "250 taken"
    ripen()
    assert (notices.send_notices(), attempts()) == (1, [mailer.FAILED, mailer.SENT])


def test_a_mail_that_may_have_been_taken_is_not_sent_again(
    ended: OAuthToken, mail_server: MailServer
) -> None:
    mail_server.end = ""
    assert (notices.send_notices(), waiting()) == (0, 0)
    assert (attempts(), mail_server.taken) == ([mailer.UNKNOWN], 1)


def test_the_next_mail_goes_over_a_new_connection(
    ended: OAuthToken, user: AbstractUser, provider: Provider, mail_server: MailServer
) -> None:
    other = type(user).objects.create_user("bob", "bob@example.org")
    end(other.oauth_tokens.store("acme", provider.issue()), provider)
    mail_server.first_end = ""
    assert notices.send_notices() == 1
    assert attempts() == [mailer.UNKNOWN, mailer.SENT]


def test_a_mail_server_that_is_away_lets_mails_wait(
    ended: OAuthToken, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    mail_server.stop()
    assert (notices.send_notices(), waiting(), attempts()) == (0, 1, [])
    assert "No e-mail can be sent" in caplog.text


def test_a_template_that_fails_is_no_endless_loop(
    ended: OAuthToken, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(NOTIFY_LANGUAGE=f"{__name__}.no_language")
    assert (notices.send_notices(), waiting()) == (0, 1)
    assert attempts() == [mailer.FAILED]
    assert "KeyError" in caplog.text


def no_language(user: Any) -> str:
    raise KeyError("language")


# Who runs it


def test_celery_and_cron_send(ended: OAuthToken, capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks.send_notices() == 1
    TokenEvent.objects.filter(kind=Kind.REAUTH_REQUIRED).update(mail_at=timezone.now())
    call_command("oauth_tokens_refresh")
    assert "1 told by e-mail" in capsys.readouterr().out


def test_a_quiet_site_pays_one_query(
    token: OAuthToken, configure: Configure, django_assert_max_num_queries: Any
) -> None:
    configure(NOTIFY_USERS=False)
    with django_assert_max_num_queries(2):
        assert notices.send_notices() == 0
