"""Processes that die or stand still in the middle of a refresh."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser

from oauth_tokens import OAuthToken, TokenEvent, exceptions, upkeep
from oauth_tokens.reader import read_rows
from tests.support.fault_callers import Caller, until_processed
from tests.support.processes import wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, STALE, age

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_leases")]

Start = Callable[..., Caller]


def lease_has_lapsed() -> bool:
    return read_rows(OAuthToken, "default", {"provider": "acme"})[0].has_lapsed_claim


def history() -> list[str]:
    return list(TokenEvent.objects.order_by("pk").values_list("kind", flat=True))


# Row 4


def stopped_until_another_has_refreshed(
    late: Caller, user: AbstractUser, provider: Provider
) -> OAuthToken:
    """SIGSTOP ``late``, let its lease lapse and another refresh; then SIGCONT."""
    late.stop()
    wait_until(lease_has_lapsed)
    provider.configure(answer_latency=0)
    found: OAuthToken = user.oauth_tokens.get_valid("acme")
    late.resume()
    return found


def the_newer_stands_and_the_late_one_is_spare(newer: OAuthToken, result: dict[str, Any]) -> None:
    row = OAuthToken.objects.get()
    assert (row.version, row.status, row.refresh_token) == (2, "active", newer.refresh_token)
    assert result["token"] == row.access_token == newer.access_token
    spare = row._open("encrypted_spare_refresh_token")
    assert spare.startswith("rt-1-2-")
    assert newer.refresh_token is not None
    assert newer.refresh_token.startswith("rt-1-3-")
    assert history() == ["stored", "refreshed", "spare_kept"]


@pytest.mark.usefixtures("grace")
@pytest.mark.parametrize("padding", [0, 60_000], ids=["short answer", "long answer"])
def test_stopped_while_the_answer_is_on_its_way(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start, padding: int
) -> None:
    """Row 4. The answer waits in the kernel, a long one in several pieces, until after the end of
    the deadline."""
    late = callers()
    age(token, EXPIRED)
    provider.configure(answer_latency=0.5, override={"padding": "x" * padding})
    late.go_on()
    until_processed(provider)
    newer = stopped_until_another_has_refreshed(late, user, provider)
    the_newer_stands_and_the_late_one_is_spare(newer, late.result())
    assert (provider.refreshes, provider.replays) == (2, 0)


@pytest.mark.usefixtures("grace")
def test_stopped_before_the_save(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start
) -> None:
    """Row 4."""
    late = callers("answered")
    age(token, EXPIRED)
    late.reach()
    newer = stopped_until_another_has_refreshed(late, user, provider)
    late.go_on()
    the_newer_stands_and_the_late_one_is_spare(newer, late.result())
    assert (provider.refreshes, provider.replays) == (2, 0)


@pytest.mark.usefixtures("grace")
def test_the_spare_is_tried_before_the_user_is_asked(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start
) -> None:
    """Row 4: what the spare is for."""
    late = callers("answered")
    age(token, EXPIRED)
    late.reach()
    stopped_until_another_has_refreshed(late, user, provider)
    late.go_on()
    late.result()
    age(token, EXPIRED)
    provider.misbehave("status", times=1, status=400, body={"error": "invalid_grant"})
    assert user.oauth_tokens.get_valid("acme").version == 3
    assert history()[-2:] == ["spare_used", "refreshed"]


@pytest.mark.parametrize("rotation", ["none", "grace", "strict"])
def test_stopped_before_it_sent(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    configure: Any,
    rotation: str,
) -> None:
    """Row 4: it sends nothing once its lease is over, and is served what the other one got."""
    provider.configure(rotation=rotation, grace=30)
    configure(acme={"refresh_token_rotation": rotation, "rotation_grace": 30})
    late = callers("claimed")
    age(token, EXPIRED)
    late.reach()
    newer = stopped_until_another_has_refreshed(late, user, provider)
    late.go_on()
    assert late.result()["token"] == newer.access_token == OAuthToken.objects.get().access_token
    assert (provider.refreshes, provider.replays) == (1, 0)
    assert history() == ["stored", "refreshed"]


# Rows 6 to 8


def killed(caller: Caller) -> None:
    caller.reach()
    caller.kill()


@pytest.mark.parametrize("rotation", ["none", "grace", "strict"])
def test_killed_before_it_sent(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    configure: Any,
    rotation: str,
) -> None:
    """Row 6."""
    provider.configure(rotation=rotation, grace=30)
    configure(acme={"refresh_token_rotation": rotation, "rotation_grace": 30})
    age(token, EXPIRED)
    killed(callers("claimed"))
    assert provider.refreshes == 0
    found = user.oauth_tokens.get_valid("acme")
    assert found.access_token != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)
    assert history() == ["stored", "refreshed"]
    assert found.attempt_id is None


def test_killed_before_it_sent_while_the_token_lives(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start
) -> None:
    """Row 6, strict provider: whether it was sent is not known, so the living token serves."""
    age(token, STALE)
    killed(callers("claimed"))
    wait_until(lease_has_lapsed)
    assert user.oauth_tokens.get_valid("acme").access_token == token.access_token
    assert provider.refreshes == 0
    age(token, EXPIRED)
    assert user.oauth_tokens.get_valid("acme").access_token != token.access_token
    assert (provider.refreshes, provider.replays) == (1, 0)
    assert history() == ["stored", "refreshed"]


@pytest.mark.usefixtures("grace")
@pytest.mark.parametrize("seconds_left", [STALE, EXPIRED])
def test_killed_after_rotation_within_the_grace_window(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start, seconds_left: float
) -> None:
    """Row 7."""
    age(token, seconds_left)
    killed(callers("answered"))
    wait_until(lease_has_lapsed)
    found = user.oauth_tokens.get_valid("acme")
    assert found.access_token != token.access_token
    assert (found.version, found.status) == (2, "active")
    assert (provider.refreshes, provider.replays) == (2, 0)
    assert history() == ["stored", "refreshed"]


@pytest.mark.usefixtures("grace")
def test_the_sweep_looks_after_what_a_killed_process_left(
    token: OAuthToken, provider: Provider, callers: Start
) -> None:
    """Row 7: without any caller, too."""
    age(token, STALE)
    killed(callers("answered"))
    wait_until(lease_has_lapsed)
    results: list[str] = []
    wait_until(lambda: upkeep.dispatch_due(lambda pk, v: results.append(upkeep.refresh_one(pk, v))))
    assert results == ["refreshed"]
    assert (provider.refreshes, provider.replays) == (2, 0)


@pytest.mark.usefixtures("grace")
def test_an_answer_lost_on_the_way_is_asked_for_again_within_the_grace_window(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 7 without a crash: the connection breaks after the provider has rotated."""
    provider.misbehave("reset", after_processing=True, times=1)
    age(token, EXPIRED)
    with pytest.raises(exceptions.RefreshFailed) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.retry_after is not None
    assert caught.value.retry_after < 30, "after that the provider would see a replay"
    OAuthToken.objects.update(retry_at=None)
    assert user.oauth_tokens.get_valid("acme").version == 2
    assert (provider.refreshes, provider.replays) == (2, 0)


