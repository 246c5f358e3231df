"""What follows on a 401, with ``session()``, ``auth=token`` and ``auth=token.auth``."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection

from oauth_tokens import OAuthToken, exceptions
from tests.support import api as handle
from tests.support.api import Api
from tests.support.provider import Provider

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = {"status": 401, "body": "", "headers": {}}
api_process, api, client = handle.api_process, handle.api, handle.client


def stored() -> OAuthToken:
    return OAuthToken.objects.get()


def test_a_refused_token_is_refreshed_and_the_request_repeated_once(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    old = token.access_token
    api.refuse(old)
    response = client("POST", "/things", json={"a": 1})
    assert response.status_code == 200
    assert api.tokens == [old, stored().access_token]
    assert [r["body"] for r in api.requests()] == ['{"a": 1}'] * 2
    assert provider.refreshes == 1
    assert [r.status_code for r in response.history] == [401]
    assert response.elapsed.total_seconds() > 0
    assert client("GET", "/again").ok
    assert (len(api.requests()), provider.refreshes) == (3, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_the_repetition_goes_over_the_same_connection(
    user: AbstractUser, token: OAuthToken, api: Api, stream: bool
) -> None:
    page = {"headers": {"Content-Type": "text/html"}, "body": "<p>no</p>" * 1000}
    api.refuse(token.access_token, **page)
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert session.get("/", stream=stream).json()["ok"]
    assert len({r["connection"] for r in api.requests()}) == 1


def test_a_401_that_persists_is_returned_and_costs_one_refresh(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(body='{"error": "invalid_token", "hint": "never"}')
    response = client("GET", "/never")
    assert (response.status_code, response.json()["hint"]) == (401, "never")
    assert (len(api.requests()), provider.refreshes) == (2, 1)
    # Whatever it is, it is not the token: no refresh for each of the next requests.
    assert client("GET", "/never").status_code == 401
    assert (len(api.requests()), provider.refreshes) == (3, 1)


def test_a_new_token_ends_that(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    api.refuse()
    assert session.get("/").status_code == 401
    renewed = stored().refresh()
    api.reset()
    api.refuse(renewed.access_token)
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert session.get("/").ok
    assert provider.refreshes == 3


def test_a_401_about_something_else_is_returned(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, body="{}")
    assert client("GET", "/").status_code == 401
    assert (len(api.requests()), provider.refreshes) == (1, 0)


def test_the_statuses_of_the_provider_count(
    client: Any, token: OAuthToken, api: Api, provider: Provider, configure: Any
) -> None:
    configure(acme={"unauthorized_statuses": [200, 498]})
    api.refuse(token.access_token, status=498, body="", headers={})
    assert client("GET", "/").ok
    assert provider.refreshes == 1
    api.refuse(stored().access_token, status=200, body='{"ok": false, "error": "token_expired"}')
    assert client("GET", "/").json()["ok"] is True
    assert provider.refreshes == 2
    api.refuse(stored().access_token, **{**REFUSED, "status": 401})
    assert client("GET", "/").status_code == 401


def test_two_threads_that_meet_the_401_together_cause_one_refresh(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(token.access_token)
    provider.configure(latency=0.2)
    together = threading.Barrier(8)

    def call(_: int) -> int:
        together.wait()
        try:
            return int(client("GET", "/?seconds=0.1").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == [200] * 8
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_what_somebody_else_has_refreshed_is_used(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert session.get("/").ok
    api.refuse(token.access_token)
    token.refresh()
    assert session.get("/").ok
    assert provider.refreshes == 1


def test_after_reconnecting_the_new_grant_is_used_as_it_is(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    token.refresh()
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert session.get("/").ok
    api.refuse(token.access_token)
    user.oauth_tokens.disconnect("acme")
    user.oauth_tokens.store("acme", provider.issue())
    assert session.get("/").ok
    assert provider.refreshes == 1


def test_a_dead_grant_is_a_typed_error(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(token.access_token)
    provider.misbehave("status", status=400, body='{"error": "invalid_grant"}')
    with pytest.raises(exceptions.ReauthenticationRequired) as caught:
        client("GET", "/")
    assert caught.value.code == "refresh_token_invalid"
    assert stored().status == "reauth_required"


def test_a_refresh_that_fails_for_now_is_a_typed_error(
    client: Any, token: OAuthToken, api: Api, provider: Provider
) -> None:
    api.refuse(token.access_token)
    provider.misbehave("status", status=503)
    with pytest.raises(exceptions.RefreshFailed):
        client("GET", "/")
    assert stored().status == "active"
    assert len(api.requests()) == 1


def test_without_a_refresh_token_only_a_clear_401_asks_the_user_back(
    user: AbstractUser, provider: Provider, api: Api
) -> None:
    response = provider.issue()
    del response["refresh_token"]
    user.oauth_tokens.store("acme", response)
    session = user.oauth_tokens.session("acme", base_url=api.url)
    api.refuse(**REFUSED)
    assert session.get("/").status_code == 401
    assert stored().status == "active"
    api.refuse()
    with pytest.raises(exceptions.ReauthenticationRequired) as caught:
        session.get("/")
    assert caught.value.code == "no_refresh_token"


# Bodies


def test_a_file_is_sent_again_from_where_it_was(
    client: Any, token: OAuthToken, api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"header and body")
    api.refuse(token.access_token)
    with path.open("rb") as file:
        file.seek(len(b"header and "))
        assert client("PUT", "/files", data=file).ok
    assert [r["body"] for r in api.requests()] == ["body", "body"]


def test_an_upload_form_is_sent_again(client: Any, token: OAuthToken, api: Api) -> None:
    api.refuse(token.access_token)
    assert client("POST", "/files", files={"f": io.BytesIO(b"content")}).ok
    first, second = (r["body"] for r in api.requests())
    assert first == second
    assert "content" in first


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self) -> None:
        self.left = b"piped"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(self.left)
        buffer[:size], self.left = self.left, b""
        return size


@pytest.mark.parametrize(
    "body", [lambda: iter([b"pip", b"ed"]), lambda: (p for p in [b"piped"]), Pipe]
)
def test_a_body_that_is_gone_is_not_sent_again(
    client: Any, token: OAuthToken, api: Api, provider: Provider, body: Any
) -> None:
    api.refuse(token.access_token)
    assert client("PUT", "/files", data=body()).status_code == 401
    assert [r["body"] for r in api.requests()] == ["piped"]
    # But the next request goes through.
    assert provider.refreshes == 1
    assert client("PUT", "/files", data=body()).ok


def test_a_streamed_answer_can_be_read(client: Any, token: OAuthToken, api: Api) -> None:
    api.refuse(token.access_token)
    response = client("GET", "/", stream=True)
    assert b'"ok": true' in b"".join(response.iter_content(7))
    api.refuse()
    response = client("GET", "/", stream=True)
    assert response.status_code == 401
    assert b"invalid_token" in b"".join(response.iter_content(7))
