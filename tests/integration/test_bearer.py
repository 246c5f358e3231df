"""An API of one's own over HTTP, with JWTs of Authlib's authorization server (RFC 9068)."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.core.cache import cache
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from pytest_django import Settings

from oauth_tokens import jwks
from oauth_tokens.bearer import BearerError, bearer_required
from tests.support import jwt_fixtures
from tests.support.jwt_server import AUDIENCE, Issuer
from tests.support.processes import wait_until

issuer_process, issuer = jwt_fixtures.issuer_process, jwt_fixtures.issuer
Protect = Callable[..., Any]


def show(request: Any) -> JsonResponse:
    bearer = request.bearer
    return JsonResponse({"subject": bearer.subject, "scopes": sorted(bearer.scopes)})


async def ashow(request: Any) -> JsonResponse:
    return show(request)


class Sync(View):
    def get(self, request: HttpRequest) -> JsonResponse:
        return show(request)

    post = get


class Async(View):
    async def get(self, request: HttpRequest) -> JsonResponse:
        return show(request)

    async def post(self, request: HttpRequest) -> JsonResponse:
        return show(request)


@pytest.fixture
def protect(issuer: Issuer) -> Protect:
    """``bearer_required`` with what an API says of its issuer."""
    return partial(bearer_required, issuer=issuer.url, audience=AUDIENCE, timeout=10)


@pytest.fixture
def urls(protect: Protect, settings: Settings) -> list[str]:
    """The API's paths, one for each kind of view."""
    reading = protect(scopes=["read"])

    class Urls:
        urlpatterns = [
            path("sync/", reading(show)),
            path("async/", reading(ashow)),
            path("class/", method_decorator(reading, name="dispatch")(Sync).as_view()),
            path("async-class/", method_decorator(reading, name="dispatch")(Async).as_view()),
            path("writing/", protect(scopes="write read", realm="projects")(show)),
            path("cached/", cache_page(60)(reading(show))),
        ]

    settings.ROOT_URLCONF = Urls
    cache.clear()
    return ["/sync/", "/async/", "/class/", "/async-class/"]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def _server() -> Iterator[str]:
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api(_server: str, urls: list[str]) -> str:
    """Address of the API, which is served over HTTP."""
    return _server


def get(url: str, authorization: str | None = None, **options: Any) -> requests.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return requests.get(url, headers=headers, timeout=10, **options)


def test_a_token_of_the_issuer(api: str, urls: list[str], issuer: Issuer) -> None:
    token = issuer.token("read write")
    for url in urls:
        for scheme in ("Bearer", "bearer", "BEARER"):
            answer = get(api + url, f"{scheme} {token}")
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"subject": "reporter", "scopes": ["read", "write"]}
            assert answer.headers["Vary"] == "Authorization"
    assert len(issuer.requests("jwks")) == 1


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "Token abc", "Bearertoken"])
def test_who_sends_no_token_is_asked_for_one(
    api: str, urls: list[str], authorization: str | None
) -> None:
    for url in urls:
        answer = get(api + url, authorization)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert answer.json().keys() == {"error_description"}
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "Authorization"


def test_a_token_elsewhere_than_in_the_header_is_none(api: str, issuer: Issuer) -> None:
    parameter = {"access_token": issuer.token()}
    in_query = get(f"{api}/sync/", params=parameter)
    in_form = requests.post(f"{api}/sync/", parameter, timeout=10)
    for answer in (in_query, in_form):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", "Bearer a b", 'Bearer "a"', "Bearer a,b", "Bearer é"]
)
def test_a_malformed_header(api: str, authorization: str) -> None:
    answer = get(f"{api}/sync/", authorization.encode("latin-1"))  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]


def test_two_tokens(api: str, issuer: Issuer) -> None:
    token = issuer.token()
    twice = get(f"{api}/sync/", f"Bearer {token}", params={"access_token": token})
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    connection = http.client.HTTPConnection(urlsplit(api).netloc, timeout=10)
    connection.putrequest("GET", "/sync/")
    for _ in range(2):
        connection.putheader("Authorization", f"Bearer {token}")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["error"]) == (400, "invalid_request")
    connection.close()


def test_an_invalid_token(api: str, urls: list[str], issuer: Issuer) -> None:
    head, payload, signature = issuer.token().split(".")
    for url in urls:
        answer = get(api + url, f"Bearer {head}.{payload}.{signature[::-1]}")
        assert answer.status_code == 401
        assert answer.json() == {
            "error": "invalid_token",
            "error_description": "The signature of the token is not valid.",
        }
        assert answer.headers["WWW-Authenticate"] == (
            'Bearer realm="api", error="invalid_token", '
            'error_description="The signature of the token is not valid."'
        )


