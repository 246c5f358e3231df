"""pytest plugin that starts the servers before Django reads its settings.

A ``conftest.py`` comes too late for that; ``-p`` in ``addopts`` does not.
"""

from __future__ import annotations

import os

import pytest

from tests.support.servers import ServerProcess

_RUNNING = "OAUTH_TOKENS_TEST_REDIS"
DATABASES = ("postgres", "sqlite", "mariadb")
_servers: list[ServerProcess] = []


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    if _RUNNING not in os.environ:  # else a worker of pytest-xdist: the controller has started them
        database = os.environ.get("TEST_DATABASE", "postgres")
        if database not in DATABASES:
            raise pytest.UsageError(f"TEST_DATABASE is one of {', '.join(DATABASES)}: {database!r}")
        wanted = [] if database == "sqlite" else [database]
        server = ServerProcess("valkey", *wanted)
        _servers.append(server)
        os.environ.update(server.environment)
        os.environ[_RUNNING] = server.environment["REDIS_URL"]
    # Each worker has a logical database of its own.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.environ["REDIS_URL"] = f"{os.environ[_RUNNING]}/{worker}"


def pytest_unconfigure() -> None:
    while _servers:
        _servers.pop().stop()
        del os.environ[_RUNNING]
