"""How all stored tokens are, at a glance or for a monitor."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count, Min

from oauth_tokens.exceptions import REAUTHENTICATION_CODES
from oauth_tokens.models import OAuthToken, ProviderCircuit
from oauth_tokens.providers.registry import provider_names
from oauth_tokens.reader import database_now
from oauth_tokens.upkeep import database

#: Seconds that the sweep may lag behind before an operator should look.
MAX_LAG = 600.0


class Command(BaseCommand):
    help = (
        "Tokens by provider and state, failing providers, and how far the sweep lags behind. "
        "Exit status 1 if an operator has to act."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        status = collect()
        if options["json"]:
            self.stdout.write(json.dumps(status, indent=2))
        else:
            for line in in_words(status):
                self.stdout.write(line)
        if status["problems"]:
            raise SystemExit(1)


def collect() -> dict[str, Any]:
    """The state of everything, in plain values; ``problems`` is what an operator has to mend."""
    using = database()
    now = database_now(using)
    rows = OAuthToken._base_manager.using(using)
    tokens: dict[str, dict[str, int]] = {}
    for name in provider_names():
        tokens[name] = dict.fromkeys(OAuthToken.Status.values, 0)
    for provider, state, count in rows.values_list("provider", "status").annotate(Count("pk")):
        states = tokens.setdefault(provider, dict.fromkeys(OAuthToken.Status.values, 0))
        states[state] = count
    causes = rows.filter(status=OAuthToken.Status.REAUTH_REQUIRED)
    circuits = ProviderCircuit.open_circuits(using)
    # The sweep leaves these alone, so they say nothing about its lag.
    due = (
        rows.filter(status=OAuthToken.Status.ACTIVE, refresh_at__lte=now)
        .filter(provider__in=provider_names())
        .exclude(provider__in=[circuit.provider for circuit in circuits])
        .aggregate(oldest=Min("refresh_at"), count=Count("pk"))
    )
    lag = (now - due["oldest"]).total_seconds() if due["oldest"] else 0.0
    status: dict[str, Any] = {
        "tokens": tokens,
        "reauthentication": dict(
            causes.values_list("error_code").annotate(number=Count("pk")).order_by("-number")
        ),
        "failing_providers": [
            {
                "provider": circuit.provider,
                "code": circuit.code,
                "operator": circuit.operator,
                "since": circuit.opened_at.isoformat() if circuit.opened_at else None,
            }
            for circuit in circuits
        ],
        "due": due["count"],
        "lag": round(lag, 1),
    }
    status["problems"] = list(_problems(status))
    return status


def _problems(status: dict[str, Any]) -> Iterable[str]:
    for circuit in status["failing_providers"]:
        if circuit["operator"]:
            yield (
                f"{circuit['provider']} refuses this site ({circuit['code']}): check its "
                "client_id, client_secret and token_endpoint_auth_method."
            )
    if status["lag"] > MAX_LAG:
        yield (
            f"The sweep lags {status['lag']:.0f} s behind: check that Celery beat and a worker "
            "run, or oauth_tokens_refresh from cron."
        )


def in_words(status: dict[str, Any]) -> Iterable[str]:
    """Lines for a terminal."""
    labels = dict(OAuthToken.Status.choices)
    yield from _table(
        ["provider", *(str(label) for label in labels.values())],
        [
            [provider, *(str(states[state]) for state in labels)]
            for provider, states in status["tokens"].items()
        ],
    )
    yield ""
    for code, count in status["reauthentication"].items():
        yield f"{count} to connect again: {REAUTHENTICATION_CODES.get(code, code)}"
    for circuit in status["failing_providers"]:
        yield f"{circuit['provider']} is failing since {circuit['since']} ({circuit['code']})"
    yield f"{status['due']} due for a refresh, the sweep lags {status['lag']:.0f} s behind"
    for problem in status["problems"]:
        yield f"PROBLEM: {problem}"


def _table(head: list[str], rows: list[list[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        first, *rest = row
        numbers = "  ".join(cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True))
        yield f"{first.ljust(widths[0])}  {numbers}"
