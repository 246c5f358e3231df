"""What every test may use: a provider, a user, and a clean slate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import AbstractUser
from django.dispatch import Signal
from pytest_django import Settings

from oauth_tokens import OAuthToken, signals, usage
from oauth_tokens.models.circuit import forget_all
from tests.support.processes import Processes
from tests.support.provider import Provider

# The first example pays for imports, and two cores are shared: time is no verdict here.
hypothesis.settings.register_profile("tests", deadline=None, database=None)
hypothesis.settings.load_profile("tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked for another database, and what needs none: the run on PostgreSQL
    has all of that."""
    engine = django_settings.DATABASES["default"]["ENGINE"]
    others = [name for name in ("postgresql", "sqlite") if not engine.endswith((name, name + "3"))]
    elsewhere = [item for item in items if any(map(item.get_closest_marker, others))]
    if "postgresql" in others:
        elsewhere += [item for item in items if not _needs_database(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def _needs_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    marked = any(map(item.get_closest_marker, ("django_db", "sqlite")))
    return marked or not fixtures.isdisjoint({"db", "transactional_db"})


@pytest.fixture(scope="session")
def _provider_process() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def provider(_provider_process: Provider, configure: Callable[..., None]) -> Iterator[Provider]:
    """The authorization server, known to Django as "acme"; nothing is issued or recorded yet."""
    _provider_process.reset()
    configure(PROVIDERS={"acme": _provider_process.settings()})
    yield _provider_process
    _provider_process.behave()


@pytest.fixture
def configure(settings: Settings) -> Callable[..., None]:
    """Change keys of ``OAUTH_TOKENS`` for this test, in processes that it starts, too.

    ``acme={...}`` changes keys of that provider's description.
    """

    def change(*, acme: dict[str, Any] | None = None, **changes: Any) -> None:
        values = copy.deepcopy(settings.OAUTH_TOKENS)
        values.update(changes)
        values["PROVIDERS"].get("acme", {}).update(acme or {})
        settings.OAUTH_TOKENS = values

    return change


@pytest.fixture(autouse=True)
def valkey() -> Iterator[redis.Redis]:
    """A client of the worker's logical database, which each test finds empty.

    What the process remembers of providers' health, and of tokens that were used, is forgotten too.
    """
    forget_all()
    usage._used.clear()
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        client.flushdb()
        yield client


@pytest.fixture
def processes(transactional_db: None) -> Iterator[Processes]:
    """Starts processes that share this test's database, provider and settings."""
    running = Processes()
    yield running
    running.end()


@pytest.fixture
def user(db: None, django_user_model: type[AbstractUser]) -> AbstractUser:
    return django_user_model.objects.create_user("alice", "alice@example.org", "secret")


@pytest.fixture
def token(user: AbstractUser, provider: Provider) -> OAuthToken:
    """Alice's connection to "acme", fresh."""
    stored: OAuthToken = user.oauth_tokens.store("acme", provider.issue())
    return stored


@pytest.fixture
def received() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Every signal of the package, by name, with what it was sent with."""
    log: list[tuple[str, dict[str, Any]]] = []
    named = {name: signal for name, signal in vars(signals).items() if isinstance(signal, Signal)}
    receivers = {}
    for name, signal in named.items():

        def receiver(name: str = name, **arguments: Any) -> None:
            arguments.pop("signal")
            log.append((name, arguments))

        receivers[name] = receiver
        signal.connect(receiver)
    yield log
    for name, signal in named.items():
        signal.disconnect(receivers[name])
