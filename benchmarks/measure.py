"""Measuring contestants side by side, so that whatever else the machine does hits all of them.

In every round each case takes its turn, in random order, for a handful of calls; the median of
those calls is compared with the median of the floor in the same round. What is reported is the
median over all rounds: no mean, no best of.
"""

from __future__ import annotations

import gc
import random
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

#: Seconds of wall clock, and of this process' CPU.
Spent = tuple[float, float]
Sample = Callable[[int], list[Spent]]


@dataclass(frozen=True)
class Case:
    """Something to measure.

    Arguments:
        sample: makes the given number of calls and returns what each took.
    """

    name: str
    sample: Sample


@dataclass(frozen=True)
class Timing:
    """Medians over all rounds.

    Arguments:
        seconds: of one call.
        ratio: times the floor of the same round; half of the rounds are within low and high.
        cpu_ratio: the same of this process' CPU, which other load on the machine hardly touches.
    """

    name: str
    seconds: float
    ratio: float
    low: float
    high: float
    cpu_ratio: float


def calls(call: Callable[[], object], prepare: Callable[[], object] | None = None) -> Sample:
    """Time ``call``; ``prepare`` goes before each and is not timed."""

    def sample(count: int) -> list[Spent]:
        found = []
        for _ in range(count):
            if prepare is not None:
                prepare()
            cpu, start = process_time(), perf_counter()
            call()
            found.append((perf_counter() - start, process_time() - cpu))
        return found

    return sample


def coroutines(call: Callable[[], Awaitable[object]], loop: AbstractEventLoop) -> Sample:
    """Time ``await call()`` inside of ``loop``."""

    async def batch(count: int) -> list[Spent]:
        found = []
        for _ in range(count):
            cpu, start = process_time(), perf_counter()
            await call()
            found.append((perf_counter() - start, process_time() - cpu))
        return found

    return lambda count: loop.run_until_complete(batch(count))


def side_by_side(cases: Iterable[Case], *, rounds: int, count: int) -> list[Timing]:
    """Measure ``cases``, the first of which is the floor, in ``rounds`` of ``count`` calls each."""
    cases = list(cases)
    for case in cases:
        case.sample(max(count // 2, 2))  # connections, caches, imports
    taken: dict[str, list[Spent]] = {case.name: [] for case in cases}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for case in random.sample(cases, len(cases)):
            wall, cpu = zip(*case.sample(count), strict=True)
            taken[case.name].append((median(wall), median(cpu)))
    gc.unfreeze()
    floor = taken[cases[0].name]
    return [timing(name, spent, floor) for name, spent in taken.items()]


def timing(name: str, spent: list[Spent], floor: list[Spent]) -> Timing:
    pairs = list(zip(spent, floor, strict=True))
    ratios = sorted(mine[0] / base[0] for mine, base in pairs)
    quarter = len(ratios) // 4
    return Timing(
        name=name,
        seconds=median(wall for wall, _ in spent),
        ratio=median(ratios),
        low=ratios[quarter],
        high=ratios[-1 - quarter],
        cpu_ratio=median(mine[1] / base[1] for mine, base in pairs),
    )
