"""Whatever the token endpoint answers: the row stays whole, time and memory are bounded."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken, TokenEvent, exceptions, transport
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age

pytestmark = pytest.mark.django_db(transaction=True)


class Bad(NamedTuple):
    """A bad answer and what it has to be taken for."""

    mode: str
    arguments: dict[str, Any]
    code: str
    #: Whether the provider may have rotated, so that a strict one must not be asked again.
    unknown: bool


NO_TOKEN = "invalid_token_response"
BAD = {
    "500": Bad("status", {"status": 500}, "http_500", True),
    "502 HTML": Bad("status", {"status": 502, "body": "<html></html>"}, "http_502", True),
    "503": Bad("status", {"status": 503}, "http_503", False),
    "504": Bad("status", {"status": 504}, "http_504", True),
    "408": Bad("status", {"status": 408}, "http_408", False),
    "425": Bad("status", {"status": 425}, "http_425", False),
    "429": Bad("status", {"status": 429, "headers": {"Retry-After": "120"}}, "http_429", False),
    "200 with error": Bad("status", {"status": 200, "body": {"error": "busy"}}, "busy", False),
    "200 HTML": Bad("status", {"status": 200, "body": "<html></html>"}, NO_TOKEN, True),
    "200 empty": Bad("status", {"status": 200, "body": {}}, NO_TOKEN, True),
    "200 list": Bad("status", {"status": 200, "body": []}, NO_TOKEN, True),
    "truncated JSON": Bad("truncated", {}, NO_TOKEN, True),
    "half a body": Bad("incomplete", {}, "connection_reset", True),
    "redirect": Bad("redirect", {}, "http_307", False),
    "permanent redirect": Bad("redirect", {"status": 301}, "http_301", False),
    "50 MB": Bad("huge", {}, "response_too_large", True),
    "hang": Bad("hang", {}, "read_timeout", True),
    "dripping head": Bad("drip_head", {}, "read_timeout", True),
    "dripping body": Bad("drip_body", {}, "read_timeout", True),
    "reset": Bad("reset", {}, "connection_reset", True),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_answer_is_classified_and_leaves_the_row_whole(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Any,
    received: list[tuple[str, dict[str, Any]]],
    bad: Bad,
) -> None:
    """Row 14."""
    configure(HTTP_TIMEOUT=1)
    before = OAuthToken.objects.get()
    provider.misbehave(bad.mode, **bad.arguments)
    age(token, STALE)
    start = time.monotonic()
    assert user.oauth_tokens.get_valid("acme").access_token == token.access_token
    assert time.monotonic() - start < 5
    age(token, EXPIRED)
    with pytest.raises(exceptions.RefreshFailed) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.code == bad.code
    assert caught.value.retry_after is not None
    wanted = 120 if bad.code == "http_429" else 30
    assert wanted - 5 < caught.value.retry_after < max(wanted, 38) + 1
    row = OAuthToken.objects.get()
    assert (row.status, row.version, row.failure_count) == ("active", 1, 1)
    for column in ("encrypted_access_token", "encrypted_refresh_token"):
        assert bytes(getattr(row, column)) == bytes(getattr(before, column))
    assert row.has_lapsed_claim is bad.unknown
    assert provider.refreshes == 1
    assert [name for name, _ in received] == ["refresh_failed"]
    assert received[0][1]["retryable"] is True
    assert list(TokenEvent.objects.values_list("code", flat=True)) == [bad.code, "created"]


@pytest.mark.parametrize("bad", ["503", "429", "200 with error", "redirect"])
def test_after_an_answer_that_rotated_nothing_the_next_attempt_refreshes(
    user: AbstractUser, token: OAuthToken, provider: Provider, bad: str
) -> None:
    """Row 14: the backoff over, all is well again."""
    provider.misbehave(BAD[bad].mode, times=1, **BAD[bad].arguments)
    age(token, EXPIRED)
    with pytest.raises(exceptions.RefreshFailed):
        user.oauth_tokens.get_valid("acme")
    OAuthToken.objects.update(retry_at=None)
    found = user.oauth_tokens.get_valid("acme")
    assert (found.version, found.failure_count, found.error_code) == (2, 0, "")
    assert provider.replays == 0


def test_a_huge_body_costs_little_memory(token: OAuthToken, provider: Provider) -> None:
    """Row 14."""
    provider.misbehave("huge", megabytes=50)
    tracemalloc.start()
    try:
        with pytest.raises(exceptions.RefreshFailed):
            token.refresh()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * transport.MAX_BODY


def test_a_client_that_is_not_known_to_the_redirects_target_sends_nothing_there(
    token: OAuthToken, provider: Provider
) -> None:
    """Row 14: a redirect would take client secret and refresh token to another place."""
    provider.misbehave("redirect", location=f"{provider.url}/revoke", status=308)
    with pytest.raises(exceptions.RefreshFailed):
        token.refresh()
    assert [record["kind"] for record in provider.requests()] == ["refresh_token"]


# Row 15

KEPT = {
    "absent": ({}, ["refresh_token"]),
    "null": ({"refresh_token": None}, []),
    "empty": ({"refresh_token": ""}, []),
    "blank": ({"refresh_token": "  "}, []),
    "a number": ({"refresh_token": 5}, []),
}


@pytest.mark.parametrize(("override", "omit"), KEPT.values(), ids=KEPT)
def test_an_answer_without_a_refresh_token_keeps_the_old_one(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    override: dict[str, Any],
    omit: list[str],
) -> None:
    """Row 15 (RFC 6749 section 6)."""
    provider.configure(rotation="none", override=override, omit=omit)
    for version in (2, 3):
        age(token, EXPIRED)
        found = user.oauth_tokens.get_valid("acme")
        assert found.version == version
        assert OAuthToken.objects.get().refresh_token == token.refresh_token
    assert provider.refreshes == 2


def test_an_unchanged_refresh_token(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 15."""
    provider.configure(rotation="none", override={"refresh_token": token.refresh_token})
    for version in (2, 3):
        age(token, EXPIRED)
        found = user.oauth_tokens.get_valid("acme")
        assert (found.version, found.refresh_token) == (version, token.refresh_token)


