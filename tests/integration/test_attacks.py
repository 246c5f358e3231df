"""Attacks on notices, the admin and the overview."""

from __future__ import annotations

import base64
import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone
from pytest_django import Settings

from oauth_tokens import OAuthToken, TokenEvent, notices, overview
from oauth_tokens.models import ProviderCircuit, TaskRun
from oauth_tokens.notices import digest, mailer
from tests.support.admin import LIST, act, one, operator, page
from tests.support.mails import LOCMEM, SMTP, use_backend
from tests.support.provider import Provider
from tests.support.rows import pending_revocation

Configure = Callable[..., None]
Kind = TokenEvent.Kind
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def notifying(configure: Configure, provider: Provider, settings: Settings) -> None:
    use_backend(settings, LOCMEM)
    configure(NOTIFY_USERS=True, SITE_URL="https://your.site")


def end(row: OAuthToken) -> None:
    row.require_reauthentication("provider_reported")
    row.send_notices()
    ripen()


def ripen() -> None:
    TokenEvent.objects.filter(mail_at__isnull=False).update(mail_at=timezone.now())


def attempts() -> list[str]:
    found = TokenEvent.objects.filter(kind=Kind.NOTICE_SENT).order_by("pk")
    return list(found.values_list("code", flat=True))


class ApiBackend(EmailBackend):
    """Of a provider with an HTTP API, which has taken the mail; its answer is lost."""

    def send_messages(self, messages: Any) -> int:
        import requests

        super().send_messages(messages)
        raise requests.exceptions.ReadTimeout


def test_a_mail_whose_api_answer_is_lost_is_not_sent_again(
    token: OAuthToken, settings: Settings
) -> None:
    use_backend(settings, f"{__name__}.ApiBackend")
    end(token)
    for _ in range(3):
        notices.send_notices()
        ripen()
    assert (len(mail.outbox), attempts()) == (1, [mailer.UNKNOWN])


