"""What an API, a provider or a caller may do to a client, and how far it goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.clients import source
from oauth_tokens.clients.decisions import MAX_ERROR_BODY
from tests.support import api as handle
from tests.support.api import Api, running_api
from tests.support.provider import Provider

pytestmark = pytest.mark.django_db(transaction=True)

api_process, api = handle.api_process, handle.api

BARE = {"headers": {}, "body": ""}
MIB = 1024 * 1024


@pytest.fixture(params=["session", "async_client"])
def call(request: pytest.FixtureRequest, user: AbstractUser, api: Api) -> Any:
    """Status of a GET by a client that is made once, as one process would."""
    if request.param == "session":
        session = user.oauth_tokens.session("acme", base_url=api.url)
        return lambda: session.get("/").status_code
    client = user.oauth_tokens.async_client("acme", base_url=api.url)

    async def get() -> int:
        response = await client.get("/", headers={"Connection": "close"})
        return int(response.status_code)

    return async_to_sync(get)


def stored() -> OAuthToken:
    return OAuthToken.objects.get()


# Refreshes that refusals cause


def test_what_somebody_has_just_refreshed_is_not_refreshed_for_a_401_without_a_hint(
    call: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    token.refresh()  # another process has met the same 401
    api.refuse(**BARE)
    assert [call() for _ in range(3)] == [401] * 3
    assert provider.refreshes == 1
    api.refuse()  # it names the token now
    assert call() == 401
    assert provider.refreshes == 2


def test_an_api_that_takes_each_token_once_causes_few_refreshes(
    call: Any, token: OAuthToken, api: Api, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed)
    monkeypatch.setattr(source, "time", clock)

    def calls(number: int) -> list[int]:
        statuses = []
        for _ in range(number):
            api.refuse(stored().access_token)
            statuses.append(call())
        return statuses

    assert calls(6) == [200] * source.MAX_RENEWALS + [401] * 3
    assert provider.refreshes == source.MAX_RENEWALS
    passed += source.HOPELESS_FOR
    assert calls(1) == [200]
    assert provider.refreshes == source.MAX_RENEWALS + 1


# Disconnected meanwhile


def test_a_client_that_is_held_notices_a_disconnect_within_a_minute(
    call: Any,
    user: AbstractUser,
    token: OAuthToken,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed)
    monkeypatch.setattr(source, "time", clock)
    assert call() == 200
    get_user_model().objects.get(pk=user.pk).oauth_tokens.disconnect("acme")
    passed += source.HELD_FOR
    with pytest.raises(exceptions.TokenNotConnected):
        call()
    assert len(api.requests()) == 1


# Bodies without end


class Flood:
    """Refuses ``refused`` with so many bytes, and does not say beforehand how many."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.size = 64 * MIB
        self.sent = 0
        flood = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                refused = self.headers["Authorization"] == f"Bearer {flood.refused}"
                self.send_response(401 if refused else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                if refused:
                    flood.pour(self.wfile)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def pour(self, file: Any) -> None:
        piece = b"x" * 65536
        try:
            while self.sent < self.size:
                file.write(piece)
                self.sent += len(piece)
        except OSError:
            return  # nobody reads


@pytest.fixture
def flood(token: OAuthToken) -> Iterator[Flood]:
    flood = Flood(token.access_token)
    threading.Thread(target=flood.server.serve_forever, daemon=True).start()
    yield flood
    flood.server.shutdown()
    flood.server.server_close()


def get(kind: str, user: AbstractUser, url: str) -> tuple[int, int, int]:
    """Status, length of the body, length of what the first answer's history holds of its own."""
    if kind == "session":
        with user.oauth_tokens.session("acme", base_url=url).get("/", stream=True) as response:
            first = response.history[0].content if response.history else b""
            return response.status_code, sum(map(len, response.iter_content(1000))), len(first)
    if kind == "async_client":
        return async_to_sync(aget)(user, url)
    auth = stored().auth
    module: Any = {"httpx": httpx, "httpx2": httpx2}[kind]
    with module.Client(auth=auth) as client, client.stream("GET", url) as response:
        first = response.history[0].content if response.history else b""
        return response.status_code, sum(map(len, response.iter_bytes())), len(first)


async def aget(user: AbstractUser, url: str) -> tuple[int, int, int]:
    async with (
        user.oauth_tokens.async_client("acme", base_url=url) as client,
        client.stream("GET", "/") as response,
    ):
        first = response.history[0].content if response.history else b""
        size = 0
        async for piece in response.aiter_bytes():
            size += len(piece)
        return response.status_code, size, len(first)


KINDS = ["session", "async_client", "httpx", "httpx2"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_not_read_without_bound(kind: str, user: AbstractUser, flood: Flood) -> None:
    status, _, first = get(kind, user, flood.url)
    assert status == 200
    assert MAX_ERROR_BODY < first < 4 * MAX_ERROR_BODY
    assert flood.sent < flood.size / 2  # what sockets buffer, and no more


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_that_is_returned_is_all_there(
    kind: str, user: AbstractUser, flood: Flood
) -> None:
    stored().refresh()  # so that this 401, which has no hint, is not the token's fault
    flood.refused = stored().access_token
    flood.size = MIB
    assert get(kind, user, flood.url) == (401, MIB, 0)


# Redirects that a caller follows by hand


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_no_token_to_another_host_by_next_request(
    module: Any, user: AbstractUser, token: OAuthToken, api: Api
) -> None:
    async def follow(other: str) -> None:
        async with user.oauth_tokens.async_client("acme") as client:
            response = await client.get(f"{api.url}/?to={other}/x")
            await client.send(response.next_request)

    with running_api() as other, module.Client(auth=token.auth) as client:
        # There and back again: what has left the host once does not get the token back.
        response = client.get(f"{api.url}/?to={other.url}/?to={api.url}/back")
        response = client.send(response.next_request)
        client.send(response.next_request)
        async_to_sync(follow)(other.url)
        assert other.tokens == ["", ""]
        assert api.tokens == [token.access_token, "", token.access_token]
        response = client.get(f"{api.url}/?to={api.url}/x")
        assert client.send(response.next_request).status_code == 200
