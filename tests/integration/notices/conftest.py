"""A site that sends notices, and who gets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from oauth_tokens import OAuthToken, TokenEvent
from tests.support.mails import LOCMEM, SMTP, MailServer, use_backend
from tests.support.outbox import SITE, dies_in, end
from tests.support.provider import Provider


@pytest.fixture(autouse=True)
def notifying(configure: Callable[..., None], provider: Provider, settings: Settings) -> None:
    use_backend(settings, LOCMEM)
    configure(NOTIFY_USERS=True, SITE_URL=SITE)


@pytest.fixture
def ended(token: OAuthToken, provider: Provider) -> OAuthToken:
    """Alice's connection, which the provider no longer accepts; its mail is due."""
    return end(token, provider)


@pytest.fixture
def dying(token: OAuthToken) -> OAuthToken:
    """Alice's connection of long ago, whose refresh token dies in six days."""
    TokenEvent.objects.update(created_at=timezone.now() - timedelta(days=30))
    return dies_in(token, timedelta(days=6))


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    server = MailServer()
    use_backend(settings, SMTP, host="127.0.0.1", port=server.port, timeout=5)
    yield server
    server.stop()
