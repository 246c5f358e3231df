"""What the app adds to ``django.setup()``, in fresh processes by turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.bench import Bench, Table

HEAVY = ("requests", "celery", "cryptography", "oauthlib", "redis")
CODE = """
import json, sys, time
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
settings.configure(
    INSTALLED_APPS=[f"django.contrib.{name}" for name in apps] + sys.argv[1:],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
start = time.perf_counter()
import django
django.setup()
print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))
"""


def run(bench: Bench) -> list[Table]:
    added, bases, modules = [], [], set()
    with tempfile.TemporaryDirectory() as bytecode:
        setup(bytecode, "oauth_tokens")  # compiles all that the others find compiled
        for _ in range(bench.few(15, 2)):
            base, before = setup(bytecode)
            ours, after = setup(bytecode, "oauth_tokens")
            added.append(ours - base)
            bases.append(base)
            modules = after - before
    heavy = [name for name in HEAVY if name in modules]
    return [
        Table(
            key="imports",
            title="django.setup() with the app",
            head=["", ""],
            rows=[
                ["without the app", f"{median(bases) * 1000:.0f} ms"],
                ["added by the app", f"{median(added) * 1000:.1f} ms"],
                ["modules added", str(len(modules))],
                [f"of {', '.join(HEAVY)}", ", ".join(heavy) or "none"],
            ],
            notes=[
                "The apps of a new project, on SQLite; each time in a fresh process that finds all "
                "bytecode compiled."
            ],
            goal="at most 20 ms, none of the heavy modules",
        )
    ]


def setup(bytecode: str, *apps: str) -> tuple[float, set[str]]:
    """Seconds and imported modules, with compiled bytecode in the folder ``bytecode``."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", CODE, *apps],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    seconds, modules = json.loads(done.stdout)
    return seconds, set(modules)
