"""``last_used_at`` says which tokens are in use, and costs no caller a write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.signals import request_finished
from django.db import transaction
from django.utils import timezone

from oauth_tokens import OAuthToken, usage
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.django_db(transaction=True)


def last_used() -> Any:
    return OAuthToken.objects.get().last_used_at


def test_use_is_noted_when_the_request_is_over(
    user: AbstractUser, token: OAuthToken, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        user.oauth_tokens.get_valid("acme")
    assert last_used() is None
    request_finished.send(sender=None)
    assert timezone.now() - last_used() < timedelta(minutes=1)


def test_it_is_noted_once_a_day(
    user: AbstractUser, token: OAuthToken, django_assert_num_queries: Any
) -> None:
    today = timezone.now() - timedelta(hours=23)
    OAuthToken.objects.update(last_used_at=today)
    user.oauth_tokens.get_valid("acme")
    with django_assert_num_queries(0):
        usage.flush()
    OAuthToken.objects.update(last_used_at=today - timedelta(hours=2))
    user.oauth_tokens.get_valid("acme")
    usage.flush()
    assert last_used() > today


def test_a_refresh_for_a_caller_is_use_and_one_ahead_of_time_is_not(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    token.refresh()
    usage.flush()
    assert last_used() is None
    age(token, EXPIRED)
    user.oauth_tokens.get_valid("acme")
    usage.flush()
    assert last_used() is not None


def test_a_database_that_fails_spoils_nothing(
    user: AbstractUser, token: OAuthToken, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    user.oauth_tokens.get_valid("acme")
    with monkeypatch.context() as patch:
        patch.setattr("django.db.models.query.QuerySet.update", lambda *a, **k: 1 / 0)
        usage.flush()
    assert "could not be noted" in caplog.text
    assert last_used() is None


def test_a_finished_request_does_not_wait_for_who_holds_the_row(
    user: AbstractUser, token: OAuthToken, caplog: pytest.LogCaptureFixture
) -> None:
    """No longer than a moment: the databases themselves would wait 20 seconds and more."""
    caplog.set_level("INFO", logger="oauth_tokens")
    user.oauth_tokens.get_valid("acme")
    with ThreadPoolExecutor() as pool, transaction.atomic():
        OAuthToken.objects.update(account_label="held")
        pool.submit(usage.flush).result(timeout=15)
    assert last_used() is None
    assert "Traceback" not in caplog.text
    user.oauth_tokens.get_valid("acme")
    usage.flush()
    assert last_used() is not None
