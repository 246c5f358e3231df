"""Reading a token that is fresh: what nearly every call does."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection, connections

from benchmarks.bench import Bench, Table, table_of_timings
from benchmarks.contestants import CONTESTANTS
from benchmarks.measure import Case, calls, coroutines, side_by_side
from oauth_tokens import OAuthToken

FLOOR = "OAuthToken._base_manager.get()"


def run(bench: Bench) -> list[Table]:
    user = bench.user()
    for contestant in CONTESTANTS:
        contestant.store(user, bench.endpoint.issue())
    rounds, count = bench.few(150, 3), bench.few(20, 5)
    timings = side_by_side(
        [
            Case(FLOOR, calls(lambda: OAuthToken._base_manager.get(user=user, provider="acme"))),
            *(Case(each.name, calls(lambda each=each: each.get(user))) for each in CONTESTANTS),
            Case("(the row, SQL compiled once)", calls(compiled_once(user))),
            Case("(SELECT 1)", calls(select_1)),
        ],
        rounds=rounds,
        count=count,
    )
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        rows = OAuthToken._base_manager
        async_timings = side_by_side(
            [
                Case(
                    "OAuthToken._base_manager.aget()",
                    coroutines(lambda: rows.aget(user=user, provider="acme"), loop),
                ),
                Case(
                    "oauth_tokens", coroutines(lambda: user.oauth_tokens.aget_valid("acme"), loop)
                ),
                Case("(sync_to_async of nothing)", coroutines(sync_to_async(nothing), loop)),
            ],
            rounds=rounds,
            count=count,
        )
        loop.run_until_complete(sync_to_async(connections.close_all)())
    return [
        table_of_timings(
            "hot",
            "Read a valid token",
            timings,
            notes=[
                "oauth_tokens decrypts (AES-256-GCM) and tells validity by the database's clock; "
                "the others store tokens readable and go by the application's clock.",
                f"The floor reads all {len(OAuthToken._meta.concrete_fields)} columns of the row; "
                "the plain model has 7, which is why it can be below 1 x.",
                "django-allauth does not look at the expiry.",
                "In brackets: ground truth, for scale.",
            ],
            goal="at most 0.6 x",
        ),
        table_of_timings(
            "hot-async",
            "Read a valid token, async",
            async_timings,
            notes=[
                "social-auth-app-django and django-allauth have no async way to a stored token; on "
                "a plain model it is the floor itself.",
            ],
            goal="at most 1.2 x",
        ),
    ]


def nothing() -> None:
    """What a hop to a thread costs by itself."""


def select_1() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def compiled_once(user: Any) -> Any:
    rows = OAuthToken._base_manager.filter(user=user, provider="acme")
    sql, params = rows.query.get_compiler(using="default").as_sql()

    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            cursor.fetchone()

    return read
