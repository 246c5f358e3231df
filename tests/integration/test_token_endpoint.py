"""What the other tests rely on: the authorization server rotates, revokes and fails as told."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
import requests

from tests.support.provider import Provider
from tests.support.token_endpoint import CLIENT_ID, CLIENT_SECRET


def refresh(
    provider: Provider, refresh_token: str, *, timeout: float = 2, **options: Any
) -> requests.Response:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    options = {"auth": (CLIENT_ID, CLIENT_SECRET), "allow_redirects": False, **options}
    return requests.post(f"{provider.url}/token", form, timeout=timeout, **options)


def test_a_strict_provider_revokes_the_family_when_a_refresh_token_is_replayed(
    provider: Provider,
) -> None:
    first = provider.issue()["refresh_token"]
    second = refresh(provider, first).json()["refresh_token"]
    assert second != first
    assert refresh(provider, first).json() == {"error": "invalid_grant"}
    assert provider.replays == 1
    assert refresh(provider, second).json() == {"error": "invalid_grant"}
    assert provider.refreshes == 3


def test_a_grace_window_accepts_the_earlier_token_for_a_while(provider: Provider) -> None:
    provider.configure(rotation="grace", grace=0.3)
    first = provider.issue()["refresh_token"]
    assert refresh(provider, first).status_code == 200
    assert refresh(provider, first).status_code == 200
    time.sleep(0.35)
    assert refresh(provider, first).status_code == 400


def test_without_rotation_the_refresh_token_stays(provider: Provider) -> None:
    provider.configure(rotation="none")
    first = provider.issue()["refresh_token"]
    assert refresh(provider, first).json()["refresh_token"] == first


def test_an_unknown_client_is_turned_away(provider: Provider) -> None:
    answer = refresh(provider, provider.issue()["refresh_token"], auth=("client", "wrong"))
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})


def test_userinfo_ends_with_expiry_and_revocation(provider: Provider) -> None:
    def userinfo(tokens: dict[str, Any]) -> int:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return requests.get(f"{provider.url}/userinfo", headers=headers, timeout=2).status_code

    tokens = provider.issue()
    assert userinfo(tokens) == 200
    form = {"token": tokens["refresh_token"]}
    requests.post(f"{provider.url}/revoke", form, auth=(CLIENT_ID, CLIENT_SECRET), timeout=2)
    assert userinfo(tokens) == 401
    provider.configure(expires_in=0)
    assert userinfo(provider.issue()) == 401


@pytest.mark.parametrize("mode", ["hang", "reset", "incomplete"])
def test_answers_that_never_arrive(provider: Provider, mode: str) -> None:
    token = provider.issue()["refresh_token"]
    provider.misbehave(mode, times=1)
    with pytest.raises(requests.RequestException):
        refresh(provider, token, timeout=0.5)
    assert refresh(provider, token).status_code == 200  # was not processed the first time


@pytest.mark.parametrize("mode", ["drip_head", "drip_body"])
def test_answers_that_drip(provider: Provider, mode: str) -> None:
    provider.misbehave(mode, kinds=["userinfo"], interval=0.05)
    with socket.create_connection(("127.0.0.1", provider.port), timeout=0.5) as connection:
        connection.sendall(b"GET /userinfo HTTP/1.1\r\nHost: x\r\n\r\n")
        start = time.monotonic()
        received = b""
        while time.monotonic() - start < 0.6:
            received += connection.recv(1000)
    assert 4 <= len(received) - len(received.rstrip(b"x")) <= 20


def test_an_answer_can_be_lost_after_the_token_was_rotated(provider: Provider) -> None:
    token = provider.issue()["refresh_token"]
    provider.misbehave("reset", after_processing=True, times=1)
    with pytest.raises(requests.ConnectionError):
        refresh(provider, token)
    assert refresh(provider, token).json() == {"error": "invalid_grant"}
    assert provider.replays == 1


@pytest.mark.parametrize(
    ("mode", "arguments", "status", "length"),
    [
        ("status", {"status": 429, "headers": {"Retry-After": "7"}}, 429, 0),
        ("status", {"status": 502, "body": "<html>"}, 502, 6),
        ("status", {"status": 200, "body": {"error": "x"}}, 200, 14),
        ("truncated", {}, 200, 39),
        ("redirect", {}, 307, 0),
        ("huge", {"megabytes": 2}, 200, 2 * 1024 * 1024 + 19),
    ],
)
def test_answers_of_the_wrong_kind(
    provider: Provider, mode: str, arguments: dict[str, Any], status: int, length: int
) -> None:
    provider.misbehave(mode, **arguments)
    answer = refresh(provider, "rt")
    assert (answer.status_code, len(answer.content)) == (status, length)
