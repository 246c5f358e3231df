"""Which tokens are in which state, as conditions for a query."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from .token import OAuthToken


def over(now: datetime) -> Q:
    """Active tokens that have expired and cannot be refreshed: ``words.is_over`` in SQL."""
    ended = Q(encrypted_refresh_token__isnull=True) | Q(refresh_token_expires_at__lte=now)
    return Q(ended, status=OAuthToken.Status.ACTIVE, expires_at__lte=now)


def in_use(now: datetime) -> Q:
    """Active tokens that are valid or can be refreshed."""
    return Q(status=OAuthToken.Status.ACTIVE) & ~over(now)


def failing(now: datetime) -> Q:
    """Tokens in use whose last refresh failed, and is going to be tried again."""
    return in_use(now) & Q(failure_count__gt=0)


def expiring(days: int, now: datetime) -> Q:
    """Tokens in use whose refresh token is known to die within so many days."""
    return in_use(now) & Q(refresh_token_expires_at__lte=now + timedelta(days=days))


def unused(days: int, now: datetime) -> Q:
    """Tokens that nobody has used for so many days."""
    then = now - timedelta(days=days)
    return Q(last_used_at__lt=then) | Q(last_used_at__isnull=True, created_at__lt=then)
