"""Handles on the processes of this folder, and fixtures around them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken
from project.browser import Browser, Page
from tests.e2e.credentials import CLIENT_ID, CLIENT_SECRET
from tests.e2e.servers import ROOT, Server, Toolkit
from tests.support.jwt_server import CLIENT_ID as REPORTER
from tests.support.jwt_server import CLIENT_SECRET as REPORTERS_SECRET
from tests.support.processes import environment

PYTHON = (sys.executable, "-m", "tests.e2e.site")


class AuthServer(Toolkit):
    """django-oauth-toolkit, which asks its users."""

    def __init__(self) -> None:
        Server.__init__(self, *PYTHON, "authserver")

    def settings(self, **changes: Any) -> dict[str, Any]:
        described = super().settings(**changes)
        del described["redirect_uris"]
        return described

    def control(self, action: str, **query: str) -> int:
        """Do ``action``, see :mod:`.authserver`; returns how many refreshes have arrived."""
        answer = requests.get(f"{self.url}/_control/{action}/", query, timeout=10)
        return int(answer.json()["refreshes"])

    @property
    def refreshes(self) -> int:
        return self.control("count")

    def expire(self, access_token: str) -> None:
        """End an access token before its time, without the site's knowledge."""
        self.control("expire", token=access_token)

    def revoke(self, token: str) -> None:
        """End the whole grant, without the site's knowledge."""
        form = {"token": token, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        answer = requests.post(f"{self.url}/o/revoke_token/", form, timeout=10)
        assert answer.status_code == 200, answer.text


class JWTIssuer(Server):
    def __init__(self) -> None:
        super().__init__(*PYTHON, "issuer")

    def token(self, scope: str = "read", *, lifetime: int = 600) -> str:
        """An access token that expires in ``lifetime`` seconds."""
        requests.post(f"{self.url}/_control/lifetime", json={"seconds": lifetime}, timeout=10)
        answer = requests.post(
            f"{self.url}/token",
            {"grant_type": "client_credentials", "scope": scope},
            auth=(REPORTER, REPORTERS_SECRET),
            timeout=10,
        )
        token: str = answer.json()["access_token"]
        return token


class ProtectedApi(Server):
    def __init__(self, toolkit: str, issuer: str) -> None:
        super().__init__(*PYTHON, "api", toolkit, issuer)

    def seen(self, path: str = "") -> list[dict[str, Any]]:
        """What has arrived, whole or at one path: path, token, status."""
        records = requests.get(f"{self.url}/_seen/", timeout=10).json()
        return [record for record in records if path in ("", record["path"])]

    def reset(self) -> None:
        requests.get(f"{self.url}/_reset/", timeout=10)


class Site(Server):
    """The site as a process, on the database of the test."""

    def __init__(self, kind: str, oauth_tokens: str, api: str) -> None:
        self._process = subprocess.Popen(
            [*PYTHON, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment(
                DJANGO_SETTINGS_MODULE="tests.e2e.site.settings",
                OAUTH_TOKENS_JSON=oauth_tokens,
                API_URL=api,
            ),
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the site did not start"
        self.url = f"http://127.0.0.1:{int(line)}"


FIRST: dict[str, Callable[[], Server]] = {"provider": AuthServer, "issuer": JWTIssuer}


class Cast:
    """All of them, those that do not begin started when they are first asked for."""

    def __init__(self) -> None:
        with ThreadPoolExecutor() as threads:
            first = {name: threads.submit(start) for name, start in FIRST.items()}
        self._running: dict[str, Any] = {name: started.result() for name, started in first.items()}

    def _get(self, name: str, start: Callable[[], Any]) -> Any:
        if name not in self._running:
            self._running[name] = start()
        return self._running[name]

    @property
    def provider(self) -> AuthServer:
        provider: AuthServer = self._running["provider"]
        return provider

    @property
    def issuer(self) -> JWTIssuer:
        issuer: JWTIssuer = self._running["issuer"]
        return issuer

    @property
    def api(self) -> ProtectedApi:
        start = partial(ProtectedApi, self.provider.url, self.issuer.url)
        api: ProtectedApi = self._get("api", start)
        return api

    def settings(self, **changes: Any) -> dict[str, Any]:
        """``OAUTH_TOKENS`` of the site, and of the test."""
        providers = {"acme": self.provider.settings()}
        # Two cores are shared: nothing is to time out that does not have to.
        patient = {"HTTP_TIMEOUT": 20, "LOCK_TIMEOUT": 90, "WAIT_TIMEOUT": 30}
        return {**settings.OAUTH_TOKENS, "PROVIDERS": providers, **patient, **changes}

    def site(self, kind: str) -> Site:
        """The site by "wsgi" or by "asgi"."""
        site: Site = self._get(kind, partial(self.start_site, kind, REVOKE_ON_LOGOUT=True))
        return site

    def start_site(self, kind: str, **changes: Any) -> Site:
        """A site of a test's own, with other settings."""
        return Site(kind, json.dumps(self.settings(**changes)), self.api.url)

    def stop(self) -> None:
        with ExitStack() as stack:
            for process in self._running.values():
                stack.callback(process.stop)


@pytest.fixture(scope="session")
def processes_of_the_cast(django_db_setup: None) -> Iterator[Cast]:
    cast = Cast()
    yield cast
    cast.stop()


@pytest.fixture
def cast(
    processes_of_the_cast: Cast, configure: Callable[..., None], transactional_db: None
) -> Iterator[Cast]:
    """Nothing has happened yet."""
    cast = processes_of_the_cast
    configure(PROVIDERS={"acme": cast.provider.settings()})
    cast.provider.control("reset")
    cast.api.reset()
    yield cast
    cast.provider.control("release")


class Alice(Browser):
    """Alice's browser, logged in to the site at ``url``, which is where paths are at."""

    def __init__(self, site: Site, cast: Cast) -> None:
        super().__init__()
        self.url, self.cast = site.url, cast
        page = self.sign_in(self.open(f"{self.url}/login/?next=/ping/"), "alice", "secret")
        assert page.url == f"{self.url}/ping/", page.text

    def go(self, path: str) -> Page:
        return self.open(self.url + path)

    def allow(self, page: Page) -> Page:
        """Consent on the authorization server's page; returns where that leads to."""
        assert urlsplit(page.url).path == "/o/authorize/", (page.status, page.url, page.text[:500])
        return self.submit(page, page.form("allow"), allow="Authorize")

    def connect(self) -> OAuthToken:
        page = self.allow(self.go("/oauth/acme/connect/?next=/ping/"))
        assert page.url == f"{self.url}/ping/", page.text
        return OAuthToken.objects.get()

    def call(self, way: str, path: str = "read/", **post: Any) -> dict[str, Any]:
        """What the site says that the API has answered."""
        door = "acall" if way.startswith("a") else "call"
        url = f"{self.url}/{door}/{way}/{path}"
        send = self.session.post if post else self.session.get
        answer = send(url, timeout=40, **post)
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        told: dict[str, Any] = answer.json()
        return told

    def twin(self, site: Site) -> Alice:
        """The same login session at another process of the site."""
        twin = Alice.__new__(Alice)
        Browser.__init__(twin)
        twin.url, twin.cast = site.url, self.cast
        twin.session.cookies.update(self.session.cookies)
        return twin


@pytest.fixture(params=["wsgi", pytest.param("asgi", marks=pytest.mark.slow)])
def alice(request: pytest.FixtureRequest, user: AbstractUser, cast: Cast) -> Alice:
    """Her browser at the site, served by WSGI and by ASGI."""
    return Alice(cast.site(request.param), cast)
