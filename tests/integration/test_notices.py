"""E-mails to users and operators: each once, and nothing that is no longer so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core import checks, mail, signing
from django.core.mail import EmailMultiAlternatives
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from oauth_tokens import OAuthToken, TokenEvent, exceptions, notices, overview, signals, tasks
from oauth_tokens.checks import check_notices
from oauth_tokens.models import TaskRun
from oauth_tokens.notices import mailer
from oauth_tokens.upkeep import send_due_notices
from tests.support.consent import consent
from tests.support.mails import FILES, LOCMEM, SMTP, MailServer, use_backend
from tests.support.processes import Processes
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age
from tests.support.site import serve

Configure = Callable[..., None]
Kind = TokenEvent.Kind
SITE = "https://your.site"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def notifying(configure: Configure, provider: Provider, settings: Settings) -> None:
    use_backend(settings, LOCMEM)
    configure(NOTIFY_USERS=True, SITE_URL=SITE)


@pytest.fixture
def ended(token: OAuthToken, provider: Provider) -> OAuthToken:
    """Alice's connection, which the provider no longer accepts; its mail is due."""
    return end(token, provider)


@pytest.fixture
def dying(token: OAuthToken) -> OAuthToken:
    """Alice's connection of long ago, whose refresh token dies in six days."""
    TokenEvent.objects.update(created_at=timezone.now() - timedelta(days=30))
    return dies_in(token, timedelta(days=6))


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
    TaskRun.objects.update(ran_at=timezone.now() - timedelta(hours=1, seconds=1))
    return notices.send_notices()


