"""Calls of a protected API, over real HTTP between real processes: a browser, the site (by WSGI and
by ASGI), the authorization server (django-oauth-toolkit), the API (``oauth_tokens.bearer``)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken
from tests.e2e.site.fixtures import Alice, Cast
from tests.support.api import Api, running_api
from tests.support.processes import wait_until
from tests.support.rows import EXPIRED, STALE, age

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = ("requests", "httpx2", "async_client", "asession", "async_httpx2")
WAYS = ["session", *(pytest.param(way, marks=pytest.mark.slow) for way in OTHERS)]


def stored() -> OAuthToken:
    return OAuthToken.objects.get()


@pytest.fixture
def threads(cast: Cast) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(200) as pool:
        yield pool
        # Whoever is still held back would be waited for.
        cast.provider.control("release")


@pytest.mark.parametrize("way", WAYS)
def test_each_request_carries_a_fresh_token_and_survives_its_end(
    way: str, alice: Alice, cast: Cast
) -> None:
    first = alice.connect().access_token
    assert alice.call(way)["body"]["subject"] == "alice"
    age(stored(), EXPIRED)
    assert alice.call(way)["status"] == 200
    second = stored().access_token
    # The API learns of it first: a 401 that says "invalid_token".
    cast.provider.expire(second)
    assert alice.call(way)["status"] == 200
    third = stored().access_token
    assert [(r["token"], r["status"]) for r in cast.api.seen()] == [
        (first, 200),
        (second, 200),
        (second, 401),
        (third, 200),
    ]
    assert cast.provider.refreshes == 2


@pytest.mark.slow
def test_what_is_posted_is_posted_again(alice: Alice, cast: Cast) -> None:
    cast.provider.expire(alice.connect().access_token)
    answer = alice.call("session", data=b"a report")
    assert (answer["status"], answer["body"]["body"]) == (200, "a report")
    assert [r["status"] for r in cast.api.seen()] == [401, 200]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["session", "requests", "httpx2"])
def test_a_streaming_body_is_not_sent_again(way: str, alice: Alice, cast: Cast) -> None:
    cast.provider.expire(alice.connect().access_token)
    answer = alice.call(way, "read/?stream", data=b"a report")
    assert (answer["status"], answer["body"]["error"]) == (401, "invalid_token")
    assert [r["status"] for r in cast.api.seen()] == [401]
    assert alice.call(way)["status"] == 200
    assert cast.provider.refreshes == 1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["session", "requests", "httpx2", "async_client", "async_httpx2"])
def test_a_401_that_persists_is_returned_as_it_is(way: str, alice: Alice, cast: Cast) -> None:
    alice.connect()
    for _ in range(2):
        assert alice.call(way, "refusing/") == {"status": 401, "body": {"error": "invalid_token"}}
    assert [r["status"] for r in cast.api.seen("/refusing/")] == [401] * 3
    assert cast.provider.refreshes == 1
    assert stored().status == "active"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Api]:
    """Another host, as far as tokens go."""
    with running_api() as api:
        yield api


@pytest.mark.slow
@pytest.mark.parametrize("way", ["session", "requests", "httpx2", "async_client", "async_httpx2"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_host_never_receives_the_token(
    way: str, host: str, alice: Alice, cast: Cast, elsewhere: Api
) -> None:
    elsewhere.reset()
    alice.connect()
    target = f"http://{host}:{elsewhere.port}/collect"
    assert alice.call(way, f"elsewhere/?to={target}")["status"] == 401
    assert [r["authorization"] for r in elsewhere.requests("/collect")] == [""]
    assert cast.api.seen("/elsewhere/")[0]["token"] == stored().access_token
    assert cast.provider.refreshes == 0


@pytest.mark.slow
def test_threads_and_processes_that_meet_the_401_together_cause_one_refresh(
    alice: Alice, cast: Cast, threads: ThreadPoolExecutor
) -> None:
    cast.provider.expire(alice.connect().access_token)
    browsers = [alice.twin(cast.site(kind)) for kind in ("wsgi", "asgi")]
    cast.provider.control("hold")
    ways = ["session", "requests", "httpx2", "async_client", "async_httpx2"]
    calls = [threads.submit(browser.call, way) for browser in browsers for way in ways]
    wait_until(lambda: len(cast.api.seen("/read/")) == len(calls))
    wait_until(lambda: cast.provider.refreshes)
    cast.provider.control("release")
    assert [call.result()["status"] for call in calls] == [200] * len(calls)
    assert sorted(r["status"] for r in cast.api.seen()) == [200] * 10 + [401] * 10
    assert cast.provider.refreshes == 1


def test_who_comes_while_a_refresh_runs_goes_on_with_the_new_token(
    alice: Alice, cast: Cast, threads: ThreadPoolExecutor
) -> None:
    age(alice.connect(), EXPIRED)
    cast.provider.control("hold")
    first = threads.submit(alice.call, "session")
    wait_until(lambda: cast.provider.refreshes)
    later = [threads.submit(alice.call, way) for way in ("requests", "async_client")]
    assert alice.go("/aping/").status == 200
    assert not any(call.done() for call in (first, *later))
    cast.provider.control("release")
    assert [call.result()["status"] for call in (first, *later)] == [200] * 3
    assert {r["token"] for r in cast.api.seen()} == {stored().access_token}
    assert cast.provider.refreshes == 1


@pytest.mark.slow
def test_nobody_waits_while_the_token_lives(
    alice: Alice, cast: Cast, threads: ThreadPoolExecutor
) -> None:
    old = age(alice.connect(), STALE).access_token
    cast.provider.control("hold")
    first = threads.submit(alice.call, "session")
    wait_until(lambda: cast.provider.refreshes)
    assert alice.call("session")["status"] == alice.call("async_client")["status"] == 200
    assert [r["token"] for r in cast.api.seen()] == [old, old]
    cast.provider.control("release")
    assert first.result()["status"] == 200
    assert cast.provider.refreshes == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_waiting_is_bounded(
    kind: str, user: AbstractUser, cast: Cast, threads: ThreadPoolExecutor
) -> None:
    site = cast.start_site(kind, WAIT_TIMEOUT=1)
    try:
        alice = Alice(site, cast)
        age(alice.connect(), EXPIRED)
        cast.provider.control("hold")
        first = threads.submit(alice.call, "session")
        wait_until(lambda: cast.provider.refreshes)
        for path in ("/read/function/", "/read/async-function/", "/read/raised/"):
            answer = alice.session.get(
                site.url + path, headers={"Accept": "application/json"}, timeout=20
            )
            assert (answer.status_code, answer.json()["code"]) == (503, "refresh_timeout")
        cast.provider.control("release")
        assert first.result()["status"] == 200
        assert alice.call("session")["status"] == 200
        assert cast.provider.refreshes == 1
    finally:
        site.stop()


@pytest.mark.slow
def test_two_hundred_requests_cause_one_refresh_and_others_are_answered_meanwhile(
    user: AbstractUser, cast: Cast, threads: ThreadPoolExecutor
) -> None:
    site = cast.site("asgi")
    alice = Alice(site, cast)
    age(alice.connect(), EXPIRED)
    cast.provider.control("hold")
    doors = [
        "/acall/async_client/read/",
        "/acall/asession/read/",
        "/read/async-function/",
        "/read/async-class/",
    ]
    calls = [threads.submit(alice.twin(site).go, door) for door in doors * 50]
    wait_until(lambda: cast.provider.refreshes)
    for path in ("/ping/", "/aping/"):
        assert alice.go(path).status == 200
    assert not any(call.done() for call in calls)
    cast.provider.control("release")
    assert [call.result().status for call in calls] == [200] * 200
    assert {r["token"] for r in cast.api.seen()} == {stored().access_token}
    assert cast.provider.refreshes == 1


@pytest.mark.slow
def test_logging_out_revokes_at_the_provider(alice: Alice, cast: Cast) -> None:
    token = alice.connect()
    header = {"Authorization": f"Bearer {token.access_token}"}
    url = f"{cast.api.url}/read/"
    assert requests.get(url, headers=header, timeout=10).status_code == 200
    page = alice.go("/page/")
    assert alice.submit(page, page.form(action="/logout/")).url == f"{alice.url}/ping/"
    assert requests.get(url, headers=header, timeout=10).status_code == 401
    assert not OAuthToken.objects.exists()
