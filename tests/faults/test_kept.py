"""A token set that the database would not take is restored before anything else is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.management import call_command
from django.db import OperationalError, connection

from oauth_tokens import OAuthToken, locks, rescue, transport
from oauth_tokens.conf import get_settings
from oauth_tokens.encryption import generate_key
from oauth_tokens.providers.registry import resolve_provider
from oauth_tokens.refresh import attempt, protocol
from oauth_tokens.refresh.row import Need
from tests.support.processes import wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age, forget_claim, kept

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def nothing_saved(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Within it, the database takes no refreshed token set."""

    def failing(*args: Any) -> None:
        raise OperationalError("the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr(OAuthToken, "save_refreshed", failing)
        patch.setattr(attempt, "SAVE_PAUSES", ())
        yield patch


def test_what_is_kept_under_a_missing_key_is_not_passed_over(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To go on with the old refresh token would end the grant."""
    age(token, EXPIRED)
    old, new = get_settings().ENCRYPTION_KEYS, generate_key()
    with nothing_saved(monkeypatch):
        rotated = user.oauth_tokens.get_valid("acme").access_token
    configure(ENCRYPTION_KEYS=[new, *old])
    call_command("oauth_tokens_rotate_keys", no_progress=True)
    configure(ENCRYPTION_KEYS=[new])
    assert user.oauth_tokens.get_valid("acme").access_token == rotated
    assert (provider.refreshes, provider.replays) == (1, 0)


@pytest.mark.parametrize("kept_in", ["redis", "file", "memory"])
def test_what_is_kept_comes_first_also_where_no_claim_is_left(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kept_in: str,
) -> None:
    """Row 5, and then a failover to a database that has not seen the claim."""
    configure(RESCUE_DIR=str(tmp_path) if kept_in == "file" else "")
    age(token, EXPIRED)
    with nothing_saved(monkeypatch) as patch:
        if kept_in != "redis":
            patch.setattr(locks, "keep", lambda *_: False)
        rotated = user.oauth_tokens.get_valid("acme").access_token
    forget_claim()
    assert user.oauth_tokens.get_valid("acme").access_token == rotated
    row = OAuthToken.objects.get()
    assert (row.version, row.attempt_id, row.retry_at) == (2, None, None)
    assert (provider.refreshes, provider.replays) == (1, 0)


def answered_elsewhere(row: OAuthToken, provider: Provider) -> str:
    """Another process has rotated the refresh token, and could save the answer in Redis alone; the
    database has forgotten its claim. Returns the new access token."""
    description = resolve_provider("acme", client_id=row.client_id)
    request = description.refresh_request(refresh_token=row.refresh_token or "")
    token_set = description.classify(transport.send(request, timeout=5)).token_set
    assert token_set is not None
    assert rescue.keep(row.key, kept(row, token_set))
    return token_set.access_token


def test_what_is_kept_is_restored_also_where_the_provider_may_not_be_asked(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    access_token = answered_elsewhere(OAuthToken.objects.get(), provider)
    token.circuit.failed("invalid_client", operator=True)
    assert user.oauth_tokens.get_valid("acme").access_token == access_token
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_what_is_kept_and_cannot_be_read_keeps_nobody_waiting(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    assert locks.keep(token.key, b"garbage", 60)
    assert user.oauth_tokens.get_valid("acme").version == 2
    assert (provider.refreshes, provider.replays) == (1, 0)


def test_who_holds_the_lock_may_have_an_answer_though_no_claim_says_so(
    token: OAuthToken, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries to save, while a failover has made the database forget who refreshes."""
    age(token, EXPIRED)
    save = OAuthToken.save_refreshed
    found: dict[str, str] = {}

    def failing(row: OAuthToken, *args: Any) -> bool:
        if threading.current_thread().name == "first":
            raise OperationalError("the database is gone")
        return save(row, *args)

    def refresh(name: str) -> None:
        row = OAuthToken.objects.get()
        # As in processes of their own, which share no flight.
        protocol._refresh_or_wait(row, Need("lazy", min_ttl=row.leeway), time.monotonic() + 10)
        found[name] = row.access_token
        connection.close()

    monkeypatch.setattr(OAuthToken, "save_refreshed", failing)
    first, second = (
        threading.Thread(target=refresh, args=(name,), name=name) for name in ("first", "second")
    )
    first.start()
    wait_until(lambda: provider.refreshes)
    forget_claim()
    second.start()
    first.join()
    second.join()
    assert (provider.refreshes, provider.replays) == (1, 0)
    assert found["first"] == found["second"]