def attempts() -> list[str]:
    """How attempts to send mails went."""
    return list(
        TokenEvent.objects.filter(kind=Kind.NOTICE_SENT)
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


# Whose connection has ended


def test_a_user_is_told_once(ended: OAuthToken, django_user_model: Any) -> None:
    assert notices.send_notices() == 1
    assert notices.send_notices() == 0
    (message,) = mail.outbox
    assert message.to == ["alice@example.org"]
    assert message.subject == "Please connect Acme again"
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"
    for part in (str(message.body), html_of(message)):
        assert "the provider no longer accepts it" in part
        assert f"{SITE}/oauth/reconnect/" in part
    assert link_in(message) in html_of(message)
    assert attempts() == [mailer.SENT]
    assert TokenEvent.objects.get(kind=Kind.NOTICE_SENT).detail == Kind.REAUTH_REQUIRED


def test_nothing_secret_is_in_a_mail(token: OAuthToken, provider: Provider) -> None:
    secrets = [token.access_token, token.refresh_token]
    end(token, provider)
    notices.send_notices()
    text = mail.outbox[0].message().as_string() + html_of(mail.outbox[0])
    assert all(secrets)
    assert not [secret for secret in secrets if secret and secret in text]


def test_who_is_led_to_the_provider_at_once_gets_no_mail(
    token: OAuthToken, provider: Provider
) -> None:
    provider.misbehave("status", status=400, body={"error": "invalid_grant"})
    with pytest.raises(exceptions.ReauthenticationRequired):
        age(token, EXPIRED).refresh()
    assert (notices.send_notices(), waiting()) == (0, 1)


def test_nobody_is_told_unless_the_site_wants_it(
    token: OAuthToken, provider: Provider, configure: Configure
) -> None:
    configure(NOTIFY_USERS=False)
    end(token, provider)
    assert waiting() == 0
    configure(NOTIFY_USERS=True)
    assert notices.send_notices() == 0


def test_switching_it_off_holds_for_what_is_waiting(
    ended: OAuthToken, configure: Configure
) -> None:
    configure(NOTIFY_USERS=False)
    assert (notices.send_notices(), waiting()) == (0, 0)


def test_who_has_connected_meanwhile_is_not_told(
    ended: OAuthToken, user: AbstractUser, provider: Provider
) -> None:
    user.oauth_tokens.store("acme", provider.issue())
    assert (notices.send_notices(), waiting(), attempts()) == (0, 0, [])


def test_one_mail_for_two_transitions_of_which_one_is_past(
    ended: OAuthToken, user: AbstractUser, provider: Provider
) -> None:
    end(user.oauth_tokens.store("acme", provider.issue()), provider)
    assert waiting() == 2
    assert (notices.send_notices(), waiting()) == (1, 0)


def test_a_second_transition_is_a_second_mail(
    ended: OAuthToken, user: AbstractUser, provider: Provider
) -> None:
    notices.send_notices()
    end(user.oauth_tokens.store("acme", provider.issue()), provider)
    assert notices.send_notices() == 1


@pytest.mark.parametrize("deleted", [True, False])
def test_who_has_disconnected_is_not_told(
    ended: OAuthToken, user: AbstractUser, deleted: bool
) -> None:
    if deleted:
        user.oauth_tokens.disconnect("acme")
        assert not OAuthToken.objects.exists()
    else:
        OAuthToken.objects.update(status="revoking")
    assert (notices.send_notices(), waiting()) == (0, 0)


def test_a_provider_that_was_removed_from_the_settings(
    ended: OAuthToken, configure: Configure
) -> None:
    configure(PROVIDERS={})
    assert (notices.send_notices(), waiting()) == (0, 0)


@pytest.mark.parametrize("change", [{"email": ""}, {"is_active": False}])
def test_without_an_address_it_is_noted_and_not_tried_again(
    ended: OAuthToken, user: AbstractUser, change: dict[str, Any]
) -> None:
    type(user).objects.update(**change)
    assert (notices.send_notices(), waiting(), attempts()) == (0, 0, [mailer.NO_ADDRESS])


def test_a_slow_receiver_whose_claim_was_taken_over_queues_no_mail(
    token: OAuthToken, provider: Provider
) -> None:
    """The signal may come twice then; the mail may not."""

    def slow(**arguments: Any) -> None:
        TokenEvent.objects.filter(notice_at__isnull=False).update(notice_at=F("notice_at") + DAY)

    signals.reauth_required.connect(slow)
    try:
        end(token, provider)
    finally:
        signals.reauth_required.disconnect(slow)
    assert waiting() == 0
    TokenEvent.objects.filter(notice_at__isnull=False).update(notice_at=timezone.now())
    assert send_due_notices() == 1
    assert waiting() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_callers_rollback_does_not_send_it_twice(ended: OAuthToken) -> None:
    with transaction.atomic():
        assert notices.send_notices() == 1
        transaction.set_rollback(True)
    assert (notices.send_notices(), attempts()) == (0, [mailer.SENT])


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
    assert attempts() == [mailer.INTERRUPTED]


# A mail server that fails


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    server = MailServer()
    use_backend(settings, SMTP, host="127.0.0.1", port=server.port, timeout=5)
    yield server
    server.stop()


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


# What is about to end


def test_a_user_is_told_ahead_of_the_end(dying: OAuthToken) -> None:
    assert look_again() == 0, "a refresh may still give it new life"
    event = TokenEvent.objects.get(kind=Kind.EXPIRING)
    assert event.mail_at
    assert dying.refresh_at
    assert event.mail_at - dying.refresh_at == notices.SETTLED_AFTER
    ripen()
    assert notices.send_notices() == 1
    (message,) = mail.outbox
    assert dying.refresh_token_expires_at
    day = timezone.localtime(dying.refresh_token_expires_at)
    assert message.subject == f"Your connection to Acme ends on {day:%b}. {day.day}, {day.year}"
    assert look_again() == 0
    assert TokenEvent.objects.filter(kind=Kind.EXPIRING).count() == 1


def test_an_end_that_moves_with_each_refresh_is_none(dying: OAuthToken) -> None:
    look_again()
    dies_in(dying, timedelta(days=6, hours=1))
    ripen()
    assert (notices.send_notices(), waiting(), attempts()) == (0, 0, [])


def test_an_end_that_is_told_anew_to_the_second_is_the_same(dying: OAuthToken) -> None:
    look_again()
    dies_in(dying, timedelta(days=6, seconds=5))
    ripen()
    assert notices.send_notices() == 1
    assert look_again() == 0
    assert waiting() == 0


@pytest.mark.parametrize("left", [timedelta(days=8), -DAY])
def test_only_what_ends_soon(dying: OAuthToken, left: timedelta) -> None:
    dies_in(dying, left)
    look_again()
    assert waiting() == 0


def test_who_has_just_connected_knows(dying: OAuthToken) -> None:
    TokenEvent.objects.filter(kind=Kind.STORED).update(created_at=timezone.now() - DAY)
    look_again()
    assert waiting() == 0


def test_how_long_ahead_is_a_setting(dying: OAuthToken, configure: Configure) -> None:
    configure(NOTIFY_AHEAD=5 * 86400)
    look_again()
    assert waiting() == 0
    configure(NOTIFY_AHEAD=6.5 * 86400)
    look_again()
    assert waiting() == 1


def test_what_has_ended_meanwhile_is_told_as_that(dying: OAuthToken, provider: Provider) -> None:
    look_again()
    end(dying, provider)
    assert notices.send_notices() == 1
    assert mail.outbox[0].subject == "Please connect Acme again"


def test_it_is_looked_for_once_an_hour(dying: OAuthToken) -> None:
    OAuthToken.objects.update(refresh_token_expires_at=None)
    notices.send_notices()
    dies_in(dying, 6 * DAY)
    notices.send_notices()
    assert waiting() == 0
    look_again()
    assert waiting() == 1


# Whom an operator asks


def ask(token: OAuthToken, actor: AbstractUser, base_url: str = "https://other.site/") -> None:
    notices.ask_to_reconnect(token, actor=actor, base_url=base_url)


def test_an_operator_asks(
    token: OAuthToken, user: AbstractUser, admin_user: AbstractUser, configure: Configure
) -> None:
    configure(NOTIFY_USERS=False, SITE_URL="")
    ask(token, admin_user)
    event = TokenEvent.objects.get(kind=Kind.RECONNECT_ASKED)
    assert (event.actor_id, event.user_id, event.detail) == (
        admin_user.pk,
        user.pk,
        "https://other.site/",
    )
    assert notices.send_notices() == 1
    (message,) = mail.outbox
    assert "https://other.site/oauth/reconnect/" in str(message.body)
    assert "other.site asks you to connect Acme again." in str(message.body)


def test_the_sites_own_address_wins(token: OAuthToken, admin_user: AbstractUser) -> None:
    ask(token, admin_user)
    notices.send_notices()
    assert link_in(mail.outbox[0])


def test_asking_twice_is_one_mail_at_a_time(token: OAuthToken, admin_user: AbstractUser) -> None:
    ask(token, admin_user)
    with pytest.raises(notices.CannotAsk, match="waiting to be sent"):
        ask(token, admin_user)
    assert notices.send_notices() == 1
    ask(token, admin_user)


def test_who_has_connected_need_not_be_asked(
    token: OAuthToken, user: AbstractUser, admin_user: AbstractUser, provider: Provider
) -> None:
    ask(token, admin_user)
    user.oauth_tokens.store("acme", provider.issue())
    assert (notices.send_notices(), waiting()) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"email": ""}, "no e-mail address"),
        ({"is_active": False}, "not active"),
        ({"status": "revoking"}, "has disconnected"),
        ({"provider": "gone"}, "no such provider"),
        ({"urls": False}, "oauth_tokens.urls is not included"),
    ],
)
def test_who_cannot_be_asked(
    token: OAuthToken,
    admin_user: AbstractUser,
    settings: Settings,
    change: dict[str, Any],
    message: str,
) -> None:
    for name, value in change.items():
        setattr(token.user if name in ("email", "is_active") else token, name, value)
    if "urls" in change:
        serve(settings, pages=False)
    with pytest.raises(notices.CannotAsk, match=message):
        ask(token, admin_user)
    assert waiting() == 0


