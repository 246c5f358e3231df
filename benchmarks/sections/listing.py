"""The admin's list among a million rows, and what a row takes on disk."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.bench import Bench, Table
from benchmarks.contestants import Authlib
from benchmarks.plain.models import PlainToken
from oauth_tokens import OAuthToken, TokenEvent

PAGES = {
    "first page": "",
    "those that need re-authentication": "?status__exact=reauth_required",
    "search for a user": "?q=listed-77",
}


def run(bench: Bench) -> list[Table]:
    few, many = min(1000, bench.rows // 2), bench.rows
    fill(bench, few)
    small = visit(bench)
    fill(bench, many - few)
    large = visit(bench)
    return [
        Table(
            key="listing",
            title=f"Admin list of 100 among {many:,} rows",
            head=["", f"queries of {few:,}", f"queries of {many:,}", f"ms of {many:,}"],
            rows=[
                [page, str(small[page][0]), str(large[page][0]), f"{large[page][1] * 1000:.0f}"]
                for page in PAGES
            ],
            goal="the same number of queries",
        ),
        footprint(many),
    ]


def visit(bench: Bench) -> dict[str, tuple[int, float]]:
    """Queries and seconds of each page."""
    client = Client()
    admin, _created = get_user_model()._default_manager.get_or_create(
        username="admin", is_staff=True, is_superuser=True
    )
    client.force_login(admin)
    found = {}
    for page, query in PAGES.items():
        taken = []
        for _ in range(bench.few(7, 2)):
            start = perf_counter()
            with CaptureQueriesContext(connection) as queries:
                response = client.get(f"/admin/oauth_tokens/oauthtoken/{query}")
            taken.append(perf_counter() - start)
            assert response.status_code == 200, response.status_code
        found[page] = len(queries), median(taken)
    return found


def fill(bench: Bench, count: int) -> None:
    """``count`` users, each with a row that looks like a real one, and one event."""
    user, response = bench.user(), bench.endpoint.issue()
    user.oauth_tokens.store("acme", response)
    Authlib().store(user, response)
    # One session, one sequence: the ids that the new users get.
    numbers = range(user.pk + 1, user.pk + 1 + count)
    users = get_user_model()._default_manager.filter(pk=user.pk)
    clone(users, numbers, {"username": "'listed-' || n"})
    own = {
        "user_id": "n",
        "grant_id": "gen_random_uuid()",
        "status": "CASE WHEN mod(n, 50) = 0 THEN 'reauth_required' ELSE status END",
        "refresh_at": "refresh_at + n * interval '1 second'",
        "updated_at": "updated_at - n * interval '1 second'",
    }
    clone(OAuthToken._base_manager.filter(user=user), numbers, own)
    ahead = OAuthToken._base_manager.get(user_id=numbers[0]).pk - numbers[0]
    events = {
        "user_id": "n",
        "token_id": f"n + {ahead}",
        "created_at": "created_at - n * interval '1 second'",
    }
    clone(TokenEvent._base_manager.filter(user=user), numbers, events)
    clone(PlainToken.objects.filter(user=user), numbers, {"user_id": "n"})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def clone(rows: Any, numbers: range, changed: dict[str, str]) -> None:
    """Insert a copy of the one row for each number ``n``, with some columns computed."""
    model: type[models.Model] = rows.model
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(changed.get(column, f'"{column}"') for column in columns)
    table, pk = model._meta.db_table, rows.get().pk
    with connection.cursor() as cursor:
        # Names of tables and columns only.
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}, "  # noqa: S608
            "generate_series(%s, %s) AS n WHERE id = %s",
            [numbers[0], numbers[-1], pk],
        )


def footprint(rows: int) -> Table:
    lines = []
    for model, what in (
        (OAuthToken, "OAuthToken"),
        (TokenEvent, "TokenEvent"),
        (PlainToken, "(plain model)"),
    ):
        table = model._meta.db_table
        count = model._base_manager.count()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_table_size(%s::regclass)", [table])
            lines.append([f"{what}: row", f"{cursor.fetchone()[0] / count:.0f}"])
            cursor.execute(
                "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index "
                "WHERE indrelid = %s::regclass ORDER BY 1",
                [table],
            )
            lines += [
                [f"{what}: index {name}", f"{size / count:.0f}"] for name, size in cursor.fetchall()
            ]
    return Table(
        key="footprint",
        title="Footprint",
        head=["", "bytes"],
        rows=lines,
        notes=[
            f"{rows:,} rows as inserted, access tokens of 200 and refresh tokens of 64 characters.",
        ],
    )