def test_killed_after_rotation_at_a_strict_provider(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    received: list[tuple[str, dict[str, Any]]],
) -> None:
    """Row 8."""
    age(token, STALE)
    killed(callers("answered"))
    wait_until(lease_has_lapsed)
    for _ in range(3):
        assert user.oauth_tokens.get_valid("acme").access_token == token.access_token
        assert upkeep.refresh_one(token.pk, token.version) == "outcome_unknown"
    assert provider.refreshes == 1
    age(token, EXPIRED)
    for _ in range(3):
        with pytest.raises(exceptions.ReauthenticationRequired) as caught:
            user.oauth_tokens.get_valid("acme")
        assert caught.value.code == "outcome_unknown"
    assert provider.refreshes == 2
    row = OAuthToken.objects.get()
    assert (row.status, row.error_code) == ("reauth_required", "outcome_unknown")
    assert history() == ["stored", "reauth_required"]
    asked = [arguments["code"] for name, arguments in received if name == "reauth_required"]
    assert asked == ["outcome_unknown"]


def test_killed_after_the_save(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start
) -> None:
    """Row 8's other side: nothing is lost, and nobody waits for the dead one's lock."""
    age(token, EXPIRED)
    killed(callers("saved"))
    start = time.monotonic()
    found = user.oauth_tokens.get_valid("acme")
    assert time.monotonic() - start < 1.5
    assert (found.version, provider.refreshes) == (2, 1)
