"""The same for coroutines, which wait for each other and for threads alike."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from asgiref.sync import SyncToAsync, sync_to_async

from ..conf import get_settings
from .errors import timed_out
from .protocol import Flight, join, land, refresh, settled, taken_over
from .row import Need, Row

R = TypeVar("R", bound=Row)

#: Refreshes at a time for coroutines that share one thread for everything synchronous.
THREADS = 32


async def aensure(row: R, need: Need) -> R:
    """See ensure(). However many coroutines need a row, one thread is busy with it."""
    deadline = time.monotonic() + (get_settings().WAIT_TIMEOUT if need.wait else 0.0)
    while True:
        mine = Flight(row.key)
        waiter = join(mine)
        if waiter is None:
            await _lead(row, need, deadline, mine)
            return row
        if need.served_by(row):
            return row
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                left_behind = await asyncio.wrap_future(waiter)
        except TimeoutError:
            raise timed_out(row) from None
        if taken_over(row, need, left_behind) or await sync_to_async(settled)(row, need):
            return row


async def _lead(row: Row, need: Need, deadline: float, mine: Flight) -> None:
    """Refresh in a thread, without keeping up other synchronous calls.

    A request under ASGI has a thread of its own for those. Elsewhere all share one, in which a
    refresh would hold up everybody; there it gets another one, and a connection for the time.
    """
    begun = False

    def lead() -> None:
        nonlocal begun
        begun = True
        refresh(row, need, deadline, mine)

    def lead_apart() -> None:
        try:
            lead()
        finally:
            row.drop_connection()

    try:
        shared = SyncToAsync.thread_sensitive_context.get(None) is None
        if shared and not await sync_to_async(row.in_transaction)():
            await sync_to_async(lead_apart, thread_sensitive=False, executor=_threads())()
        else:
            await sync_to_async(lead)()
    finally:
        if not begun:
            # Cancelled before the thread began.
            land(row, None, mine)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "oauth_tokens")


# A forked worker has none of its parent's threads.
os.register_at_fork(after_in_child=_threads.cache_clear)
