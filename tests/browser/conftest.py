"""A browser, the demo site and its authorization server, each a process of its own."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.test import Client
from pytest_django import Settings

from oauth_tokens import OAuthToken
from project.accounts import ACME_ALICE, ALICE, SITE_USERS, ensure_users
from tests.browser.chromium import Browser
from tests.support.processes import ROOT, environment
from tests.support.servers import free_port


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="take the docs' pictures again")


class Site:
    """A site that is being served; see :mod:`tests.browser.serve`."""

    def __init__(self, module: str, port: int, *commands: str, **env: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.serve", module, str(port), *commands],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment(**env),
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{module} did not start; see the output above"
        self.oauth_tokens: dict[str, Any] = json.loads(line)

    def stop(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def _site_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    (key,) = django_settings.OAUTH_TOKENS["ENCRYPTION_KEYS"]
    return {
        "PORT": str(free_port()),
        "AUTH_PORT": str(free_port()),
        "AUTH_DATABASE": str(tmp_path_factory.mktemp("acme") / "db.sqlite3"),
        "AUTH_SECRET_KEY": "for the tests only",
        "ACME_CLIENT_ID": "daylight",
        "ACME_CLIENT_SECRET": "for the tests only",
        "ACCESS_TOKEN_LIFETIME": "3600",
        "ENCRYPTION_KEYS": key,
        "DEBUG": "False",
    }


@pytest.fixture(scope="session")
def _acme(_site_environment: dict[str, str], django_db_setup: None) -> Iterator[Site]:
    port = int(_site_environment["AUTH_PORT"])
    module = "tests.browser.auth_settings"
    server = Site(module, port, "prepare_authserver", **_site_environment)
    yield server
    server.stop()


@pytest.fixture
def acme(_acme: Site, _site_environment: dict[str, str]) -> Site:
    """Acme ID, the demo's authorization server; nobody has granted anything yet."""
    with closing(sqlite3.connect(_site_environment["AUTH_DATABASE"])) as database, database:
        for table in ("refreshtoken", "accesstoken", "grant"):
            database.execute(f"DELETE FROM oauth2_provider_{table}")  # noqa: S608
    return _acme


@pytest.fixture(scope="session")
def _daylight(_site_environment: dict[str, str], django_db_setup: None) -> Iterator[Site]:
    port = int(_site_environment["PORT"])
    server = Site("tests.browser.site_settings", port, **_site_environment)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _plain(_site_environment: dict[str, str], django_db_setup: None) -> Iterator[Site]:
    server = Site("tests.browser.plain_settings", free_port(), **_site_environment)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.quit()


@pytest.fixture
def site(_daylight: Site, transactional_db: None, settings: Settings) -> Site:
    """The demo site, on this test's database, with the demo's users and nothing connected."""
    settings.OAUTH_TOKENS = _daylight.oauth_tokens
    ensure_users(get_user_model(), SITE_USERS)
    return _daylight


@pytest.fixture
def plain_site(_plain: Site, site: Site) -> Site:
    """The same site with the app's own templates instead of the demo's."""
    return _plain


@pytest.fixture
def browser(_chromium: Browser, site: Site) -> Iterator[Browser]:
    """Chromium as if just installed: nobody is signed in anywhere."""
    _chromium.begin()
    yield _chromium
    _chromium.open("about:blank")  # the dashboard goes on asking for news


def signed_in(browser: Browser, site: Site, username: str) -> None:
    """The cookie of a login session, for tests that are about something else than logging in."""
    client = Client()
    client.force_login(get_user_model().objects.get(username=username))
    session = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    browser.set_cookie(site.url, "daylight_sessionid", session)


def connect(browser: Browser, site: Site) -> OAuthToken:
    """Alice connects her account at Acme, from the page of connections."""
    browser.open(f"{site.url}/oauth/")
    browser.press("Connect", within="main")
    if "/login/" in browser.url:
        browser.sign_in(ACME_ALICE.username, ACME_ALICE.password)
    browser.press("Allow")
    return OAuthToken.objects.get(user__username=ALICE.username, provider="acme")
