"""Opaque tokens and id_tokens of django-oauth-toolkit, and introspection endpoints that err."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from oauth_tokens import jwks
from oauth_tokens.bearer import BearerError, Validator
from oauth_tokens.bearer.introspection import MAX_ANSWERS, RETRY_AFTER
from tests.support import jwt_fixtures
from tests.support.jwt_server import AUDIENCE, Issuer
from tests.support.processes import wait_until
from tests.support.servers import free_port
from tests.support.toolkit_server import API, CLIENT, Toolkit

issuer_process, issuer = jwt_fixtures.issuer_process, jwt_fixtures.issuer


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Toolkit]:
    server = Toolkit()
    yield server
    server.stop()


def asking(toolkit: Toolkit, **options: Any) -> Validator:
    endpoint = toolkit.introspection_endpoint
    usual = {"introspection_endpoint": endpoint, "client_id": API[0], "client_secret": API[1]}
    return Validator(**{**usual, **options})


def refused(validator: Validator, token: str) -> BearerError:
    with pytest.raises(BearerError) as caught:
        validator.check(token)
    assert token not in f"{caught.value!r} {caught.value.body} {caught.value.headers('api')}"
    return caught.value


def test_an_opaque_token_until_it_is_revoked(toolkit: Toolkit) -> None:
    validator = asking(toolkit)
    token = toolkit.tokens("read write")["access_token"]
    bearer = validator.check(token)
    assert bearer.scopes == {"read", "write"}
    assert bearer.client_id == CLIENT[0]
    assert bearer.claims["username"] == "alice"
    assert bearer.expires_at is not None
    toolkit.revoke(token)
    assert refused(validator, token).body == {
        "error": "invalid_token",
        "error_description": "The token is not active.",
    }


def test_a_made_up_token(toolkit: Toolkit) -> None:
    assert refused(asking(toolkit), "made-up").error == "invalid_token"


def test_a_refresh_token_is_no_access_token(toolkit: Toolkit) -> None:
    assert refused(asking(toolkit), toolkit.tokens()["refresh_token"]).error == "invalid_token"


def test_the_api_s_own_secret_is_wrong(toolkit: Toolkit, caplog: pytest.LogCaptureFixture) -> None:
    token = toolkit.tokens()["access_token"]
    error = refused(asking(toolkit, client_secret="wrong secret"), token)
    assert (error.status, error.retry_after) == (503, 5)
    assert "client_secret" in caplog.text
    assert "wrong secret" not in caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize("audience", [AUDIENCE, CLIENT[0]])
def test_an_id_token_is_no_access_token(toolkit: Toolkit, audience: str) -> None:
    jwks.forget_all()
    id_token = toolkit.tokens()["id_token"]
    header, claims = jwks.verify(
        id_token, lambda kid: jwks.find_keys(toolkit.jwks_uri, kid, timeout=5), algorithms=["RS256"]
    )
    assert (header["typ"], claims["aud"]) == ("JWT", CLIENT[0])
    for options in ({}, {"jwks_uri": toolkit.jwks_uri}):
        validator = Validator(issuer=toolkit.issuer, audience=audience, **options)
        assert "not an access token" in str(refused(validator, id_token))


def test_jwts_of_one_issuer_and_opaque_tokens(toolkit: Toolkit, issuer: Issuer) -> None:
    validator = asking(toolkit, issuer=issuer.url, audience=AUDIENCE, jwks_uri=issuer.jwks_uri)
    assert validator.check(issuer.token()).subject == "reporter"
    assert validator.check(toolkit.tokens()["access_token"]).client_id == CLIENT[0]
    assert issuer.requests("introspect") == []


# Whatever an introspection endpoint may answer


def telling(issuer: Issuer, **options: Any) -> Validator:
    usual = {
        "introspection_endpoint": f"{issuer.url}/introspect",
        "client_id": "an api",
        "client_secret": "a:b c%",
        "issuer": issuer.url,
        "audience": AUDIENCE,
        "timeout": 1,
    }
    return Validator(**{**usual, **options})


def test_what_is_asked(issuer: Issuer) -> None:
    issuer.introspect(active=True, sub="alice", scope="read", aud=[AUDIENCE], iss=issuer.url)
    bearer = telling(issuer).check("opaque")
    assert (bearer.subject, bearer.scopes, bearer.expires_at) == ("alice", {"read"}, None)
    (record,) = issuer.requests("introspect")
    assert record["form"] == {"token": "opaque", "token_type_hint": "access_token"}
    credentials = base64.b64decode(record["headers"]["Authorization"].removeprefix("Basic "))
    assert credentials == b"an+api:a%3Ab+c%25"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"active": False, "sub": "alice"}, "not active"),
        ({"active": True, "aud": "https://other.example"}, "audience"),
        ({"active": True, "iss": "https://other.example"}, "issuer"),
        ({"active": True, "exp": 1_000_000_000}, "expired"),
        ({"active": True, "nbf": 4_000_000_000}, "not valid yet"),
        ({"active": True, "token_type": "DPoP"}, "bearer"),
        ({"active": True, "token_use": "refresh_token"}, "access token"),
        ({"active": True, "typ": "Refresh"}, "access token"),
        ({"active": True, "cnf": {"jkt": "x"}}, "bound"),
        ({"active": True, "exp": "soon"}, "exp"),
        ({"active": True, "sub": 42, "username": "alice"}, "subject"),
    ],
)
def test_tokens_that_are_not_valid_here(issuer: Issuer, answer: dict[str, Any], words: str) -> None:
    issuer.introspect(**answer)
    error = refused(telling(issuer, introspection_cache=60), "opaque")
    assert error.error == "invalid_token"
    assert words in str(error)


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        ("hang", {}),
        ("drip_body", {}),
        ("huge", {}),
        ("reset", {}),
        ("redirect", {}),
        ("status", {"status": 500}),
        ("status", {"status": 401, "body": {"active": True}}),
        ("status", {"status": 200, "body": "<html>"}),
        ("status", {"status": 200, "body": {}}),
        ("status", {"status": 200, "body": {"active": "true"}}),
        ("status", {"status": 200, "body": [{"active": True}]}),
        ("status", {"status": 200, "body": "[" * 50000, "content_type": "application/json"}),
    ],
)
def test_nothing_is_known_of_a_token_while_the_endpoint_errs(
    issuer: Issuer, mode: str, arguments: dict[str, Any]
) -> None:
    issuer.misbehave("introspect", mode, **arguments)
    error = refused(telling(issuer, timeout=0.3), "opaque")
    assert error.status == 503
    assert error.headers("api") == {"Cache-Control": "no-store", "Retry-After": "5"}


def test_an_endpoint_that_hangs_is_left_alone_for_a_while(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    clock = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + passed)
    monkeypatch.setattr("oauth_tokens.bearer.introspection.time", clock)
    validator = telling(issuer, timeout=0.3)
    issuer.misbehave("introspect", "hang")
    for token in ("first", "second", "third"):
        error = refused(validator, token)
        assert (error.status, error.retry_after) == (503, RETRY_AFTER)
    assert len(issuer.requests("introspect")) == 1
    passed += RETRY_AFTER
    refused(validator, "first")
    refused(validator, "second")
    assert len(issuer.requests("introspect")) == 2
    issuer.reset()
    issuer.introspect(active=True)
    passed += RETRY_AFTER
    for _ in range(2):
        validator.check("opaque")
    assert len(issuer.requests("introspect")) == 2


def test_after_the_pause_one_asks(issuer: Issuer) -> None:
    issuer.misbehave("introspect", "hang")
    validator = telling(issuer, timeout=1)
    introspection: Any = validator._introspection
    introspection._paused_until = time.monotonic()
    probing = threading.Thread(target=refused, args=(validator, "first"))
    probing.start()
    wait_until(lambda: len(issuer.requests("introspect")) == 1)
    refused(validator, "second")
    assert probing.is_alive()
    probing.join()
    assert len(issuer.requests("introspect")) == 1


def test_nobody_is_asked_about_a_huge_token(issuer: Issuer) -> None:
    issuer.introspect(active=True)
    assert "too long" in str(refused(telling(issuer), "x" * 16385))
    assert issuer.requests("introspect") == []


def test_nobody_listens(issuer: Issuer) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}/introspect"
    assert refused(telling(issuer, introspection_endpoint=endpoint), "opaque").status == 503


def test_answers_are_used_again_where_wanted(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    issuer.introspect(active=True, exp=int(now) + 20)
    validator = telling(issuer, introspection_cache=30)
    for _ in range(3):
        assert validator.check("opaque").expires_at is not None
    assert len(issuer.requests("introspect")) == 1
    validator.check("another")
    assert len(issuer.requests("introspect")) == 2
    now += 21
    # Leeway is for clocks that differ; the issuer's own has the last word.
    issuer.introspect(active=False)
    assert refused(validator, "opaque").error == "invalid_token"


def test_answers_are_not_used_again_otherwise(issuer: Issuer) -> None:
    issuer.introspect(active=True)
    validator, keeping = telling(issuer), telling(issuer, introspection_cache=60)
    for _ in range(2):
        validator.check("opaque")
    issuer.introspect(active=False)
    for _ in range(2):
        refused(keeping, "opaque")
    assert len(issuer.requests("introspect")) == 4


def test_what_is_kept_is_bounded_and_holds_no_token(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_tokens.bearer.introspection.MAX_ANSWERS", 5)
    assert MAX_ANSWERS > 5
    issuer.introspect(active=True)
    validator = telling(issuer, introspection_cache=60)
    for number in range(20):
        validator.check(f"opaque-{number}")
    kept = validator._introspection._answers  # type: ignore[union-attr]
    assert 0 < len(kept) <= 5
    assert "opaque" not in repr(kept)