def test_an_expired_token(api: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    token = issuer.token()
    monkeypatch.setattr("oauth_tokens.bearer.tokens.time.time", lambda: 4_000_000_000)
    answer = get(f"{api}/sync/", f"Bearer {token}")
    expired_at = answer.json()["expired_at"]
    assert expired_at.endswith("Z")
    assert f'expired_at="{expired_at}"' in answer.headers["WWW-Authenticate"]


def test_a_scope_is_missing(api: str, issuer: Issuer) -> None:
    answer = get(f"{api}/writing/", f"Bearer {issuer.token('read')}")
    assert answer.status_code == 403
    assert answer.json()["error"] == "insufficient_scope"
    assert answer.json()["scope"] == "read write"
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="projects", error="insufficient_scope", ')
    assert challenge.endswith('scope="read write"')


def test_the_issuer_is_down_and_its_keys_are_not_known(
    api: str, urls: list[str], issuer: Issuer
) -> None:
    token = issuer.token()
    issuer.misbehave("jwks", "status", status=500)
    for url in urls:
        answer = get(api + url, f"Bearer {token}")
        assert answer.status_code == 503
        assert answer.json()["error"] == "temporarily_unavailable"
        assert "WWW-Authenticate" not in answer.headers
        assert 1 <= int(answer.headers["Retry-After"]) <= math.ceil(jwks.ATTEMPT_EVERY)
    assert len(issuer.requests("jwks")) == 1


def test_another_issuer_s_token(api: str, issuer: Issuer) -> None:
    other = Issuer()
    token = other.token()
    other.stop()
    answer = get(f"{api}/sync/", f"Bearer {token}")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_no_csrf_token_is_asked_for(urls: list[str], issuer: Issuer) -> None:
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    for url in urls:
        client = Client(enforce_csrf_checks=True)
        assert client.post(url, headers=headers).status_code == 200
        assert client.post(url).status_code == 401


def test_a_cache_in_front_keeps_tokens_apart(urls: list[str], issuer: Issuer) -> None:
    client = Client()
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    for _ in range(2):
        assert client.get("/cached/", headers=headers).status_code == 200
    assert client.get("/cached/").status_code == 401
    cache.clear()


async def asked(url: str, authorization: str = "") -> Any:
    headers = {"Authorization": authorization} if authorization else {}
    return await AsyncClient().get(url, headers=headers)


def test_under_asgi(urls: list[str], issuer: Issuer) -> None:
    token = issuer.token()

    async def ask_all() -> None:
        for url in urls:
            answer = await asked(url, f"Bearer {token}")
            assert (answer.status_code, answer["Vary"]) == (200, "Authorization")
            answer = await asked(url)
            assert (answer.status_code, answer["Vary"]) == (401, "Authorization")

    asyncio.run(ask_all())


@pytest.mark.parametrize("url", ["/async/", "/async-class/"])
def test_the_event_loop_goes_on_while_keys_are_fetched(
    urls: list[str], issuer: Issuer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = issuer.token()
    issuer.misbehave("jwks", "hang")

    async def end_it() -> None:
        await asyncio.to_thread(wait_until, lambda: issuer.requests("jwks"))
        await asyncio.to_thread(issuer.reset)

    async def both() -> Any:
        return (await asyncio.gather(asked(url, f"Bearer {token}"), end_it()))[0]

    assert asyncio.run(both()).status_code == 503
    # Not a timeout: the coroutine that ended it had its turn.
    assert "could not be fetched: connection_reset" in caplog.text


def test_what_is_quoted_cannot_leave_its_quotes() -> None:
    error = BearerError("invalid_token", 'a"\r\nSet-Cookie: b\\\x7fé', {"scope": '"\n'})
    assert error.challenge("api") == (
        'Bearer realm="api", error="invalid_token", '
        'error_description="a   Set-Cookie: b   ", scope="  "'
    )


ALONE = """
import json, sys
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["testserver"])
import django
django.setup()
from django.http import JsonResponse
from django.test import RequestFactory
from oauth_tokens.bearer import bearer_required
heavy = {"requests", "joserfc", "cryptography", "redis", "celery", "httpx2", "rest_framework"}
early = sorted(heavy & sys.modules.keys())

@bearer_required(issuer=sys.argv[1], audience=sys.argv[2])
def view(request):
    return JsonResponse({"early": early, "subject": request.bearer.subject})

answer = view(RequestFactory().get("/", headers={"Authorization": f"Bearer {sys.argv[3]}"}))
print(answer.content.decode())
"""


def test_it_needs_no_settings_and_imports_little(issuer: Issuer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, issuer.url, AUDIENCE, issuer.token()],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["subject"] == "reporter"
    assert json.loads(done.stdout)["early"] == []
