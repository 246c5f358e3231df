"""The results as text, as Markdown, and what they were measured on."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from django.db import connection

from benchmarks.bench import Table
from benchmarks.chart import draw

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
PEERS = ("social-auth-app-django", "django-allauth", "Authlib", "requests-oauthlib")


def as_text(table: Table) -> str:
    """``table`` for a terminal."""
    lines = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    heading = f"{table.title} (goal: {table.goal})" if table.goal else table.title
    out = ["", heading, "=" * len(heading)]
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        out.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join([*out, *(f"- {note}" for note in table.notes)])


def as_markdown(table: Table) -> str:
    """``table`` for the documentation."""
    out = [f"### {table.title}", ""]
    if table.goal:
        out += [f"Goal: {table.goal}.", ""]
    out += [_line(table.head), _line(["---", *["---:"] * (len(table.head) - 1)])]
    out += [_line(row) for row in table.rows]
    if table.notes:
        out += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join([*out, ""])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def measured_on(*, durable: bool) -> str:
    """One sentence about machine and versions."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgres = cursor.fetchone()[0].split()[0]
    peers = ", ".join(f"{name} {version(name)}" for name in PEERS)
    sync = "with" if durable else "without"
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"Measured {today} on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, Django {version('django')}, PostgreSQL {postgres} on a "
        f"socket, {sync} fsync, and Valkey on loopback; {peers}."
    )


def write(tables: list[Table], facts: str) -> None:
    """Put the results into docs/benchmarks.md and draw docs/benchmarks.svg."""
    page = DOCS / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    results = "\n".join([BEGIN, facts, "", *map(as_markdown, tables), END])
    page.write_text(f"{before}{results}{after}")
    (DOCS / "benchmarks.svg").write_text(draw({table.key: table for table in tables}))
