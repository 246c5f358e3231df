"""The connections page and disconnecting."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format
from pytest_django import Settings

from oauth_tokens import OAuthToken, TokenEvent, scope_words
from oauth_tokens.exceptions import REAUTHENTICATION_CODES
from oauth_tokens.providers.presets import PRESETS
from oauth_tokens.words import REASONS, code_in_words, when
from tests.support.consent import connect
from tests.support.provider import Provider

Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser, provider: Provider) -> None:
    client.force_login(user)


def page(client: Client, path: str = "/oauth/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    # Django keeps a number and its unit on one line.
    return answer.content.decode().replace("\xa0", " ")


def change(token: OAuthToken, **values: Any) -> None:
    OAuthToken.objects.filter(pk=token.pk).update(**values)


class Audit(HTMLParser):
    """Collects what a strict Content-Security-Policy forbids, and unlabelled links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.lang = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.lang = self.lang or values.get("lang") or ""
        if tag in ("style", "script") or any(n == "style" or n.startswith("on") for n in values):
            self.found.append(f"inline {tag} {values}")
        for name in ("src", "href"):
            if str(values.get(name, "")).startswith(("http:", "https:", "//")):
                self.found.append(f"external {values[name]}")


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    "path",
    ["/oauth/", "/oauth/acme/disconnect/", "/oauth/none/connect/", "/oauth/acme/callback/?state=x"],
)
def test_pages_are_fit_for_a_strict_policy(client: Client, path: str) -> None:
    audit = Audit()
    audit.feed(client.get(path).content.decode())
    assert audit.found == []
    assert audit.lang == "en-us"


def test_nothing_connected(client: Client) -> None:
    text = page(client)
    assert "Not connected." in text
    assert 'href="/oauth/acme/connect/"' in text


def test_no_providers(client: Client, configure: Configure) -> None:
    configure(PROVIDERS={})
    assert "no providers to connect yet" in page(client)


def test_a_connection(client: Client, token: OAuthToken) -> None:
    change(token, account_label="alice@<acme>", account_id="7&8")
    text = page(client)
    assert ">connected<" in text
    assert "alice@&lt;acme&gt;" in text
    assert '<span title="profile">See your name and picture</span>' in text
    assert "Last used" not in text
    assert 'href="/oauth/acme/disconnect/?account=7%268"' in text


def test_every_cause_of_re_authentication_has_words_of_its_own() -> None:
    assert set(REASONS) == set(REAUTHENTICATION_CODES)


@pytest.mark.parametrize("code", [*REAUTHENTICATION_CODES, "of a later release"])
def test_a_connection_that_needs_its_user(client: Client, token: OAuthToken, code: str) -> None:
    change(token, status="reauth_required", error_code=code)
    text = page(client)
    assert ">reconnect needed<" in text
    assert f"Please connect again: {REASONS.get(code, 'access has ended')}." in text
    assert 'class="button" href="/oauth/acme/connect/"' in text


def test_the_cause_of_what_has_ended_is_not_that_it_expired_since(
    client: Client, token: OAuthToken
) -> None:
    change(
        token,
        status="reauth_required",
        error_code="provider_reported",
        expires_at=timezone.now(),
        encrypted_refresh_token=None,
    )
    assert str(REASONS["provider_reported"]) in page(client)


def test_a_failing_connection(client: Client, token: OAuthToken) -> None:
    change(
        token, failure_count=2, error_code="http_503", retry_at=timezone.now() + timedelta(hours=1)
    )
    text = page(client)
    assert ">not answering<" in text
    assert "It is tried again in 59 minutes; there is nothing that you have to do." in text
    change(token, retry_at=None)
    assert "tried again" not in page(client)


def test_a_connection_being_revoked(client: Client, token: OAuthToken) -> None:
    change(token, status="revoking")
    text = page(client)
    assert ">being disconnected<" in text
    assert "It is no longer used." in text
    assert "/disconnect/" not in text
    assert "allowed" not in text


