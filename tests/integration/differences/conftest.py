"""A provider that a test describes, at a server that keeps what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from tests.support.recorder import Recorder

Configure = Callable[..., None]


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.fixture
def describe(server: Recorder, configure: Configure) -> Configure:
    """Configure "acme", at the recorder, with what is given."""

    def change(**differences: Any) -> None:
        described = {
            "authorization_endpoint": f"{server.url}/authorize",
            "token_endpoint": f"{server.url}/token",
            "revocation_endpoint": f"{server.url}/revoke",
            "client_id": "new",
            "client_secret": "new-secret",
            **differences,
        }
        configure(PROVIDERS={"acme": described})

    return change


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser) -> None:
    client.force_login(user)
