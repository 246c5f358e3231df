"""Every snippet of docs/notices.md, executed, and its table of codes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core import mail
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import Settings as DjangoSettings

from oauth_tokens import OAuthToken, TokenEvent, notices
from oauth_tokens.checks import check_notices, check_settings
from oauth_tokens.models.notices import MAIL_GRACE
from oauth_tokens.notices import mailer
from oauth_tokens.options import Settings
from tests.support.mails import LOCMEM, use_backend

PAGE = (Path(__file__).parents[2] / "docs" / "notices.md").read_text()
SETTINGS, LANGUAGE, NAMING, TEMPLATE, ASKING = re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def configured(configure: Callable[..., None], settings: DjangoSettings) -> dict[str, Any]:
    """The settings of the page."""
    use_backend(settings, LOCMEM)
    changed: dict[str, Any] = {"OAUTH_TOKENS": {}}
    exec(SETTINGS, changed)  # noqa: S102
    configure(**changed["OAUTH_TOKENS"])
    found: dict[str, Any] = changed["OAUTH_TOKENS"]
    return found


def ended(token: OAuthToken) -> None:
    token.require_reauthentication("provider_reported")
    token.send_notices()
    TokenEvent.objects.filter(mail_at__isnull=False).update(mail_at=timezone.now())


def test_the_settings(configured: dict[str, Any], token: OAuthToken) -> None:
    assert (check_settings(), check_notices()) == ([], [])
    ended(token)
    assert notices.send_notices() == 1
    assert mail.outbox[0].from_email == configured["NOTIFY_FROM"]
    assert f"{configured['SITE_URL']}/oauth/" in str(mail.outbox[0].body)


@pytest.mark.usefixtures("configured")
def test_the_language(
    token: OAuthToken,
    user: AbstractUser,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("accounts.languages")
    exec(LANGUAGE, vars(module))  # noqa: S102
    monkeypatch.setitem(sys.modules, "accounts", ModuleType("accounts"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    profile = SimpleNamespace(language="ar")
    monkeypatch.setattr(type(user), "profile", profile, raising=False)
    named: dict[str, Any] = {"OAUTH_TOKENS": {}}
    exec(NAMING, named)  # noqa: S102
    configure(**named["OAUTH_TOKENS"])
    assert check_notices() == []
    ended(token)
    notices.send_notices()
    ((html, _type),) = mail.outbox[0].alternatives
    assert 'lang="ar"' in html


@pytest.mark.usefixtures("configured")
def test_the_template(token: OAuthToken, settings: DjangoSettings, tmp_path: Path) -> None:
    folder = tmp_path / "oauth_tokens" / "mail"
    folder.mkdir(parents=True)
    (folder / "notice.txt").write_text(TEMPLATE)
    (template,) = settings.TEMPLATES
    settings.TEMPLATES = [{**template, "DIRS": [tmp_path]}]
    ended(token)
    notices.send_notices()
    body = str(mail.outbox[0].body)
    assert body.startswith("Hello alice, Acme wants to see you: https://your.site/oauth/reconnect/")


@pytest.mark.usefixtures("configured")
@pytest.mark.usefixtures("configured")
def test_asking(token: OAuthToken, admin_user: AbstractUser, rf: RequestFactory) -> None:
    told: list[str] = []
    request = rf.get("/")
    request.user = admin_user
    names = {
        "token": token,
        "request": request,
        "messages": SimpleNamespace(error=lambda request, text: told.append(text)),
    }
    exec(ASKING, names)  # noqa: S102
    assert (notices.send_notices(), told) == (1, [])
    exec(ASKING, names)  # noqa: S102
    assert told == ["Not asked: the user was asked within the last hour, or is about to be."]


def test_the_codes() -> None:
    codes = {value for name, value in vars(mailer).items() if name.isupper()}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == codes


def test_the_numbers() -> None:
    assert "1, 5 and 30 minutes, 2 and 6 hours" in PAGE
    assert notices.DELAYS == (60, 300, 1800, 2 * 3600, 6 * 3600)
    assert f"works for {notices.LINK_MAX_AGE.days} days" in PAGE
    assert Settings().NOTIFY_AHEAD == 7 * 86400
    assert "within seven days" in PAGE
    assert timedelta(minutes=5) == MAIL_GRACE
    assert "after five minutes" in PAGE
