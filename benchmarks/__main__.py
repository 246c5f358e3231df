"""Runs the benchmarks and prints the results.

A whole run also puts them into docs/benchmarks.md and draws docs/benchmarks.svg.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench, Table
from benchmarks.endpoint import Endpoint
from benchmarks.servers import Servers

SECTIONS = ("hot", "refresh", "correctness", "stampede", "imports", "listing")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the figures say nothing")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the listing")
    parser.add_argument("--durable", action="store_true", help="PostgreSQL with fsync")
    given = parser.parse_args()
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if given.rows < 100:
        parser.error("--rows: a list of 100 needs at least 100")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        servers = Servers(durable=given.durable)
        stack.callback(servers.stop)
        os.environ.update(servers.environment)
        endpoint = Endpoint(Path(os.environ["BENCH_SCRATCH"]) / "server.pem")
        stack.callback(endpoint.stop)
        os.environ.update(
            BENCH_TOKEN_ENDPOINT=endpoint.url,
            DJANGO_SETTINGS_MODULE="benchmarks.settings",
            # requests-oauthlib refuses plain HTTP without it.
            OAUTHLIB_INSECURE_TRANSPORT="1",
        )
        prepare_database()
        tables = run(given.sections or SECTIONS, Bench(endpoint, given.quick, given.rows))
        from benchmarks import report

        facts = report.measured_on(durable=given.durable)
        print(f"\n{facts}")
        if not given.quick and not given.sections:
            report.write(tables, facts)


def run(sections: Iterable[str], bench: Bench) -> list[Table]:
    from benchmarks.report import as_text

    tables: list[Table] = []
    for name in sections:
        print(f"... {name}", file=sys.stderr)
        for table in importlib.import_module(f"benchmarks.sections.{name}").run(bench):
            print(as_text(table), flush=True)
            tables.append(table)
    return tables


def prepare_database() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    # Then the app without migrations, whose table refers to the others'.
    call_command("migrate", run_syncdb=True, verbosity=0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
