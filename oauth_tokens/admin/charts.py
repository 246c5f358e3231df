"""Refreshes over time as bars: what was done above the line, what was not below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from ..overview import Hour

#: Height of a chart and width of a bar, in units of the drawing.
HEIGHT, WIDTH, GAP = 120.0, 12, 2
#: The least height of what is not nothing.
LEAST = 2.0


@dataclass(slots=True)
class Bar:
    """What became of the refreshes of a span of time, and where each part is drawn:
    (name, top, height)."""

    label: str
    refreshed: int
    failed: int
    ended: int
    x: int = 0
    parts: list[tuple[str, float, float]] = field(default_factory=list)


@dataclass(slots=True)
class Chart:
    """One chart.

    Arguments:
        key: sets its ids apart from those of another one.
        bar_means: what one bar stands for.
        peak: how much the highest is.
        marks: labels below the bars, in equal distances.
    """

    key: str
    title: str
    bar_means: str
    peak: str
    bars: list[Bar]
    marks: list[str]
    axis: float = HEIGHT
    height: float = HEIGHT
    bar_width: int = WIDTH - GAP
    refreshed: int = 0
    failed: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        highest = max(bar.refreshed for bar in self.bars)
        lowest = max(bar.failed + bar.ended for bar in self.bars)
        # One scale for both directions: what looks larger is larger.
        scale = (HEIGHT - 2 * LEAST) / ((highest + lowest) or 1)
        self.axis = HEIGHT - (max(lowest * scale, 2 * LEAST) if lowest else 0)
        for number, bar in enumerate(self.bars):
            self.refreshed += bar.refreshed
            self.failed += bar.failed
            self.ended += bar.ended
            bar.x = number * WIDTH
            bar.parts = [part for part in self._parts(bar, scale) if part[2]]

    @property
    def width(self) -> int:
        """Of the drawing."""
        return len(self.bars) * WIDTH

    def _parts(self, bar: Bar, scale: float) -> list[tuple[str, float, float]]:
        done, failed, ended = (
            max(count * scale, LEAST) if count else 0.0
            for count in (bar.refreshed, bar.failed, bar.ended)
        )
        return [
            ("refreshed", self.axis - done, done),
            ("failed", self.axis, failed),
            ("ended", self.axis + failed, ended),
        ]


def of_a_day(hours: Sequence[Hour]) -> Chart:
    """The last 24 hours, a bar each."""
    bars = [_bar(_time(hour), [hour]) for hour in hours[-24:]]
    marks = [bar.label for bar in bars[::6]]
    peak = _("at most %(number)s in an hour") % {"number": _most(bars)}
    return Chart("day", _("Last 24 hours"), _("Hour"), peak, bars, marks)


def of_days(hours: Sequence[Hour]) -> Chart:
    """Whole days, today the last of them, with four bars each."""
    bars, marks = [], []
    for day, of_day in groupby(hours, key=lambda hour: timezone.localtime(hour.start).date()):
        marks.append(date_format(day, "D"))
        quarters: list[list[Hour]] = [[], [], [], []]
        for hour in of_day:
            quarters[timezone.localtime(hour.start).hour // 6].append(hour)
        bars += [_bar(_quarter(day, number), found) for number, found in enumerate(quarters)]
    title = _("Last %(number)d days") % {"number": len(marks)}
    peak = _("at most %(number)s in six hours") % {"number": _most(bars)}
    return Chart("days", title, _("Six hours from"), peak, bars, marks)


def _bar(label: str, hours: Sequence[Hour]) -> Bar:
    return Bar(
        label,
        refreshed=sum(hour.refreshed for hour in hours),
        failed=sum(hour.failed for hour in hours),
        ended=sum(hour.ended for hour in hours),
    )


def _most(bars: Sequence[Bar]) -> str:
    return number_format(max(bar.refreshed for bar in bars), force_grouping=True)


def _time(hour: Hour) -> str:
    return date_format(timezone.localtime(hour.start), "H:i")


def _quarter(day: date, number: int) -> str:
    return f"{date_format(day, 'D j')}, {6 * number:02}:00"
