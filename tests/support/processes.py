"""Processes of their own that run Django on the database of the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).parents[2]
PROLOGUE = "import django; django.setup()\n"


def environment(**extra: str) -> dict[str, str]:
    """The environment in which ``tests.settings`` leads to the database of this test."""
    name = quote(str(connection.settings_dict["NAME"]), safe="/")
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        scheme = "mysql" if connection.vendor == "mysql" else "postgres"
        url = f"{scheme}://{given['USER']}@{given['HOST']}:{given['PORT']}/{name}"
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": url,
        "OAUTH_TOKENS_JSON": json.dumps(settings.OAUTH_TOKENS),
        "PYTHONPATH": str(ROOT),
        **extra,
    }


class Processes:
    """Starts processes for one test and ends all of them, stopped ones included."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def python(self, code: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Run ``code`` with Django set up; ``sys.argv[1:]`` are ``arguments``."""
        return self.start(sys.executable, "-c", PROLOGUE + code, *arguments, **env)

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment(**env),
            start_new_session=True,
            text=True,
        )
        self._running.append(process)
        return process

    def celery(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """A Celery worker, or whatever else the ``celery`` command can be."""
        return self.start(sys.executable, "-m", "celery", "-A", "tests.celery", *arguments, **env)

    def end(self) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@contextlib.contextmanager
def paused(process: subprocess.Popen[Any]) -> Iterator[None]:
    """SIGSTOP the process group for a while."""
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def wait_until(condition: Callable[[], Any], *, timeout: float = 20, interval: float = 0.02) -> Any:
    """The first true value of ``condition``; fails after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not so within {timeout} s"
        time.sleep(interval)