@pytest.mark.parametrize(
    ("expires", "renewable", "badge", "words"),
    [
        (None, False, "connected", ""),
        (timedelta(minutes=10, seconds=5), False, "connected", "It ends in 10 minutes ("),
        (timedelta(minutes=10, seconds=5), True, "connected", ""),
        (timedelta(minutes=10, seconds=5), None, "connected", "It ends in 10 minutes ("),
        (timedelta(minutes=-10), False, "reconnect needed", str(REASONS["no_refresh_token"])),
        (timedelta(minutes=-10), True, "connected", ""),
        (timedelta(minutes=-10), None, "reconnect needed", str(REASONS["refresh_token_expired"])),
    ],
)
def test_how_long_it_is_valid(
    client: Client,
    token: OAuthToken,
    expires: timedelta | None,
    renewable: bool | None,
    badge: str,
    words: str,
) -> None:
    change(token, expires_at=expires and timezone.now() + expires)
    if renewable is None:
        change(token, refresh_token_expires_at=timezone.now())
    elif not renewable:
        change(token, encrypted_refresh_token=None)
    text = page(client)
    assert f">{badge}<" in text
    assert words in text
    assert ("It ends" in text) == words.startswith("It ends")


def test_when_it_was_last_used(client: Client, token: OAuthToken) -> None:
    change(token, last_used_at=timezone.now())
    text = page(client)
    today = date_format(timezone.localtime(), "DATE_FORMAT")
    assert f"Connected on {today}. Last used on {today}." in text


def test_scopes_in_words(client: Client, token: OAuthToken, configure: Configure) -> None:
    change(token, scope="zebras repo email https://www.googleapis.com/auth/drive.file")
    items = re.findall(r"<li>(.*?)</li>", page(client))
    assert items == [
        '<span title="https://www.googleapis.com/auth/drive.file">'
        "See and change the files that you use with this site</span>",
        '<span title="email">See your e-mail address</span>',
        "<code>repo</code>",
        "<code>zebras</code>",
    ]


@pytest.mark.parametrize(
    ("description", "scope", "words"),
    [
        ({"preset": "github"}, "repo", "repositories, private ones as well"),
        ({"preset": "microsoft"}, "https://graph.microsoft.com/Mail.Read", "See your e-mails"),
        ({"preset": "slack"}, "email", "See your e-mail address"),
        ({}, "Mail.Read", "Mail.Read"),
    ],
)
def test_what_a_provider_means_by_a_scope(
    configure: Configure, description: dict[str, str], scope: str, words: str
) -> None:
    configure(PROVIDERS={"ours": description})
    assert words in scope_words.listed("ours", [scope])


def test_words_are_about_presets_that_there_are() -> None:
    assert set(scope_words.OF_PRESET) <= set(PRESETS)


def test_another_account(client: Client, token: OAuthToken, configure: Configure) -> None:
    assert "another account" not in page(client)
    configure(acme={"account_id_from": "userinfo.sub"})
    assert "Connect another account</a>" in page(client)


def test_a_connection_whose_provider_left_the_settings(
    client: Client, token: OAuthToken, configure: Configure, provider: Provider
) -> None:
    configure(PROVIDERS={})
    text = page(client)
    assert "no longer offers" in text
    assert "/connect/" not in text
    assert client.post("/oauth/acme/disconnect/").status_code == 302
    assert not OAuthToken.objects.exists()


def test_no_secret_is_loaded(client: Client, token: OAuthToken) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        text = page(client)
    assert token.access_token not in text
    selected = [q["sql"].split("FROM")[0] for q in queries if "oauth_tokens_oauthtoken" in q["sql"]]
    assert selected
    assert not [sql for sql in selected if '"encrypted_access_token"' in sql]


def test_without_the_messages_app(client: Client, settings: Settings) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if "messages" not in app]
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]
    (template,) = settings.TEMPLATES
    processors = template["OPTIONS"]["context_processors"]
    settings.TEMPLATES = [
        {**template, "OPTIONS": {"context_processors": [p for p in processors if "mess" not in p]}}
    ]
    assert connect(client).status_code == 302
    assert ">connected<" in page(client)


