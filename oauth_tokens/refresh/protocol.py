"""Who refreshes, who waits, who is served as it is."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import Error as DatabaseErrors

from .. import locks, rescue
from ..conf import get_settings
from ..exceptions import DecryptionError, OAuthTokenError, RefreshFailed, TokenNotConnected
from ..providers.registry import get_provider, resolve_provider
from .dates import SAVE_MARGIN, within_grace
from .errors import (
    not_connected,
    provider_failing,
    reauthentication_required,
    timed_out,
    undecryptable,
)
from .row import Need, Row

if TYPE_CHECKING:
    from ..providers.base import Provider

#: Seconds between looks at the database where Redis cannot be waited on.
POLL_FIRST, POLL_LAST = 0.01, 0.1

R = TypeVar("R", bound=Row)
Waiter = Future[Any]


class Flight:
    """One refresh of the row named ``key``, and those of this process who wait for it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiters: list[Waiter] = []


_flights: dict[str, Flight] = {}
_guard = threading.Lock()


def _forget_flights() -> None:
    """A forked worker must not wait for a thread that only its parent has."""
    global _guard  # noqa: PLW0603 - the parent's may be held for ever
    _guard = threading.Lock()
    _flights.clear()


os.register_at_fork(after_in_child=_forget_flights)


def ensure(row: R, need: Need) -> R:
    """Bring ``row`` to a state that meets ``need``, refreshing at most once.

    In one process the first caller of a row does it and the others wait for that caller; between
    processes the Redis lock and the claim do the same.

    Raises:
        ReauthenticationRequired, TokenNotConnected: only the user can mend it.
        RefreshFailed: transient, and the access token at hand will not do.
        ProviderMisconfigured: the operator has to act.
    """
    deadline = time.monotonic() + (get_settings().WAIT_TIMEOUT if need.wait else 0.0)
    while True:
        mine = Flight(row.key)
        try:
            waiter = join(mine)
            if waiter is None:
                refresh(row, need, deadline, mine)
                return row
        finally:
            # Where an interrupt came before refresh() could see to it.
            land(row, None, mine)
        if need.served_by(row):
            return row
        try:
            left_behind = waiter.result(timeout=max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            raise timed_out(row) from None
        if taken_over(row, need, left_behind) or settled(row, need):
            return row


def refresh(row: Row, need: Need, deadline: float, mine: Flight) -> None:
    """Be the one who refreshes, for oneself and for all who wait for ``mine``."""
    landed = None
    try:
        _refresh(row, need, deadline)
        landed = row
    finally:
        land(row, landed, mine)


def join(mine: Flight) -> Waiter | None:
    """What to wait for while another caller of this process refreshes the same row.

    Returns:
        None where nobody does: then the caller does, and others wait for ``mine``.
    """
    with _guard:
        flight = _flights.setdefault(mine.key, mine)
        if flight is mine:
            return None
        waiter = Waiter()
        flight.waiters.append(waiter)
        return waiter


def land(row: Row, landed: Row | None, mine: Flight) -> None:
    """Hand ``landed``, a refreshed row, to all who wait for ``mine``; None where there is none."""
    with _guard:
        if _flights.get(mine.key) is not mine:
            return
        del _flights[mine.key]
    left_behind = None
    try:
        if landed is not None and mine.waiters:
            # A copy: from here on the row is its caller's.
            left_behind = landed.copy()
    finally:
        for waiter in mine.waiters:
            # Not where a coroutine has given up waiting.
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(left_behind)
        row.send_notices()


def taken_over(row: Row, need: Need, landed: Any) -> bool:
    """Whether what another caller's refresh left behind is what this one needs; no query."""
    if landed is None or landed.grant_id != row.grant_id:
        return False
    if landed.status != "active" or not need.met_by(landed):
        return False
    row.take(landed)
    return True


def settled(row: Row, need: Need) -> bool:
    """Read ``row`` anew: whether another caller's refresh has brought what this one needs.

    Raises where it has shown that none will: who waited for a failure need not repeat it.
    """
    with row.own_connection():
        try:
            row.reload()
            return _settled(row, need, waited=True)
        except DecryptionError as error:
            raise undecryptable(row, error) from None


def _refresh(row: Row, need: Need, deadline: float) -> None:
    with row.own_connection() as fresh:
        try:
            # The caller's transaction may have shown the row as it was long ago.
            if fresh and not _reloaded(row, need):
                return
            _refresh_or_wait(row, need, deadline)
        except DecryptionError as error:
            raise undecryptable(row, error) from None


def _reloaded(row: Row, need: Need) -> bool:
    """Read ``row`` outside of the caller's transaction. False where it is not there, but serves."""
    try:
        row.reload()
    except TokenNotConnected:
        if need.served_by(row):
            return False
        raise RefreshFailed(
            f"The token of {row.provider} was stored in this very transaction, or disconnected "
            "since it began. Commit before it has to be refreshed.",
            code="uncommitted",
            provider=row.provider,
        ) from None
    return True


def _refresh_or_wait(row: Row, need: Need, deadline: float) -> None:
    poll, ended = POLL_FIRST, ""
    while True:
        attempt_id = uuid.uuid4().hex
        lock = locks.acquire(row.key, attempt_id, _lock_lease(row))
        holder = lock.holder
        if holder is None:
            try:
                if not row.was_just_read:
                    row.reload()
                if _settled(row, need, lock) or _attempt(row, need, attempt_id):
                    return
                holder = row.attempt_id
            finally:
                lock.release()
        if need.served_by(row):
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise timed_out(row)
        over = None if holder is None else locks.wait(row.key, holder, remaining)
        if over is None:
            time.sleep(min(poll, remaining) * random.uniform(0.5, 1.0))  # noqa: S311
            poll = min(poll * 1.5, POLL_LAST)
        elif over and ended == holder:
            # It ended without giving up its claim, as a killed task does: there is no other sign.
            time.sleep(POLL_LAST)
        elif over:
            ended = holder or ""
        row.reload()
        if _settled(row, need):
            return


def _settled(row: Row, need: Need, lock: locks.Lock | None = None, *, waited: bool = False) -> bool:
    """Whether the row as just read answers the caller; raises where no refresh can help."""
    # Not only where a claim says so: a database that failed over may have forgotten it.
    if not need.met_by(row) and _restore(row, lock):
        row.reload()
    _refuse_if_ended(row)
    if need.met_by(row):
        return True
    wait = row.seconds_to_retry
    if wait > 0 and (waited or need.trigger != "forced"):
        if need.served_by(row):
            return True
        verdict = row.circuit.verdict(probe=False)
        if not verdict.allowed:
            raise provider_failing(row, verdict.code, verdict.operator, verdict.retry_after)
        raise RefreshFailed(
            f"{row.provider} is failing ({row.error_code}); the next attempt is in {wait:.0f} s.",
            code=row.error_code or "backing_off",
            provider=row.provider,
            retry_after=wait,
        )
    return False


def _refuse_if_ended(row: Row) -> None:
    if row.status == "revoking":
        raise not_connected(row.provider)
    if row.status != "active":
        raise reauthentication_required(row)


def _restore(row: Row, lock: locks.Lock | None) -> bool:
    """Save a token set that an earlier attempt could not save. Before any further request."""
    found = rescue.find(row.key, lock)
    if found is None:
        return False
    row.save_rescued(found.kept)
    rescue.forget(row.key, found.entries)
    return True


def _attempt(row: Row, need: Need, attempt_id: str) -> bool:
    """Refresh under a claim, if that is possible and wise. False where somebody else holds it."""
    if row.has_live_claim:
        return False
    # Before there is a claim, which an import that fails would leave behind.
    from .attempt import Attempt

    try:
        provider = resolve_provider(
            row.provider, client_id=row.client_id, variables=row.url_variables
        )
        _must_be_possible(row, need)
        _must_be_wise(row, need, provider)
        row.refresh_token  # noqa: B018 - before a claim is taken, see that it opens
        unknown = row.has_lapsed_claim
        lease = _lease(provider)
        lease_ends = time.monotonic() + lease
        claimed = _claim(row, attempt_id, lease)
    except OAuthTokenError:
        if need.served_by(row):
            return True
        raise
    if not claimed:
        row.reload()
        return False
    Attempt(row, need, provider, lease_ends, unknown).run()
    # The user may have disconnected meanwhile.
    _refuse_if_ended(row)
    return True


def _must_be_possible(row: Row, need: Need) -> None:
    """Raises where there is nothing to refresh with; the user is asked once it matters."""
    if not row.is_refresh_token_expired:
        return
    code = "refresh_token_expired" if row.has_refresh_token else "no_refresh_token"
    if row.seconds_left <= row.leeway or need.trigger == "unauthorized":
        row.require_reauthentication(code)
    raise reauthentication_required(row, code)


def _must_be_wise(row: Row, need: Need, provider: Provider) -> None:
    """Raises where asking the provider could cost the grant, or is of no use now."""
    left = row.seconds_left - row.leeway
    # After an attempt of unknown outcome the refresh token may be used up, and sending it again may
    # end the grant. While the access token lives there is something to lose; afterwards there is
    # not, and one more request is the only way to know.
    at_stake = left > 0 and need.trigger != "unauthorized"
    if row.has_lapsed_claim and at_stake and not _may_replay(row, provider):
        raise RefreshFailed(
            f"The outcome of the last refresh at {row.provider} is unknown; it is tried once more "
            f"when the access token has expired, in {left:.0f} s.",
            code="outcome_unknown",
            provider=row.provider,
            retry_after=left,
        )
    verdict = row.circuit.verdict()
    if not verdict.allowed:
        raise provider_failing(row, verdict.code, verdict.operator, verdict.retry_after)


def _claim(row: Row, attempt_id: str, lease: float) -> bool:
    try:
        return row.claim(attempt_id, lease)
    except DatabaseErrors as error:
        raise RefreshFailed(
            f"The token of {row.provider} cannot be refreshed while the row or database is locked, "
            "maybe by this very transaction. Get the token before the transaction writes.",
            code="database_locked",
            provider=row.provider,
        ) from error


def _lock_lease(row: Row) -> float:
    """The lock goes when the claim lapses: no later, or it keeps others from taking over."""
    try:
        return _lease(get_provider(row.provider))
    except OAuthTokenError:
        return get_settings().LOCK_TIMEOUT


def _lease(provider: Provider) -> float:
    """Seconds that an attempt may take before others may think it dead.

    Where the provider grants a grace window, a lease of one request leaves others the time to send
    the same refresh token again within it.
    """
    settings = get_settings()
    if provider.refresh_token_rotation == "grace":
        return min(settings.LOCK_TIMEOUT, settings.HTTP_TIMEOUT + 2 * SAVE_MARGIN)
    return settings.LOCK_TIMEOUT


def _may_replay(row: Row, provider: Provider) -> bool:
    return provider.refresh_token_rotation == "none" or within_grace(row, provider)
