"""When a token is stale, when to refresh it, when to try again, how long that may take."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..conf import get_settings

if TYPE_CHECKING:
    from ..providers.base import Provider
    from .row import Row

#: Backoff of a failing row, in seconds.
BACKOFF_FIRST, BACKOFF_LAST = 30.0, 3600.0

#: Seconds that saving an answer may take, kept free at the end of a lease.
SAVE_MARGIN = 1.0


def threshold(issued_at: datetime, expires_at: datetime | None) -> float:
    """Seconds before expiry from which a token is stale: never over 20 % of its lifetime."""
    wanted = get_settings().REFRESH_THRESHOLD
    if expires_at is None:
        return wanted
    return min(wanted, 0.2 * (expires_at - issued_at).total_seconds())


def next_refresh(
    provider: Provider,
    *,
    issued_at: datetime,
    expires_at: datetime | None,
    refresh_token_expires_at: datetime | None,
    has_refresh_token: bool,
) -> datetime | None:
    """When the sweep should look at a row with these dates; None for never.

    A little before the access token is stale, spread so that tokens issued together are not
    refreshed together; before the refresh token dies of idleness or age; at expiry, to notice it,
    where there is nothing to refresh with.
    """
    if not has_refresh_token:
        return expires_at
    dates = []
    if provider.refresh_policy == "ahead" and expires_at is not None:
        ahead = threshold(issued_at, expires_at) * random.uniform(1.0, 1.1)  # noqa: S311
        dates.append(expires_at - timedelta(seconds=ahead))
    idle = provider.refresh_token_idle_lifetime
    if idle and provider.refresh_policy != "on_demand":
        dates.append(issued_at + timedelta(seconds=0.75 * idle))
    if refresh_token_expires_at is not None and provider.refresh_policy != "on_demand":
        last_day = refresh_token_expires_at - timedelta(days=1)
        if last_day > issued_at:
            dates.append(last_day)
    return min(dates, default=None)


def backoff(failures: int, retry_after: float | None = None) -> float:
    """Seconds until a failing row is tried again: 30 s to 1 h, a quarter of it jitter."""
    delay: float = min(BACKOFF_FIRST * 2 ** min(failures, 10), BACKOFF_LAST)
    delay = min(delay * random.uniform(1.0, 1.25), BACKOFF_LAST)  # noqa: S311
    return max(delay, min(retry_after or 0.0, BACKOFF_LAST))


def within_grace(row: Row, provider: Provider) -> bool:
    """Whether the provider still takes the refresh token of the first attempt once more."""
    grace = provider.refresh_token_rotation == "grace"
    return grace and row.seconds_since_attempt < provider.rotation_grace
