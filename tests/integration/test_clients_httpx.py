"""``user.oauth_tokens.async_client()``, and ``token.auth`` with httpx and httpx2."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter

from oauth_tokens import OAuthToken, exceptions
from tests.support import api as handle
from tests.support.api import Api, running_api
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.django_db(transaction=True)


api_process, api = handle.api_process, handle.api


@pytest.fixture(params=["async_client", "httpx2", "httpx2 async", "httpx", "httpx async"])
def client(
    request: pytest.FixtureRequest, user: AbstractUser, token: OAuthToken, api: Api
) -> Callable[..., Any]:
    """``client(method, path, ...)`` by each of the ways with httpx; call it from sync code."""
    name, _, kind = request.param.partition(" ")
    module: Any = {"httpx": httpx}.get(name, httpx2)

    async def in_a_loop(method: str, path: str, **arguments: Any) -> Any:
        if name == "async_client":
            made = user.oauth_tokens.async_client("acme", base_url=api.url)
        else:
            made = module.AsyncClient(auth=token.auth, base_url=api.url)
        async with made as client:
            return await client.request(method, path, **arguments)

    def call(method: str, path: str, **arguments: Any) -> Any:
        with module.Client(auth=token.auth, base_url=api.url) as client:
            return client.request(method, path, **arguments)

    return call if name != "async_client" and not kind else async_to_sync(in_a_loop)


def stored() -> OAuthToken:
    return OAuthToken.objects.get()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_carries_the_token(
    client: Any, token: OAuthToken, api: Api, method: str
) -> None:
    assert client(method, "/things").status_code == 200
    assert [(r["method"], r["authorization"]) for r in api.requests()] == [
        (method, f"Bearer {token.access_token}")
    ]


def test_an_expired_token_is_refreshed_before_the_request(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    held = age(token, EXPIRED)

    async def calls() -> list[int]:
        async with user.oauth_tokens.async_client("acme", base_url=api.url) as client:
            first = await client.get("/")
        async with httpx.AsyncClient(auth=held.auth) as client:
            return [first.status_code, (await client.get(api.url)).status_code]

    assert async_to_sync(calls)() == [200, 200]
    assert api.tokens == [stored().access_token] * 2
    assert provider.refreshes == 1


def test_an_async_client_asks_the_database_with_its_first_request(
    user: AbstractUser, token: OAuthToken, api: Api
) -> None:
    async def calls(client: httpx2.AsyncClient) -> None:
        async with client:
            for _ in range(3):
                (await client.get("/")).raise_for_status()

    with CaptureQueriesContext(connection) as queries:
        client = user.oauth_tokens.async_client("acme", base_url=api.url)
        assert len(queries) == 0
        async_to_sync(calls)(client)
    assert len(queries) == 1
    assert client.timeout == httpx2.Timeout(30)


def test_a_refused_token_is_refreshed_and_the_request_repeated_once(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    old = token.access_token
    api.refuse(old)
    response = client("POST", "/things", json={"a": 1})
    assert response.status_code == 200
    assert api.tokens == [old, stored().access_token]
    assert len({r["body"] for r in api.requests()}) == 1
    assert [r.status_code for r in response.history] == [401]
    assert provider.refreshes == 1


def test_a_401_that_persists_is_returned_and_costs_one_refresh(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(body='{"error": "invalid_token", "hint": "never"}')
    response = client("GET", "/")
    assert (response.status_code, response.json()["hint"]) == (401, "never")
    assert client("GET", "/").status_code == 401
    assert (len(api.requests()), provider.refreshes) == (3, 1)


def test_a_401_about_something_else_is_returned(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(headers={"WWW-Authenticate": 'Basic realm="x"'}, body="")
    assert client("GET", "/").status_code == 401
    api.refuse(headers={}, body='{"error": {"code": "insufficient_scope"}}')
    assert client("GET", "/").status_code == 401
    assert (len(api.requests()), provider.refreshes) == (2, 0)


def test_a_dead_grant_is_a_typed_error(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(token.access_token)
    provider.misbehave("status", status=400, body='{"error": "invalid_grant"}')
    with pytest.raises(exceptions.ReauthenticationRequired):
        client("GET", "/")
    assert stored().status == "reauth_required"


def test_a_refresh_that_fails_for_now_is_a_typed_error(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(token.access_token)
    provider.misbehave("status", status=503)
    with pytest.raises(exceptions.RefreshFailed):
        client("GET", "/")
    assert stored().status == "active"


def test_an_upload_form_is_sent_again(client: Any, token: OAuthToken, api: Api) -> None:
    api.refuse(token.access_token)
    if client("POST", "/", files={"f": io.BytesIO(b"content")}, data={"a": "b"}).status_code == 200:
        first, second = (r["body"] for r in api.requests())
        assert first == second
        assert "content" in first
    else:
        pytest.fail("it was not sent again")


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_file_is_sent_again_from_where_it_was(
    module: Any, token: OAuthToken, api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"header and body")
    api.refuse(token.access_token)
    with path.open("rb") as file, module.Client(auth=token.auth) as client:
        file.seek(len(b"header and "))
        # Else httpx takes the whole file's length for what is left of it.
        chunked = {"Transfer-Encoding": "chunked"}
        assert client.put(api.url, content=file, headers=chunked).status_code == 200
    assert [r["body"] for r in api.requests()] == ["body", "body"]


async def _pieces() -> AsyncIterator[bytes]:
    yield b"pip"
    yield b"ed"


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_body_that_is_gone_is_not_sent_again(
    module: Any, user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(token.access_token)
    with module.Client(auth=token.auth) as client:
        assert client.put(api.url, content=iter([b"pip", b"ed"])).status_code == 401
        assert client.put(api.url, content=iter([b"pip", b"ed"])).status_code == 200

    async def upload() -> list[int]:
        async with module.AsyncClient(auth=stored_token.auth) as client:
            return [(await client.put(api.url, content=_pieces())).status_code for _ in range(2)]

    stored_token = stored()
    api.refuse(stored_token.access_token)
    assert async_to_sync(upload)() == [401, 200]
    assert [r["body"] for r in api.requests()] == ["piped"] * 4
    assert provider.refreshes == 2


def test_a_streamed_answer_can_be_read(user: AbstractUser, token: OAuthToken, api: Api) -> None:
    async def read() -> tuple[int, bytes]:
        async with (
            user.oauth_tokens.async_client("acme") as client,
            client.stream("GET", api.url) as response,
        ):
            return response.status_code, b"".join([part async for part in response.aiter_bytes()])

    api.refuse()
    status, body = async_to_sync(read)()
    assert (status, body) == (401, b'{"error": "invalid_token"}')


def test_no_token_to_another_host_on_a_redirect(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    with running_api() as other:
        response = client("GET", f"/?to={other.url}/x", follow_redirects=True)
        assert response.status_code == 401
        assert [r["authorization"] for r in other.requests()] == [""]
    assert provider.refreshes == 0


@pytest.mark.parametrize(("status", "method"), [(303, "GET"), (307, "POST")])
def test_of_a_redirected_request_the_last_part_is_repeated(
    client: Any, token: OAuthToken, api: Api, status: int, method: str
) -> None:
    """What was answered with a redirect may have been done, as a POST with a 303 has."""
    old = token.access_token
    api.refuse(old)
    to = f"/?to={api.url}/x&status={status}"
    assert client("POST", to, json={"a": 1}, follow_redirects=True).status_code == 200
    new = stored().access_token
    assert [(r["method"], r["path"]) for r in api.requests()] == [
        ("POST", "/"),
        (method, "/x"),
        (method, "/x"),
    ]
    assert api.tokens == [old, old, new]
    assert api.requests()[-1]["body"] == api.requests()[-2]["body"]


def test_no_token_without_tls(client: Any, token: OAuthToken) -> None:
    with pytest.raises(exceptions.OAuthTokenError) as caught:
        client("GET", "http://example.org/")
    assert caught.value.code == "insecure_url"


def test_with_a_base_url_its_host_alone_gets_the_token(
    user: AbstractUser, token: OAuthToken, api: Api
) -> None:
    async def get(url: str, **options: Any) -> int:
        async with user.oauth_tokens.async_client("acme", **options) as client:
            return int((await client.get(url)).status_code)

    with running_api() as other:
        with pytest.raises(exceptions.OAuthTokenError, match="allowed_hosts"):
            async_to_sync(get)(other.url, base_url=api.url)
        assert other.requests() == []
        hosts = [f"127.0.0.1:{other.port}"]
        assert async_to_sync(get)(other.url, base_url=api.url, allowed_hosts=hosts) == 200
    for url in ("../admin", "%2e%2e/admin", "//evil.example/x"):
        with pytest.raises(exceptions.OAuthTokenError):
            async_to_sync(get)(url, base_url=f"{api.url}/v1")
    assert async_to_sync(get)("/things", base_url=f"{api.url}/v1") == 200
    assert [r["path"] for r in api.requests()] == ["/v1/things"]
    with pytest.raises(exceptions.OAuthTokenError):
        user.oauth_tokens.async_client("acme", base_url="http://example.org")


def test_cookies_are_not_kept(user: AbstractUser, token: OAuthToken, api: Api) -> None:
    async def twice() -> None:
        async with user.oauth_tokens.async_client("acme", base_url=api.url) as client:
            await client.get("/")
            await client.get("/")

    async_to_sync(twice)()
    assert [r["cookie"] for r in api.requests()] == ["", ""]


def test_coroutines_that_meet_the_401_together_cause_one_refresh(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(token.access_token)
    provider.configure(latency=0.2)

    async def calls() -> list[int]:
        async with user.oauth_tokens.async_client("acme", base_url=api.url) as client:
            answers = await asyncio.gather(*[client.get("/?seconds=0.1") for _ in range(20)])
            return [answer.status_code for answer in answers]

    assert async_to_sync(calls)() == [200] * 20
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_the_token_itself_sets_the_header(
    module: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    async def get(held: OAuthToken) -> int:
        async with module.AsyncClient(auth=held) as client:
            return int((await client.get(api.url)).status_code)

    with module.Client(auth=token) as client:
        assert client.get(api.url).status_code == 200
    assert async_to_sync(get)(token) == 200
    held = age(token, EXPIRED)
    with pytest.raises(SynchronousOnlyOperation, match=r"token\.auth"):
        async_to_sync(get)(held)
    assert api.tokens == [token.access_token] * 2
    with module.Client(auth=held) as client:
        assert client.get(api.url).status_code == 200
    assert provider.refreshes == 1


def test_without_httpx2_the_extra_is_named(
    user: AbstractUser, token: OAuthToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"pip install django-user-oauth-tokens\[httpx2\]"):
        user.oauth_tokens.async_client("acme")


def test_secrets_stay_out_of_logs_and_error_reports(
    user: AbstractUser, token: OAuthToken, api: Api, caplog: pytest.LogCaptureFixture, rf: Any
) -> None:
    api.refuse(token.access_token)

    async def time_out() -> None:
        async with user.oauth_tokens.async_client("acme", base_url=api.url) as client:
            await client.post("/", json={"a": "body-secret"})
            await client.get("/?seconds=5", timeout=0.1)

    with caplog.at_level(logging.DEBUG), pytest.raises(httpx2.ReadTimeout) as caught:
        async_to_sync(time_out)()
    error = caught.value
    report = ExceptionReporter(rf.get("/"), type(error), error, error.__traceback__)
    html = report.get_traceback_html()
    assert "ReadTimeout" in html
    new = stored().access_token
    for secret in (new, token.access_token):
        assert secret not in html
        assert secret not in caplog.text
    assert "body-secret" not in caplog.text
