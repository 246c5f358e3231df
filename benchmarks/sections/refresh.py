"""One refresh end to end: from an expired row to a valid token, saved."""

from __future__ import annotations

import copy
from functools import partial

from django.conf import settings
from django.test import override_settings

from benchmarks.bench import Bench, Table, table_of_timings
from benchmarks.contestants import CONTESTANTS, BarePost
from benchmarks.measure import Case, calls, side_by_side


def run(bench: Bench) -> list[Table]:
    endpoint = bench.endpoint
    goal = "3.5 x, never above 4.5 x"
    loopback = (
        "Plain HTTP to the same machine: connecting anew costs next to nothing here, and no "
        "provider is reached like that."
    )
    tls_goal = "ahead of the peers"
    return [
        table(bench, "refresh", "One refresh", endpoint.url, goal, loopback),
        table(bench, "refresh-tls", "One refresh over TLS", endpoint.tls_url, tls_goal),
    ]


def table(bench: Bench, key: str, title: str, url: str, goal: str, *notes: str) -> Table:
    own = copy.deepcopy(settings.OAUTH_TOKENS)
    own["PROVIDERS"]["acme"]["token_endpoint"] = url
    able = [each for each in CONTESTANTS if each.refreshes]
    with override_settings(TOKEN_ENDPOINT=url, OAUTH_TOKENS=own):
        user = bench.user()
        for each in able:
            each.store(user, bench.endpoint.issue())
        floor = BarePost(bench.endpoint.issue()["refresh_token"])
        timings = side_by_side(
            [
                Case("bare POST, connection kept open", calls(floor)),
                *(
                    Case(each.name, calls(partial(each.get, user), partial(each.expire, user)))
                    for each in able
                ),
            ],
            rounds=bench.few(100, 3),
            count=bench.few(6, 3),
        )
    return table_of_timings(
        key,
        title,
        timings,
        notes=[
            "oauth_tokens: lock, claim, encryption, compare-and-set and history included, on a "
            "connection that stays open. The others: read, POST on a new connection, save.",
            "django-allauth refreshes nothing.",
            *notes,
        ],
        goal=goal,
    )