# The link


def path_for(token: OAuthToken) -> str:
    return notices.reconnect_url(token, "")


def test_the_whole_way_back(
    ended: OAuthToken, user: AbstractUser, provider: Provider, client: Client
) -> None:
    notices.send_notices()
    link = link_in(mail.outbox[0])
    for _ in range(2):
        # What programs do that look at links before users do.
        assert client.head(link).status_code == 302
        assert client.get(link)["Location"] == f"/admin/login/?next={link}"
    client.force_login(user)
    there = client.get(link)["Location"]
    assert there == "/oauth/acme/connect/?next=%2Foauth%2F"
    back = client.get(consent(client.get(there)["Location"]))["Location"]
    assert back == "/oauth/"
    assert "Acme is connected." in client.get(back).content.decode()
    assert OAuthToken.objects.get().status == "active"


def test_a_link_for_somebody_else(token: OAuthToken, admin_user: AbstractUser) -> None:
    client = Client()
    client.force_login(admin_user)
    answer = client.get(path_for(token))
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "This link is for another user" in page
    assert "You are logged in as admin" in page
    assert "alice" not in page
    assert "/admin/login/?next=" in page
    assert not client.session.keys() - {"_auth_user_id", "_auth_user_backend", "_auth_user_hash"}


def test_a_link_that_is_too_old(
    token: OAuthToken, user: AbstractUser, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = path_for(token)
    client.force_login(user)
    monkeypatch.setattr(notices, "LINK_MAX_AGE", timedelta(seconds=-1))
    answer = client.get(link)
    assert answer.status_code == 410
    assert 'href="/oauth/"' in answer.content.decode()


def test_a_link_that_was_changed(token: OAuthToken, user: AbstractUser, client: Client) -> None:
    client.force_login(user)
    forged = signing.TimestampSigner(sep="~").sign_object([str(user.pk), "acme", ""])
    for link in (
        path_for(token).replace("reconnect/", "reconnect/x"),
        f"/oauth/reconnect/{forged}/",
    ):
        assert client.get(link).status_code == 404
    assert client.post(path_for(token)).status_code == 405


# How a mail is written


def test_the_language_is_the_users(ended: OAuthToken, configure: Configure) -> None:
    configure(NOTIFY_LANGUAGE=f"{__name__}.language_of")
    notices.send_notices()
    assert '<html lang="ar" dir="rtl">' in html_of(mail.outbox[0])


def language_of(user: AbstractUser) -> str:
    return {"alice": "ar"}[user.get_username()]


def test_it_is_the_sites_where_nobody_says(ended: OAuthToken, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "fr"
    notices.send_notices()
    assert '<html lang="fr" dir="ltr">' in html_of(mail.outbox[0])


def test_what_others_have_written_stays_text(
    token: OAuthToken, provider: Provider, configure: Configure
) -> None:
    configure(acme={"label": "Acme\nBcc: eve@example.org <b>"})
    OAuthToken.objects.update(account_label="<script>\n\nYour password:")
    end(OAuthToken.objects.get(), provider)
    assert notices.send_notices() == 1
    message = mail.outbox[0]
    assert message.subject == "Please connect Acme Bcc: eve@example.org <b> again"
    assert message.recipients() == ["alice@example.org"]
    assert "Account: <script> Your password:\n" in str(message.body)
    assert "&lt;script&gt;" in html_of(message)
    assert "<script>" not in html_of(message)
    assert "<b>" not in html_of(message).replace("<b>&lt;script", "")


def test_an_address_with_a_line_break_sends_nothing(ended: OAuthToken, user: AbstractUser) -> None:
    type(user).objects.filter(pk=user.pk).update(email="alice@example.org\nBcc: eve@example.org")
    assert (notices.send_notices(), mail.outbox) == (0, [])
    assert attempts() == [mailer.FAILED]


def test_nothing_is_loaded_from_elsewhere(ended: OAuthToken) -> None:
    notices.send_notices()
    html = html_of(mail.outbox[0])
    assert set(re.findall(r"https?://[^/\"]+", html)) == {SITE}
    assert not re.search(r"<img|<link|url\(|<script", html)


def test_the_sender_is_a_setting(ended: OAuthToken, configure: Configure) -> None:
    configure(NOTIFY_FROM="tokens@your.site")
    notices.send_notices()
    assert mail.outbox[0].from_email == "tokens@your.site"


# Operators


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


def test_a_digest_that_was_refused_is_tried_again(
    alarms: list[overview.Alarm], db: None, mail_server: MailServer
) -> None:
    alarms.append(REFUSED)
    mail_server.end = "451 not now"
    notices.send_notices()
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


# Who runs it


def test_celery_and_cron_send(ended: OAuthToken, capsys: pytest.CaptureFixture[str]) -> None:
    assert tasks.send_notices() == 1
    TokenEvent.objects.filter(kind=Kind.REAUTH_REQUIRED).update(mail_at=timezone.now())
    call_command("oauth_tokens_refresh")
    assert "1 e-mails sent" in capsys.readouterr().out


def test_a_quiet_site_pays_one_query(
    token: OAuthToken, configure: Configure, django_assert_max_num_queries: Any
) -> None:
    configure(NOTIFY_USERS=False)
    with django_assert_max_num_queries(2):
        assert notices.send_notices() == 0


# System checks


def test_a_site_that_can_write_mails() -> None:
    assert check_notices() == []
    assert check_notices in checks.registry.registry.get_checks()


def test_mails_need_a_page_to_lead_to(settings: Settings, configure: Configure) -> None:
    serve(settings, pages=False)
    (warning,) = check_notices()
    assert warning.id == "oauth_tokens.W004"
    assert 'include("oauth_tokens.urls")' in str(warning.hint)
    configure(NOTIFY_USERS=False)
    assert check_notices() == []


def test_the_language_hook_has_to_be_there(configure: Configure) -> None:
    configure(NOTIFY_LANGUAGE="nowhere.language_of")
    (error,) = check_notices()
    assert error.id == "oauth_tokens.E023"
    assert "nowhere" in error.msg
