"""Pages in German and Spanish, with real rows behind them, hold no English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone, translation
from pytest_django import Settings

from oauth_tokens import OAuthToken, TokenEvent
from oauth_tokens.exceptions import REAUTHENTICATION_CODES
from oauth_tokens.models import ProviderCircuit, TaskRun
from tests.support.consent import begin, changed, connect, consent
from tests.support.messages import LANGUAGES, translations_of
from tests.support.provider import Provider

#: Words that neither German nor Spanish has.
ENGLISH = re.compile(r"\b(the|of|and|with|not|you|your|is|are|has|been|this|from)\b", re.IGNORECASE)
READ_ALOUD = ("title", "aria-label", "alt", "placeholder")


class Page(HTMLParser):
    """What there is to read on a page, and where its links lead."""

    def __init__(self, answer: HttpResponse) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self._hidden = ""
        self.feed(answer.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "code"):
            self._hidden = tag
        for name, value in attrs:
            if name in READ_ALOUD and value:
                self.texts.append(value)
            elif name == "href" and tag == "a" and value:
                self.links.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and not self._hidden:
            self.texts.append(text)


def english(answer: HttpResponse, language: str) -> list[str]:
    """What is English on the page: sentences by their words, labels by the catalog."""
    labels = {
        one
        for (_context, one, _many), texts in translations_of(language).items()
        if one and texts[0].lower() != one.lower()
    }
    texts = set(Page(answer).texts)
    return sorted(text for text in texts if ENGLISH.search(text) or text in labels)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest, settings: Settings) -> Iterator[str]:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    yield str(request.param)
    # The middleware leaves it to the next request, which other tests make without it.
    translation.deactivate()


@pytest.fixture
def browser(language: str, user: AbstractUser, provider: Provider) -> Client:
    client = Client(headers={"accept-language": language})
    client.force_login(user)
    return client


@pytest.fixture
def _rows(user: AbstractUser, provider: Provider) -> None:
    """A connection in each state, with a history."""
    now = timezone.now()
    states: list[dict[str, object]] = [
        {"refresh_token_expires_at": now + timedelta(days=5)},
        {"expires_at": now + timedelta(days=3), "encrypted_refresh_token": None},
        {"failure_count": 2, "error_code": "http_503", "retry_at": now + timedelta(hours=2)},
        {"status": "revoking", "refresh_at": now + timedelta(hours=2), "failure_count": 1},
        *({"status": "reauth_required", "error_code": code} for code in REAUTHENTICATION_CODES),
    ]
    for number, values in enumerate(states):
        row = user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
        OAuthToken.objects.filter(pk=row.pk).update(last_used_at=now, **values)
    for kind in TokenEvent.Kind.values:
        TokenEvent.objects.create(
            token=row, user=user, provider="acme", kind=kind, duration=0.2, created_at=now
        )
    TaskRun.objects.create(task="refresh_due_tokens", ran_at=now - timedelta(hours=5))
    ProviderCircuit.objects.create(provider="acme", code="http_503", opened_at=now, probe_at=now)


def crawl(client: Client, start: str) -> Iterator[tuple[str, HttpResponse]]:
    """Every page that links lead to below ``start``, each once whatever its query."""
    waiting, seen = [start], set()
    while waiting:
        url = waiting.pop()
        path = urlsplit(url).path
        if path in seen or not path.startswith(start):
            continue
        seen.add(path)
        answer = client.get(url)
        yield url, answer
        waiting += [urljoin(url, link) for link in Page(answer).links]


@pytest.mark.usefixtures("_rows")
def test_the_page_of_connections(browser: Client, language: str) -> None:
    answer = browser.get("/oauth/")
    assert f'lang="{language}"' in answer.content.decode()
    assert english(answer, language) == []


@pytest.mark.slow
@pytest.mark.usefixtures("_rows")
def test_every_page_of_the_admin(browser: Client, language: str, user: AbstractUser) -> None:
    type(user).objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    found = {}
    for url, answer in crawl(browser, "/admin/oauth_tokens/"):
        assert answer.status_code == 200, url
        found[url] = english(answer, language)
    assert len(found) > 10
    assert {url: texts for url, texts in found.items() if texts} == {}


def test_how_connecting_ends(browser: Client, language: str, provider: Provider) -> None:
    connect(browser)
    denied = changed(consent(begin(browser)), code=None, error="access_denied")
    answers = [
        browser.get("/oauth/"),  # with the message that it worked
        browser.get(denied),
        browser.get("/oauth/acme/callback/?state=unknown"),
        browser.get("/oauth/acne/connect/"),
        browser.get("/oauth/acme/connect/?scope=drive", headers={"sec-fetch-site": "cross-site"}),
        connect(browser, "?scope=drive"),
        browser.post("/oauth/acme/disconnect/", follow=True),
    ]
    provider.misbehave("status")
    answers.append(connect(browser))
    for answer in answers:
        assert english(answer, language) == [], answer.request["PATH_INFO"]


def test_english_is_seen() -> None:
    page = HttpResponse('<p>It is over</p><a title="Reconnect">Neu verbinden</a><code>the</code>')
    assert english(page, "de") == ["It is over", "Reconnect"]
