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
#: Python's garbage collector passes over everything once in a while: its time is told apart.
CODE = """
import gc, json, sys, time
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
settings.configure(
    INSTALLED_APPS=[f"django.contrib.{name}" for name in apps] + sys.argv[1:],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
collector = [0.0]
def watch(phase, info):
    collector[0] += time.process_time() * (1 if phase == "stop" else -1)
gc.callbacks.append(watch)
start = time.process_time()
import django
django.setup()
print(json.dumps([time.process_time() - start, collector[0], sorted(sys.modules)]))
"""


def run(bench: Bench) -> list[Table]:
    without, within, modules = [], [], set()
    with tempfile.TemporaryDirectory() as bytecode:
        setup(bytecode, "oauth_tokens")  # compiles all that the others find compiled
        for _ in range(bench.few(15, 2)):
            base, before = setup(bytecode)
            ours, after = setup(bytecode, "oauth_tokens")
            without.append(base)
            within.append([ours[0] - base[0], ours[1] - base[1]])
            modules = after - before
    added, collector = (median(column) * 1000 for column in zip(*within, strict=True))
    heavy = [name for name in HEAVY if name in modules]
    return [
        Table(
            key="imports",
            title="django.setup() with the app",
            head=["", ""],
            rows=[
                ["without the app", f"{median(base for base, _ in without) * 1000:.0f} ms"],
                ["added by the app", f"{added:.1f} ms"],
                ["of that, by the garbage collector", f"{collector:.1f} ms"],
                ["modules added", str(len(modules))],
                [f"of {', '.join(HEAVY)}", ", ".join(heavy) or "none"],
            ],
            notes=[
                "The apps of a new project, on SQLite; CPU time, each time in a fresh process that "
                "finds all bytecode compiled.",
                "While the app's modules are imported the garbage collector rests: a pass over all "
                "that Django has made, 14 ms, would be due in between. It comes when it would "
                "without the app, some 2,000 objects later.",
            ],
            goal="at most 20 ms, none of the heavy modules",
        )
    ]


def setup(bytecode: str, *apps: str) -> tuple[tuple[float, float], set[str]]:
    """Seconds, those of the collector, and imported modules; bytecode is in that folder."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", CODE, *apps],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    seconds, collector, modules = json.loads(done.stdout)
    return (seconds, collector), set(modules)
