"""The overview's charts: which hours make a bar, and where it is drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from oauth_tokens.admin.charts import of_a_day, of_days
from oauth_tokens.overview import Hour


def hours_of(days: int, last_hours: int, **counts: dict[int, int]) -> list[Hour]:
    """So many whole days and some hours of the next; ``refreshed={5: 7}`` means 7 in hour 5."""
    start = datetime(2026, 3, 2, tzinfo=UTC)
    hours = [Hour(start + timedelta(hours=hour)) for hour in range(24 * days + last_hours)]
    for name, numbers in counts.items():
        for hour, number in numbers.items():
            setattr(hours[hour], name, number)
    return hours


def test_a_day_has_four_bars_of_six_hours() -> None:
    with timezone.override("UTC"):
        chart = of_days(hours_of(6, 7, refreshed={0: 1, 5: 2, 6: 4, 23: 8, 150: 16}))
    bars = [bar.refreshed for bar in chart.bars]
    # What is still to come of today is there, and empty.
    assert len(bars) == 28
    assert bars[:5] == [3, 4, 0, 8, 0]
    assert bars[24:] == [0, 16, 0, 0]
    assert chart.marks == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert (chart.bars[1].label, chart.peak) == ("Mon 2, 06:00", "at most 16 in six hours")


def test_bars_stand_on_the_line_and_hang_from_it() -> None:
    hours = hours_of(1, 0, refreshed={3: 1000, 4: 1}, failed={3: 400, 5: 1}, ended={3: 100})
    chart = of_a_day(hours)
    tall, least, failed = (chart.bars[number].parts for number in (3, 4, 5))
    (_, top, height), (_, below, hanging), (_, lowest, rest) = tall
    assert top + height == pytest.approx(chart.axis) == pytest.approx(below)
    assert (height, below + hanging) == pytest.approx((2.5 * hanging, lowest))
    assert top >= 0
    assert lowest + rest <= chart.height
    # One among a thousand is to be seen.
    assert least == [("refreshed", chart.axis - 2, 2)]
    assert failed == [("failed", chart.axis, 2)]
    assert chart.bars[6].parts == []