def test_a_message_says_that_it_worked(client: Client) -> None:
    connect(client)
    assert "Acme is connected." in page(client)
    assert "Acme is connected." not in page(client)


# Disconnecting


def test_disconnecting_asks_first(client: Client, token: OAuthToken, provider: Provider) -> None:
    text = page(client, "/oauth/acme/disconnect/?next=/admin/")
    assert "Disconnect Acme?" in text
    assert '<a class="button secondary" href="/admin/">Cancel</a>' in text
    assert provider.requests("revoke") == []


def test_disconnecting(
    client: Client, user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    answer = client.post("/oauth/acme/disconnect/", {"next": "//evil.example"})
    assert (answer.status_code, answer["Location"]) == (302, "/oauth/")
    assert len(provider.requests("revoke")) == 1
    assert not OAuthToken.objects.exists()
    assert "Acme is disconnected." in page(client)
    client.post("/oauth/acme/disconnect/")
    assert "Acme is not connected." in page(client)


def test_disconnecting_one_of_several_accounts(
    client: Client, user: AbstractUser, provider: Provider
) -> None:
    for account in ("", "one", "two"):
        user.oauth_tokens.store("acme", provider.issue(), account_id=account)
    one, nameless = (f"/oauth/acme/disconnect/?account={account}" for account in ("one", ""))
    text = page(client, one)
    assert "<strong>one</strong>" in text
    assert "<strong>two</strong>" not in text
    # The account stands in the address of the page, to which the form is posted.
    assert '<form method="post">' in text
    client.post(one)
    assert set(OAuthToken.objects.values_list("account_id", flat=True)) == {"", "two"}
    client.post(nameless)
    assert OAuthToken.objects.get().account_id == "two"
    client.post(nameless, {"account": "two"})
    assert not OAuthToken.objects.exists()


def test_nobody_disconnects_for_others(
    token: OAuthToken, django_user_model: type[AbstractUser]
) -> None:
    bob = Client()
    bob.force_login(django_user_model.objects.create_user("bob"))
    bob.post("/oauth/acme/disconnect/")
    assert OAuthToken.objects.get().status == "active"
    assert "alice" not in bob.get("/oauth/").content.decode()


def test_disconnecting_needs_a_token_of_the_form(
    user: AbstractUser, token: OAuthToken, settings: Settings
) -> None:
    """Also where the site does without Django's middleware for that."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "csrf" not in name]
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.post("/oauth/acme/disconnect/").status_code == 403
    assert OAuthToken.objects.get().status == "active"


def test_disconnecting_while_the_provider_is_down(
    client: Client, token: OAuthToken, provider: Provider
) -> None:
    provider.misbehave("status", kinds=["revoke"])
    assert client.post("/oauth/acme/disconnect/").status_code == 302
    assert ">being disconnected<" in page(client)


def test_disconnecting_an_unknown_provider(client: Client) -> None:
    answer = client.post("/oauth/acne/disconnect/")
    assert answer.status_code == 404
    assert "Connect Acme" in answer.content.decode()


# Words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "in 1 second"),
        (41.5, "in 42 seconds"),
        (-41.5, "42 seconds ago"),
        (90.5, "in 1 minute"),
        (-7300, "2 hours ago"),
        (86400 * 3 + 60, "in 3 days"),
    ],
)
def test_distances_in_time(seconds: float, words: str) -> None:
    assert when(timezone.now() + timedelta(seconds=seconds)).replace("\xa0", " ") == words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", ""),
        ("http_502", "the provider answered with HTTP status 502"),
        ("undecryptable", "no configured key opens the stored token"),
        ("read_timeout", "the provider did not answer in time"),
        ("of_its_own", "of_its_own"),
    ],
)
def test_codes_in_words(code: str, words: str) -> None:
    assert code_in_words(code) == words


def test_history_says_that_the_user_connected(client: Client) -> None:
    connect(client)
    connect(client)
    assert [event.code for event in TokenEvent.objects.order_by("pk")] == ["created", "replaced"]
