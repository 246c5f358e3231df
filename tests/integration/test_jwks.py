"""Key sets over HTTP: fetched rarely, renewed when keys change, served while the issuer fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from oauth_tokens import jwks
from oauth_tokens.jwks import InvalidJWT, KeysUnavailable
from tests.support import jwt_fixtures
from tests.support.jwt_server import Issuer
from tests.support.processes import wait_until
from tests.support.servers import free_port

issuer_process, issuer = jwt_fixtures.issuer_process, jwt_fixtures.issuer
Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let so many seconds pass for what is kept."""
    passed = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + passed

    def change(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(jwks, "time", Clock)
    return change


def verify(issuer: Issuer, token: str, timeout: float = 5) -> str:
    find = partial(jwks.find_keys, issuer.jwks_uri, timeout=timeout)
    subject: str = jwks.verify(token, find, algorithms=["RS256"])[1]["sub"]
    return subject


def fetches(issuer: Issuer) -> int:
    return len(issuer.requests("jwks"))


def test_keys_are_fetched_once(issuer: Issuer, later: Later) -> None:
    tokens = [issuer.token() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(partial(verify, issuer), tokens)) == {"reporter"}
    assert fetches(issuer) == 1
    assert issuer.requests("jwks")[0]["headers"]["Accept-Encoding"] == "identity"
    later(jwks.FRESH_FOR + 1)
    assert verify(issuer, tokens[0]) == "reporter"
    assert fetches(issuer) == 2


def test_a_new_key_is_found_and_an_old_one_forgotten(issuer: Issuer, later: Later) -> None:
    old = issuer.token()
    verify(issuer, old)
    issuer.rotate()
    later(jwks.ATTEMPT_EVERY)
    assert verify(issuer, issuer.token()) == "reporter"
    with pytest.raises(InvalidJWT, match="does not have"):
        verify(issuer, old)
    assert fetches(issuer) == 2


KIDS = [
    *(f"unknown-{number}" for number in range(200)),
    *("../../etc/passwd", "x' OR '1'='1", "http://127.0.0.1:1/key", "a" * 5000, "\r\nX: y", ""),
]


def test_a_flood_of_unknown_kids(issuer: Issuer, later: Later) -> None:
    verify(issuer, issuer.token())
    later(jwks.ATTEMPT_EVERY)
    find = partial(jwks.find_keys, issuer.jwks_uri, timeout=5)

    def outcome(kid: str) -> object:
        try:
            return find(kid)
        except KeysUnavailable as error:  # another thread asks at this moment
            return error.retry_after

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(outcome, KIDS)) <= {(), 1.0}
    assert fetches(issuer) == 2
    issuer.rotate()
    later(jwks.ATTEMPT_EVERY)
    assert find("unknown again") == ()  # the flood goes on, and it is what fetches the new key
    assert verify(issuer, issuer.token()) == "reporter"
    assert fetches(issuer) == 3


@pytest.mark.parametrize(
    ("mode", "arguments", "code"),
    [
        ("hang", {}, "read_timeout"),
        ("drip_head", {}, "read_timeout"),
        ("drip_body", {}, "read_timeout"),
        ("huge", {}, "response_too_large"),
        ("reset", {}, "connection_reset"),
        ("status", {"status": 500}, "http_500"),
        ("redirect", {"location": "/.well-known/openid-configuration"}, "http_307"),
        ("status", {"status": 200, "body": "<html>"}, "no_usable_key"),
        ("status", {"status": 200, "body": "[" * 50000}, "no_usable_key"),
        ("status", {"status": 200, "body": ["keys"]}, "no_usable_key"),
        ("status", {"status": 200, "body": {"keys": [{"kty": "oct", "k": "x"}]}}, "no_usable_key"),
    ],
)
def test_an_issuer_that_fails(
    issuer: Issuer, later: Later, mode: str, arguments: dict[str, object], code: str
) -> None:
    token = issuer.token()
    issuer.misbehave("jwks", mode, **arguments)
    for _ in range(3):
        with pytest.raises(KeysUnavailable) as caught:
            verify(issuer, token, timeout=0.4)
        assert caught.value.code == code
        assert 1 <= caught.value.retry_after <= jwks.ATTEMPT_EVERY
    assert fetches(issuer) == 1
    issuer.reset()
    later(jwks.ATTEMPT_EVERY)
    assert verify(issuer, token) == "reporter"