class Server:
    """SMTP that hangs up after ``limit`` mails, or at MAIL FROM where that is 0."""

    def __init__(self, limit: int) -> None:
        self.taken, outer = 0, self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                left = limit
                for line in self.rfile:
                    verb = line[:4].upper()
                    if verb == b"MAIL" and not left:
                        return
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        while self.rfile.readline() != b".\r\n":
                            pass
                        outer.taken, left = outer.taken + 1, left - 1
                    self.wfile.write(b"250 fine\r\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve(settings: Settings) -> Iterator[Callable[[int], Server]]:
    running: list[Server] = []

    def start(limit: int) -> Server:
        running.append(Server(limit))
        use_backend(settings, SMTP, host="127.0.0.1", port=running[0].port, timeout=5)
        return running[0]

    yield start
    for server in running:
        server.stop()


def test_a_mail_server_that_takes_few_mails_a_connection_gets_all(
    user: AbstractUser, provider: Provider, serve: Callable[[int], Server]
) -> None:
    server = serve(2)
    for number in range(5):
        end(user.oauth_tokens.store("acme", provider.issue(), account_id=str(number)))
    for _ in range(3):
        notices.send_notices()
        ripen()
    assert (server.taken, attempts().count(mailer.SENT)) == (5, 5)
    assert mailer.UNKNOWN not in attempts()


def test_what_was_not_handed_over_yet_is_tried_again(
    token: OAuthToken, serve: Callable[[int], Server]
) -> None:
    serve(0)
    end(token)
    notices.send_notices()
    assert attempts() == [mailer.FAILED]
    assert TokenEvent.objects.filter(mail_at__isnull=False).exists()


def test_a_mail_backend_that_cannot_be_made_stops_no_refresher(
    token: OAuthToken, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    end(token)
    use_backend(settings, "no.such.Backend")
    assert notices.send_notices() == 0
    assert "No e-mail can be sent" in caplog.text
    assert TokenEvent.objects.filter(mail_at__isnull=False).exists()


def test_who_operates_does_not_choose_where_a_mail_leads(
    token: OAuthToken, settings: Settings, configure: Configure
) -> None:
    configure(NOTIFY_USERS=False, SITE_URL="")
    settings.ALLOWED_HOSTS = [".example.com"]
    staff = operator("view_oauthtoken", "reauthenticate_oauthtoken")
    staff.post(one(token, "ask"), headers={"host": "taken-over.example.com"})
    notices.send_notices()
    assert mail.outbox == []


def test_the_name_of_an_account_is_no_message(token: OAuthToken) -> None:
    OAuthToken.objects.update(
        account_label="Your mailbox is full. Sign in at https://evil.example/ to keep it."
    )
    end(OAuthToken.objects.get())
    notices.send_notices()
    assert "evil" not in mail.outbox[0].message().as_string()


def test_a_user_is_asked_once_an_hour(token: OAuthToken, admin_user: AbstractUser) -> None:
    for _ in range(3):
        with contextlib.suppress(notices.CannotAsk):
            notices.ask_to_reconnect(token, actor=admin_user)
        notices.send_notices()
    assert len(mail.outbox) == 1


def test_marked_and_asked_is_one_mail(token: OAuthToken, admin_client: Any) -> None:
    act(admin_client, "mark", token, confirmed="yes")
    act(admin_client, "ask", token, confirmed="yes")
    notices.send_notices()
    ripen()
    notices.send_notices()
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("lookup", ["encrypted_token__contains=x", "url_variables__shop=alice"])
def test_what_a_pending_revocation_hides_cannot_be_guessed(
    user: AbstractUser, provider: Provider, lookup: str
) -> None:
    pending_revocation(user, "secret", shop="alice")
    answer = operator("view_pendingrevocation").get(
        f"/admin/oauth_tokens/pendingrevocation/?{lookup}"
    )
    assert answer.status_code == 400


def test_an_address_cannot_be_guessed_by_searching(token: OAuthToken) -> None:
    assert "0 OAuth tokens" in page(operator("view_oauthtoken"), LIST, q="example.org")


def test_the_link_names_no_account(token: OAuthToken) -> None:
    OAuthToken.objects.update(account_id="alice@corp.example")
    path = urlsplit(notices.reconnect_url(OAuthToken.objects.get())).path
    link = path.split("/")[3].split("~")[0]
    assert b"corp" not in base64.urlsafe_b64decode(link + "==")


def given_up(token: OAuthToken, ago: timedelta) -> None:
    TokenEvent.objects.create(
        token=token,
        user=token.user,
        provider="acme",
        kind=Kind.NOTICE_SENT,
        code=mailer.GIVEN_UP,
        created_at=timezone.now() - ago,
    )


def test_no_undelivered_mail_falls_between_two_digests(
    token: OAuthToken, configure: Configure
) -> None:
    configure(NOTIFY_OPERATORS=["ops@your.site"])
    given_up(token, timedelta(hours=25, minutes=20))
    ran_at = timezone.now() - timedelta(hours=24, minutes=24)
    TaskRun.objects.create(task="send_digest", ran_at=ran_at)
    assert digest.send_digest("default")


def test_a_users_bad_address_does_not_silence_an_alarm(
    token: OAuthToken, configure: Configure
) -> None:
    configure(NOTIFY_OPERATORS=["ops@your.site"])
    given_up(token, timedelta(hours=2))
    assert digest.send_digest("default")
    now = timezone.now()
    ProviderCircuit.objects.create(
        provider="acme",
        opened_at=now,
        failed_at=now,
        probe_at=now + DAY,
        code="invalid_client",
        failure_count=3,
        operator=True,
    )
    assert digest.send_digest("default")
    assert not digest.send_digest("default")


@pytest.mark.sqlite
def test_the_last_moment_of_an_hour(token: OAuthToken) -> None:
    end = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    TokenEvent.objects.update(kind=Kind.REFRESHED, created_at=end - timedelta(milliseconds=20))
    assert overview.collect().hours[-1].refreshed == 1
