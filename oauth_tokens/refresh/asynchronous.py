"""The same for coroutines: one of them refreshes, in a thread; the others await it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async

from ..conf import get_settings
from .errors import timed_out
from .protocol import ensure, settled, taken_over
from .row import Need, Row

R = TypeVar("R", bound=Row)
#: By event loop and row: a future belongs to the loop that made it.
_flights: dict[tuple[int, str], asyncio.Future[Any]] = {}


async def aensure(row: R, need: Need) -> R:
    """See ensure(). However many coroutines need a row, one thread is busy with it."""
    deadline = time.monotonic() + get_settings().WAIT_TIMEOUT
    loop = asyncio.get_running_loop()
    key = (id(loop), row.key)
    while True:
        flight = _flights.get(key)
        if flight is None:
            mine = _flights[key] = loop.create_future()
            landed = None
            try:
                await _in_a_thread(row, need)
                landed = row.copy()
                return row
            finally:
                del _flights[key]
                mine.set_result(landed)
        if need.served_by(row):
            return row
        try:
            # Shielded: the flight is everybody's, this coroutine's timeout is not.
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                landed = await asyncio.shield(flight)
        except TimeoutError:
            raise timed_out(row) from None
        if taken_over(row, need, landed) or await sync_to_async(settled)(row, need):
            return row


async def _in_a_thread(row: Row, need: Need) -> None:
    """ensure() without keeping up other synchronous calls.

    A request under ASGI has a thread of its own for those. Elsewhere all share one, in which a
    refresh would hold up everybody; there it gets another one, and a connection for the time.
    """
    shared = SyncToAsync.thread_sensitive_context.get(None) is None
    if shared and not await sync_to_async(row.in_transaction)():
        await sync_to_async(_apart, thread_sensitive=False)(row, need)
    else:
        await sync_to_async(ensure)(row, need)


def _apart(row: Row, need: Need) -> None:
    try:
        ensure(row, need)
    finally:
        row.drop_connection()
