"""What a section is given, and what it hands back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.endpoint import Endpoint
from benchmarks.measure import Timing


@dataclass(frozen=True)
class Bench:
    """One run.

    Arguments:
        quick: a smoke run, whose figures mean nothing.
        rows: of the listing.
    """

    endpoint: Endpoint
    quick: bool
    rows: int
    _names: Any = field(default_factory=itertools.count)

    def user(self) -> Any:
        """A new user."""
        from django.contrib.auth import get_user_model

        return get_user_model()._default_manager.create(username=f"user-{next(self._names)}")

    def few(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True)
class Table:
    """Results as text.

    Arguments:
        key: names it for the chart.
        goal: what ours must not exceed, in words.
        ratios: name -> times the floor, for the chart.
    """

    key: str
    title: str
    head: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    goal: str = ""
    ratios: dict[str, float] = field(default_factory=dict)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f}" if seconds < 0.01 else f"{seconds * 1000:.1f}"


def table_of_timings(
    key: str, title: str, timings: Iterable[Timing], *, notes: list[str], goal: str = ""
) -> Table:
    """The table of what :func:`benchmarks.measure.side_by_side` found; the floor comes first."""
    timings = list(timings)
    rows = [
        [
            t.name,
            milliseconds(t.seconds),
            f"{t.ratio:.2f} x",
            f"{t.low:.2f} - {t.high:.2f}",
            f"{t.cpu_ratio:.2f} x",
        ]
        for t in timings
    ]
    return Table(
        key=key,
        title=title,
        head=["", "ms, median", "x floor", "middle half of rounds", "x floor, client's CPU"],
        rows=rows,
        notes=notes,
        goal=goal,
        ratios={t.name: t.ratio for t in timings},
    )
