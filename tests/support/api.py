"""A handle on the API of :mod:`tests.support.api_server`, and fixtures around it.

A module that wants the fixtures takes them over: ``api_process, api = handle.api_process, ...``.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken

ROOT = Path(__file__).parents[2]
INVALID_TOKEN = {
    "status": 401,
    "headers": {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    "body": '{"error": "invalid_token"}',
}


class Api:
    """Starts the API; ends it in :meth:`stop`, or when this process dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.api_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.communicate()

    def reset(self) -> None:
        """Forget everything."""
        self._control("reset")

    def refuse(self, *tokens: str, **answer: Any) -> None:
        """Refuse these access tokens, or all where none is given, with ``answer``: ``status``,
        ``headers`` and ``body``, by default RFC 6750's ``invalid_token``."""
        self._control("refuse", tokens=tokens, answer={**INVALID_TOKEN, **answer})

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """What has arrived: method, path, authorization, body, cookie and connection."""
        records: list[dict[str, Any]] = self._control("requests")
        return [record for record in records if path in ("", record["path"])]

    @property
    def tokens(self) -> list[str]:
        """The access token of each request; "" where there was none."""
        return [record["authorization"].partition(" ")[2] for record in self.requests()]

    def _control(self, action: str, **arguments: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", f"/_control/{action}", json.dumps(arguments))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def running_api() -> Iterator[Api]:
    api = Api()
    try:
        yield api
    finally:
        api.stop()


@pytest.fixture(scope="module")
def api_process() -> Iterator[Api]:
    with running_api() as api:
        yield api


@pytest.fixture
def api(api_process: Api) -> Api:
    api_process.reset()
    return api_process


@pytest.fixture(params=["session", "auth=token", "auth=token.auth"])
def client(
    request: pytest.FixtureRequest, user: AbstractUser, token: OAuthToken, api: Api
) -> Callable[..., Any]:
    """``client(method, path, ...)`` by each of the ways with ``requests``."""
    if request.param == "session":
        session = user.oauth_tokens.session("acme", base_url=api.url)
        return session.request
    auth = token if request.param == "auth=token" else token.auth

    def call(method: str, path: str, **arguments: Any) -> requests.Response:
        return requests.request(method, api.url + path, auth=auth, timeout=10, **arguments)

    return call
