"""What a mail looks like, and what it can never hold."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.contrib.auth.models import AbstractUser
from django.core import mail
from pytest_django import Settings

from oauth_tokens import OAuthToken, notices
from oauth_tokens.notices import mailer
from tests.support.outbox import SITE, attempts, end, html_of
from tests.support.provider import Provider

Configure = Callable[..., None]


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