LIFETIMES = {
    "absent": (None, 3600),
    "text": ("3600", 3600),
    "a fraction": (3600.5, 3600.5),
    "text with a fraction": ("1800.0", 1800),
    "zero": (0, 3600),
    "negative": (-5, 3600),
    "empty": ("", 3600),
    "words": ("soon", 3600),
    "true": (True, 3600),
    "beyond all dates": (10**18, 100 * 365 * 86400),
}


@pytest.mark.parametrize(("value", "seconds"), LIFETIMES.values(), ids=LIFETIMES)
def test_the_expiry_is_sane_however_it_is_spelt(
    token: OAuthToken, provider: Provider, value: Any, seconds: float
) -> None:
    """Row 15: what is unusable counts as not said (``DEFAULT_EXPIRES_IN``)."""
    if value is None:
        provider.configure(omit=["expires_in"])
    else:
        provider.configure(override={"expires_in": value})
    token.refresh()
    row = OAuthToken.objects.get()
    assert row.expires_at is not None
    assert (row.expires_at - row.issued_at).total_seconds() == pytest.approx(seconds)
    assert row.version == 2
    assert not row.is_expired
    assert not row.needs_refresh
    assert str(row.refresh_token).startswith("rt-1-2-")


SCOPES = {
    "null": ({"scope": None}, {"email", "profile"}),
    "absent": ({}, {"email", "profile"}),
    "empty": ({"scope": ""}, {"email", "profile"}),
    "a list": ({"scope": ["files", "mail"]}, {"files", "mail"}),
    "fewer": ({"scope": "email"}, {"email"}),
}


@pytest.mark.parametrize(("override", "scopes"), SCOPES.values(), ids=SCOPES)
def test_the_scope_stays_unless_the_answer_says_otherwise(
    token: OAuthToken, provider: Provider, override: dict[str, Any], scopes: set[str]
) -> None:
    """Row 15 (RFC 6749 section 5.1)."""
    provider.configure(override=override, omit=[] if override else ["scope"])
    token.refresh()
    row = OAuthToken.objects.get()
    assert row.scopes == scopes
    assert row.refresh_token is not None
    assert row.refresh_token.startswith("rt-1-2-")


def test_unknown_keys_are_let_be(token: OAuthToken, provider: Provider) -> None:
    """Row 15."""
    odd = {"x": {"y": [1, None]}, "": "", "error": None, "errors": [], "ok": True, "id": 10**30}
    provider.configure(override=odd)
    token.refresh()
    row = OAuthToken.objects.get()
    assert (row.version, row.status, row.extra) == (2, "active", {})
