"""The application's clock is wrong; the database's decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import AbstractUser
from django.utils import timezone

from oauth_tokens import OAuthToken
from oauth_tokens.conf import get_settings
from oauth_tokens.reader import read_rows
from tests.support.fault_callers import Caller, all_call
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, FRESH, STALE, age

# SQLite has the application's own clock.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

Start = Callable[..., Caller]

FAST, SLOW = 600.0, -600.0


@pytest.mark.parametrize("clock", [FAST, SLOW], ids=["fast", "slow"])
@pytest.mark.parametrize(
    ("seconds_left", "refreshes"), [(FRESH, 0), (400, 0), (STALE, 1), (25, 1), (EXPIRED, 1)]
)
def test_no_expired_token_is_served_and_no_fresh_one_refreshed(
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    clock: float,
    seconds_left: float,
    refreshes: int,
) -> None:
    """Row 20: 40 calls in two processes, one of which has the right time."""
    started = [callers(threads=2, rounds=10, clock=each) for each in (clock, 0.0)]
    age(token, seconds_left)
    found = all_call(started)
    assert provider.refreshes == refreshes
    row = OAuthToken.objects.get()
    assert row.version == 1 + refreshes
    served = {result["token"] for result in found}
    if seconds_left < 30 or not refreshes:
        assert served == {row.access_token}
    else:
        assert served <= {row.access_token, token.access_token}


@pytest.mark.parametrize("clock", [FAST, SLOW], ids=["fast", "slow"])
def test_what_a_wrong_clock_saves_is_right(
    user: AbstractUser, token: OAuthToken, provider: Provider, callers: Start, clock: float
) -> None:
    """Row 20."""
    caller = callers(method="refresh", clock=clock)
    caller.go_on()
    assert caller.result()["version"] == 2
    row = OAuthToken.objects.get()
    assert row.expires_at is not None
    assert row.refresh_at is not None
    left = (row.expires_at - timezone.now()).total_seconds()
    assert 3590 < left < 3601
    assert 3200 < (row.refresh_at - timezone.now()).total_seconds() < 3310
    assert user.oauth_tokens.get_valid("acme").version == 2
    assert provider.refreshes == 1


@pytest.mark.parametrize("clock", [FAST, SLOW], ids=["fast", "slow"])
def test_a_lease_lasts_as_long_by_every_clock(
    token: OAuthToken, provider: Provider, callers: Start, clock: float
) -> None:
    """Row 20: a claim is neither taken over early nor held for ten minutes more."""
    age(token, EXPIRED)
    holder = callers("claimed", clock=clock)
    holder.reach()
    row = read_rows(OAuthToken, "default", {"provider": "acme"})[0]
    assert row.has_live_claim
    assert row.attempt_expires_at is not None
    # Whoever reads a row takes the time by the database's clock from before its query.
    lease = get_settings().LOCK_TIMEOUT
    assert 0.5 * lease < (row.attempt_expires_at - row.now()).total_seconds() < lease + 1
    other = callers(clock=-clock)
    other.go_on()
    holder.go_on()
    assert other.result()["token"] == holder.result()["token"]
    assert (provider.refreshes, provider.replays) == (1, 0)
