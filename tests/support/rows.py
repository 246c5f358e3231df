"""Bring stored tokens into the states that tests start from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from oauth_tokens import OAuthToken
from oauth_tokens.models import PendingRevocation

FRESH, STALE, EXPIRED = 1800.0, 120.0, -60.0


def age(token: OAuthToken, seconds_left: float, *, lifetime: float = 3600) -> OAuthToken:
    """Let the access token have ``seconds_left`` of its ``lifetime``; returns the row as stored."""
    expires_at = timezone.now() + timedelta(seconds=seconds_left)
    rows = OAuthToken.objects.filter(pk=token.pk)
    rows.update(
        issued_at=expires_at - timedelta(seconds=lifetime),
        expires_at=expires_at,
        refresh_at=min(timezone.now(), expires_at),
    )
    return rows.get()


def pending_revocation(user: Any, refresh_token: str, **variables: str) -> None:
    """Leave a refresh token of ``user`` at "acme" to be revoked."""
    PendingRevocation.enqueue(
        using="default",
        now=timezone.now(),
        user_id=user.pk,
        provider="acme",
        client_id="client",
        token=refresh_token,
        token_type_hint="refresh_token",
        variables=variables,
    )
