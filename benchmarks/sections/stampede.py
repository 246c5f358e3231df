"""64 callers in 4 processes on one expired token, at a provider that takes 200 ms."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.bench import Bench, Table
from benchmarks.contestants import OAuthTokens
from oauth_tokens import OAuthToken

PROCESSES, THREADS, LATENCY = 4, 16, 0.2


def run(bench: Bench) -> list[Table]:
    contestant, user = OAuthTokens(), bench.user()
    response = bench.endpoint.issue()
    contestant.store(user, response)
    posts, served, middle, last = [], [], [], []
    with ExitStack() as stack:
        callers = [stack.enter_context(caller(user.pk)) for _ in range(PROCESSES)]
        stack.callback(bench.endpoint.set_latency, 0)
        for each in callers:
            line(each)
        bench.endpoint.set_latency(LATENCY)
        for _ in range(bench.few(15, 2)):
            before = bench.endpoint.family(response["refresh_token"])["posts"]
            contestant.expire(user)
            found = stampede(callers)
            family = bench.endpoint.family(response["refresh_token"])
            saved = OAuthToken._base_manager.get(user=user).updated_at.timestamp()
            lateness = sorted(at - saved for at, token in found if token == family["access_token"])
            posts.append(family["posts"] - before)
            served.append(len(lateness))
            middle.append(median(lateness))
            last.append(lateness[-1])
        for each in callers:
            each.stdin.close()
    return [
        Table(
            key="stampede",
            title=f"Stampede: {PROCESSES * THREADS} callers in {PROCESSES} processes, provider "
            f"{LATENCY * 1000:.0f} ms",
            head=["", "median of rounds", "worst round"],
            rows=[
                ["POSTs", f"{median(posts):.0f}", str(max(posts))],
                ["callers served", f"{median(served):.0f}", str(min(served))],
                ["half of them, ms after the save", *in_ms(middle)],
                ["the last, ms after the save", *in_ms(last)],
            ],
            notes=[f"{len(last)} rounds. The save begins at the row's updated_at."],
            goal="1 POST, all served, the last within 100 ms",
        )
    ]


def in_ms(seconds: list[float]) -> list[str]:
    return [f"{median(seconds) * 1000:.0f}", f"{max(seconds) * 1000:.0f}"]


def caller(user_id: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stampede_caller", str(user_id), str(THREADS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def stampede(callers: list[Any]) -> list[tuple[float, str]]:
    begin = time.time() + 0.3
    for each in callers:
        each.stdin.write(f"{begin}\n")
        each.stdin.flush()
    return [(at, token) for each in callers for at, token in json.loads(line(each))]


def line(process: Any) -> str:
    text: str = process.stdout.readline()
    if not text:
        raise RuntimeError("a process of the stampede ended early; see the output above")
    return text
