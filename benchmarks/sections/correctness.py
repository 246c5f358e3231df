"""Sixteen threads, one expired token, a provider that rotates and revokes a family on replay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections

from benchmarks.bench import Bench, Table
from benchmarks.contestants import CONTESTANTS, Contestant

THREADS = 16
#: Seconds the provider takes: long enough for all threads to have read the expired row.
LATENCY = 0.05


def run(bench: Bench) -> list[Table]:
    return [
        Table(
            key="correctness",
            title=f"{THREADS} threads, one expired token, rotating provider",
            head=["", "POSTs", "failures", "grant"],
            rows=[[each.name, *outcome(bench, each)] for each in CONTESTANTS],
            notes=[
                "A failure is a caller that got an exception, or a token that is not the newest "
                "one. The provider revokes all tokens of a grant when a refresh token is replayed.",
                "django-allauth refreshes nothing.",
            ],
            goal="1 POST, 0 failures",
        )
    ]


def outcome(bench: Bench, contestant: Contestant) -> list[str]:
    user, response = bench.user(), bench.endpoint.issue()
    contestant.store(user, response)
    contestant.expire(user)
    bench.endpoint.set_latency(LATENCY)
    try:
        found = at_once(lambda: contestant.get(user))
    finally:
        bench.endpoint.set_latency(0)
    family = bench.endpoint.family(response["refresh_token"])
    grant = "lost" if family["revoked"] else "kept"
    if not contestant.refreshes:
        return [str(family["posts"]), "all get the expired token", grant]
    failures = sum(token != family["access_token"] for token in found)
    return [str(family["posts"]), str(failures), grant]


def at_once(get: Callable[[], str]) -> list[str | None]:
    """What each thread got; None for an exception."""
    barrier = threading.Barrier(THREADS)

    def call(_: int) -> Any:
        try:
            connections["default"].ensure_connection()
            barrier.wait(30)
            return get()
        except Exception:  # noqa: BLE001 - each package has errors of its own
            return None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, range(THREADS)))
