"""Codes and states in an operator's words."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

import oauth_tokens
from oauth_tokens import OAuthToken
from oauth_tokens.exceptions import REAUTHENTICATION_CODES
from oauth_tokens.models import ProviderCircuit
from oauth_tokens.words import ERRORS, TRIGGERS, next_step, state_for_user, state_of

PACKAGE = Path(oauth_tokens.__file__).parent
#: Told to developers and by the connect pages: no operator meets them in a token's row or history.
ELSEWHERE = {
    "connect_failed",
    "error",
    "insecure_url",
    "insufficient_scope",
    "invalid_scope",
    "overtaken",
    "url_not_allowed",
}


def codes_of_the_package() -> Iterator[str]:
    """What the package gives as ``code=`` to errors, answers and events."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.keyword(arg="code", value=value):
                    yield from _texts(value)
                case ast.Assign(targets=[ast.Name(id="default_code")], value=value):
                    yield from _texts(value)
                case ast.AnnAssign(target=ast.Name(id="default_code"), value=value):
                    yield from _texts(value)
                case ast.Call(func=ast.Name(id="TransportError"), args=[code, *_]):
                    yield from _texts(code)


def _texts(node: ast.AST | None) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value


def test_every_code_has_words() -> None:
    found = set(codes_of_the_package())
    assert {"response_too_large", "replaced", "refresh_failed", "database_locked"} <= found
    known = {*ERRORS, *TRIGGERS, *REAUTHENTICATION_CODES}
    assert sorted(found - known - ELSEWHERE) == []
    assert sorted(ELSEWHERE & known) == []


def row(**values: Any) -> Any:
    """A connection to "acme", refreshed ten minutes ago, as the admin reads it.

    Moments are given by their distance from now.
    """
    now = timezone.now()
    given = {"issued_at": minutes(-10), "expires_at": minutes(50), "refresh_at": minutes(45)}
    found: Any = OAuthToken(
        **{
            name: now + value if isinstance(value, timedelta) else value
            for name, value in {"provider": "acme", **given, **values}.items()
        }
    )
    found.renewable = values.get("encrypted_refresh_token", b"x") is not None
    return found


def minutes(number: float) -> timedelta:
    """A little more, so that this number is left when it is read."""
    return timedelta(minutes=number, seconds=30)


NO_MORE = {"encrypted_refresh_token": None}
LAPSED = {
    "attempt_id": "x",
    "attempt_started_at": minutes(-4),
    "attempt_expires_at": minutes(-3),
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "It will be refreshed in 45 minutes."),
        ({"refresh_at": None}, "It will be refreshed when it is needed."),
        ({"refresh_at": minutes(-2)}, "It is due: the next sweep refreshes it."),
        ({"failure_count": 2, "retry_at": minutes(4)}, "The next attempt is in 4 minutes."),
        (
            {"attempt_id": "x", "attempt_expires_at": minutes(0)},
            "It is being refreshed right now.",
        ),
        (LAPSED, "It is tried again in 50 minutes at the latest."),
        (
            {**LAPSED, "expires_at": minutes(-2), "refresh_at": minutes(-2)},
            "It is due: the next sweep refreshes it.",
        ),
        (NO_MORE, "It expires in 50 minutes and cannot be refreshed"),
        ({"refresh_token_expires_at": minutes(-2)}, "It expires in 50 minutes and cannot"),
        ({**NO_MORE, "expires_at": minutes(-2)}, "It has expired and cannot be refreshed"),
        ({**NO_MORE, "expires_at": None, "refresh_at": None}, "Nothing: it does not expire."),
        ({"provider": "elsewhere"}, "Nothing: the settings have no such provider."),
        ({"status": "reauth_required"}, "Waiting for the user to connect again."),
        ({"status": "revoking", "refresh_at": minutes(1)}, "is being told to revoke it."),
        (
            {"status": "revoking", "refresh_at": minutes(9), "failure_count": 3},
            "The revocation will be tried again in 9 minutes.",
        ),
        ({"status": "revoking", "refresh_at": minutes(-2)}, "revoke it with the next sweep."),
    ],
)
def test_what_happens_next(
    db: None, configure: Callable[..., None], values: dict[str, Any], words: str
) -> None:
    configure(PROVIDERS={"acme": {}})
    assert words in next_step(row(**values)).replace("\xa0", " ")


@pytest.mark.parametrize(
    ("values", "operator", "user"),
    [
        ({}, ("good", "connected"), ("good", "connected")),
        ({"failure_count": 1}, ("warn", "failing"), ("warn", "not answering")),
        (
            {**NO_MORE, "expires_at": minutes(-2), "failure_count": 1},
            ("bad", "expired"),
            ("bad", "reconnect needed"),
        ),
        (
            {"expires_at": minutes(-2), "refresh_token_expires_at": minutes(-2)},
            ("bad", "expired"),
            ("bad", "reconnect needed"),
        ),
        ({**NO_MORE, "expires_at": None}, ("good", "connected"), ("good", "connected")),
        ({"expires_at": minutes(-2)}, ("good", "connected"), ("good", "connected")),
        (
            {**NO_MORE, "status": "reauth_required", "expires_at": minutes(-2), "failure_count": 1},
            ("bad", "needs re-authentication"),
            ("bad", "reconnect needed"),
        ),
        (
            {**NO_MORE, "status": "revoking", "expires_at": minutes(-2), "failure_count": 1},
            ("warn", "being revoked"),
            ("warn", "being disconnected"),
        ),
    ],
)
def test_states_for_operators_and_users(
    values: dict[str, Any], operator: tuple[str, str], user: tuple[str, str]
) -> None:
    assert state_of(row(**values)) == operator
    assert state_for_user(row(**values)) == user


def test_since_when_a_token_needs_its_user(db: None) -> None:
    since = timezone.now() - timedelta(days=3, hours=1)
    text = next_step(row(status="reauth_required"), since).replace("\xa0", " ")
    assert text.endswith("connect again, for 3 days now.")


@pytest.mark.parametrize(
    ("operator", "words"),
    [(True, "until the settings of the provider are mended"), (False, "failing as a whole")],
)
def test_a_provider_that_is_not_asked(
    db: None, configure: Callable[..., None], operator: bool, words: str
) -> None:
    configure(PROVIDERS={"acme": {}})
    now = timezone.now()
    ProviderCircuit.objects.create(
        provider="acme",
        code="x",
        operator=operator,
        failure_count=10,
        opened_at=now,
        probe_at=now + timedelta(seconds=90),
    )
    text = next_step(row(refresh_at=minutes(0))).replace("\xa0", " ")
    assert words in text
    assert "asked again in 1 minute." in text
    # By the time that this one is due, the provider will have been asked.
    assert next_step(row()).startswith("It will be refreshed")