def test_the_last_known_keys_serve_while_the_issuer_fails(issuer: Issuer, later: Later) -> None:
    token = issuer.token()
    verify(issuer, token)
    issuer.misbehave("jwks", "status", status=503)
    later(jwks.FRESH_FOR + 1)
    for _ in range(5):
        assert verify(issuer, token) == "reporter"
    assert fetches(issuer) == 2
    # Whether a key is new cannot be said now.
    with pytest.raises(KeysUnavailable):
        jwks.find_keys(issuer.jwks_uri, "new", timeout=1)
    later(jwks.KEEP_FOR)
    with pytest.raises(KeysUnavailable, match="http_503"):
        verify(issuer, token)


def test_nobody_who_has_a_key_waits_for_an_issuer_that_hangs(issuer: Issuer, later: Later) -> None:
    token = issuer.token()
    verify(issuer, token)
    issuer.misbehave("jwks", "hang")
    later(jwks.FRESH_FOR + 1)
    renewing = threading.Thread(target=verify, args=(issuer, token, 2))
    renewing.start()
    wait_until(lambda: fetches(issuer) == 2)
    assert verify(issuer, token, timeout=60) == "reporter"
    # Nor does one with an unknown key: it may be forged, and there may be many.
    with pytest.raises(KeysUnavailable, match="timeout") as caught:
        jwks.find_keys(issuer.jwks_uri, "new", timeout=60)
    assert caught.value.retry_after == 1
    assert renewing.is_alive()
    issuer.reset()
    renewing.join()


def test_nobody_listens() -> None:
    with pytest.raises(KeysUnavailable, match="connection_failed"):
        jwks.find_keys(f"http://127.0.0.1:{free_port()}/jwks.json", "a", timeout=5)


@pytest.mark.parametrize(
    "uri", ["http://id.example/jwks.json", "file:///etc/passwd", "", "ftp://x"]
)
def test_keys_are_not_fetched_in_the_open(uri: str) -> None:
    with pytest.raises(ValueError, match="https"):
        jwks.find_keys(uri, timeout=5)
    with pytest.raises(ValueError, match="https"):
        jwks.find_jwks_uri(uri, timeout=5)


def test_the_metadata_of_the_issuer(issuer: Issuer) -> None:
    for _ in range(3):
        assert jwks.find_jwks_uri(issuer.url, timeout=5) == issuer.jwks_uri
    assert len(issuer.requests("metadata")) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"issuer": "http://127.0.0.1:1"}, "issuer_mismatch"),
        ({"jwks_uri": "http://id.example/jwks.json"}, "insecure_endpoint"),
        ({"jwks_uri": None}, "no_jwks_uri"),
        ({"jwks_uri": ""}, "no_jwks_uri"),
        ("[" * 60000, "issuer_mismatch"),
    ],
)
def test_metadata_that_cannot_be_used(
    issuer: Issuer, body: dict[str, object] | str, code: str
) -> None:
    usual = {"issuer": issuer.url, "jwks_uri": issuer.jwks_uri}
    whole = body if isinstance(body, str) else {**usual, **body}
    issuer.misbehave("metadata", "status", status=200, body=whole)
    with pytest.raises(KeysUnavailable, match=code):
        jwks.find_jwks_uri(issuer.url, timeout=5)


def test_what_is_kept_is_bounded(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "MAX_DOCUMENTS", 3)
    for number in range(10):
        jwks.find_jwks_uri(issuer.url, timeout=5)
        with pytest.raises(KeysUnavailable, match="http_404"):
            jwks.find_keys(f"{issuer.url}/{number}", timeout=5)
    assert len(jwks._documents) == 3


def test_what_is_in_use_is_kept(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issuers that callers choose, tenants say, must not drive out the one that all need."""
    monkeypatch.setattr(jwks, "MAX_DOCUMENTS", 3)
    token = issuer.token()
    for number in range(5):
        verify(issuer, token)
        with pytest.raises(KeysUnavailable):
            jwks.find_keys(f"{issuer.url}/{number}", timeout=5)
    assert fetches(issuer) == 1
