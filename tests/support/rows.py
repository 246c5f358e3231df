"""Bring stored tokens into the states that tests start from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from oauth_tokens import OAuthToken, rescue
from oauth_tokens.models import PendingRevocation
from oauth_tokens.token_set import TokenSet

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


def forget_claim() -> None:
    """Have the database know of no claim, as after a failover to one that has not seen it."""
    unclaimed = dict.fromkeys(("attempt_id", "attempt_started_at", "attempt_expires_at"))
    assert OAuthToken.objects.filter(attempt_id__isnull=False).update(**unclaimed) == 1


def kept(row: OAuthToken, token_set: TokenSet, **changes: Any) -> rescue.Kept:
    """``token_set`` as it is kept aside where ``row``, which was refreshed, could not be saved."""
    of_row = {
        "provider": row.provider,
        "client_id": row.client_id,
        "version": row.version,
        "grant_id": str(row.grant_id),
        "sent_at": timezone.now(),
    }
    return rescue.Kept(token_set, **{**of_row, **changes})


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
