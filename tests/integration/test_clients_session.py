"""``session()`` as such, and the fresh token in every request with ``requests``."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
import requests
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter
from requests_oauthlib import OAuth2Session

from oauth_tokens import OAuthToken, exceptions
from tests.support import api as handle
from tests.support.api import Api
from tests.support.processes import wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age

pytestmark = pytest.mark.django_db(transaction=True)

api_process, api, client = handle.api_process, handle.api, handle.client


def stored() -> OAuthToken:
    return OAuthToken.objects.get()


# A fresh token in every request


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_every_method_carries_the_token(
    client: Any, token: OAuthToken, api: Api, method: str
) -> None:
    response = client(method, "/things", params={"a": 1})
    assert response.status_code == 200
    assert [(r["method"], r["authorization"]) for r in api.requests()] == [
        (method, f"Bearer {token.access_token}")
    ]


def test_an_expired_token_is_refreshed_before_the_request(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    expired = age(token, EXPIRED)
    assert user.oauth_tokens.session("acme").get(api.url).ok
    assert requests.get(api.url, auth=expired, timeout=10).ok
    assert set(api.tokens) == {stored().access_token} != {token.access_token}
    assert provider.refreshes == 1
    assert expired.version == 2


def test_a_session_asks_the_database_once(user: AbstractUser, token: OAuthToken, api: Api) -> None:
    with CaptureQueriesContext(connection) as queries:
        session = user.oauth_tokens.session("acme", base_url=api.url)
        assert len(queries) == 0
        for _ in range(3):
            assert session.get("/").ok
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        assert requests.get(api.url, auth=token, timeout=10).ok
    assert len(queries) == 0


def test_a_session_notices_that_its_token_has_aged(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    row = age(token, 1.3, lifetime=2)
    session = user.oauth_tokens.session("acme", base_url=api.url)
    session.get("/")
    wait_until(lambda: row.is_expired)
    session.get("/")
    assert api.tokens == [token.access_token, stored().access_token]
    assert provider.refreshes == 1


def test_who_is_not_connected_is_told_at_the_first_request(
    user: AbstractUser, provider: Provider, api: Api
) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    with pytest.raises(exceptions.TokenNotConnected):
        session.get("/")
    assert not session.authorized
    assert api.requests() == []


def test_a_missing_scope_is_told_as_well(user: AbstractUser, token: OAuthToken, api: Api) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url, scopes="mail.send")
    with pytest.raises(exceptions.InsufficientScope) as caught:
        session.get("/")
    assert caught.value.missing == {"mail.send"}


def test_no_user_no_session() -> None:
    with pytest.raises(TypeError, match=r"call user\.oauth_tokens"):
        OAuthToken.objects.session("acme")


# The session as such


def test_it_is_an_oauth2session_that_shows_what_those_show(
    user: AbstractUser, token: OAuthToken, api: Api
) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert isinstance(session, OAuth2Session)
    assert session.access_token == session.token["access_token"] == token.access_token
    assert session.authorized
    assert session.token["token_type"] == "Bearer"
    assert "refresh_token" not in session.token
    assert token.access_token not in f"{session!r} {session.token!r} {session.__dict__}"
    with pytest.raises(NotImplementedError, match=r"token\.refresh\(\)"):
        session.refresh_token("https://acme.example/token")
    with pytest.raises(AttributeError, match="store"):
        session.token = {"access_token": "x"}


def test_its_compliance_hooks_are_called(user: AbstractUser, token: OAuthToken, api: Api) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    session.register_compliance_hook(
        "protected_request", lambda url, headers, data: (f"{url}/more", headers, b"hooked")
    )
    assert session.post("/things").json()["body"] == "hooked"
    assert [r["path"] for r in api.requests()] == ["/things/more"]


def test_nothing_is_logged_about_tokens_or_bodies(
    user: AbstractUser, token: OAuthToken, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    old = token.access_token
    with caplog.at_level(logging.DEBUG):
        api.refuse(old)
        user.oauth_tokens.session("acme", base_url=api.url).post("/", data="body-secret")
    for secret in (old, stored().access_token, "body-secret"):
        assert secret not in caplog.text


def test_a_failing_request_shows_no_token_in_djangos_error_report(
    user: AbstractUser, token: OAuthToken, api: Api, rf: Any
) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    with pytest.raises(requests.exceptions.ReadTimeout) as caught:
        session.get("/?seconds=5", timeout=0.1)
    error = caught.value
    report = ExceptionReporter(rf.get("/"), type(error), error, error.__traceback__)
    html = report.get_traceback_html()
    assert "Read timed out" in html
    assert token.access_token not in html


def test_it_times_out_by_itself(
    user: AbstractUser, token: OAuthToken, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert session.timeout == 30
    session = user.oauth_tokens.session("acme", base_url=api.url, timeout=0.1)
    with pytest.raises(requests.exceptions.ReadTimeout):
        session.get("/?seconds=5")
    with pytest.raises(requests.exceptions.ReadTimeout):
        session.send(session.prepare_request(requests.Request("GET", f"{api.url}/?seconds=5")))
    assert session.get("/?seconds=0.2", timeout=5).ok


def test_cookies_are_not_kept(user: AbstractUser, token: OAuthToken, api: Api) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    session.get("/")
    session.get("/")
    user.oauth_tokens.session("acme", base_url=api.url).get("/")
    assert {r["cookie"] for r in api.requests()} == {""}
    assert not session.cookies


def test_sessions_share_connections_and_closing_one_leaves_them_open(
    user: AbstractUser, token: OAuthToken, api: Api
) -> None:
    for _ in range(3):
        with user.oauth_tokens.session("acme", base_url=api.url) as session:
            assert session.get("/").ok
    assert len({r["connection"] for r in api.requests()}) == 1


def test_a_forked_process_opens_connections_of_its_own(
    user: AbstractUser, token: OAuthToken, api: Api
) -> None:
    session = user.oauth_tokens.session("acme", base_url=api.url)
    session.get("/")
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if session.get("/").ok else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    session.get("/")
    first, childs, second = (r["connection"] for r in api.requests())
    assert first == second != childs


def test_stale_and_the_provider_down_the_living_token_is_used(
    user: AbstractUser, token: OAuthToken, api: Api, provider: Provider
) -> None:
    age(token, STALE)
    provider.misbehave("status", status=503)
    session = user.oauth_tokens.session("acme", base_url=api.url)
    assert session.get("/").ok
    assert session.get("/").ok
    assert api.tokens == [token.access_token] * 2
