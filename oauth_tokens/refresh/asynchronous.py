"""The same for coroutines: one of them refreshes, in a thread; the others await it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

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
                await sync_to_async(ensure)(row, need)
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
