"""Presets against a server that speaks like the provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from oauth_tokens import jwks, transport
from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.registry import resolve_provider
from oauth_tokens.providers.wire import Answer, Request
from tests.contract.dialect import DIALECTS, Dialect
from tests.contract.stand_in import Conversation, StandIn


@pytest.fixture(scope="session")
def _stand_in() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Of the preset that the test is about."""
    return DIALECTS[request.node.callspec.params["preset"]]


@pytest.fixture
def conversation(
    dialect: Dialect,
    _stand_in: StandIn,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Conversation:
    """What the stand-in, which all https addresses lead to, and the site say to each other."""
    real = transport.send

    def send(request: Request, **limits: Any) -> Any:
        return real(replace(request, url=_stand_in.here(request.url)), **limits)

    monkeypatch.setattr(transport, "send", send)
    jwks.forget_all()
    configure(PROVIDERS={dialect.name: dialect.description()})
    _stand_in.conversation = Conversation(dialect)
    return _stand_in.conversation


@pytest.fixture
def site(conversation: Conversation) -> Site:
    return Site(conversation.dialect)


class Site:
    """What the package does with a preset: builds a request, sends it, reads the answer."""

    def __init__(self, dialect: Dialect) -> None:
        self.provider: Provider = resolve_provider(dialect.name, variables=dialect.variables)

    def ask(self, request: Request) -> Answer:
        response = transport.send(request, timeout=5)
        return self.provider.classify(response, secrets=("REFRESH-0", "REFRESH-1"))
