"""A site that has been in use for a while: people, their connections in every state, a history."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from oauth_tokens import OAuthToken
from oauth_tokens.models import PendingRevocation, ProviderCircuit, TaskRun, TokenEvent
from oauth_tokens.upkeep import SWEEP
from project.accounts import ALICE, BOB

#: Username, provider, account, and what its row differs in; times in hours from now.
CONNECTIONS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    (ALICE.username, "acme", "", {}),
    (ALICE.username, "google", "alice@example.com", {"refresh_token_expires_at": 30}),
    (ALICE.username, "google", "looking.glass@example.com", {"last_used_at": -24 * 45}),
    (
        ALICE.username,
        "slack",
        "Wonderland",
        {"status": "reauth_required", "error_code": "refresh_token_invalid", "expires_at": -70},
    ),
    (
        ALICE.username,
        "umbrella",
        "",
        {
            "failure_count": 3,
            "failing_since": -2,
            "retry_at": 0.1,
            "error_code": "read_timeout",
            "expires_at": -1,
        },
    ),
    (ALICE.username, "hubspot", "Hatter & Hare", {"status": "revoking", "retry_at": 0.2}),
    (BOB.username, "google", "bob@example.com", {}),
    (
        BOB.username,
        "slack",
        "Steamboat",
        {"status": "reauth_required", "error_code": "refresh_exhausted", "expires_at": -100},
    ),
    ("bartholomew.featherstonehaugh", "google", "", {"refresh_token_expires_at": 24 * 5}),
    ("chidi", "hubspot", "Ethics Department of the University of Sydney", {}),
    ("daria", "github", "daria-builds-things-on-weekends", {"last_used_at": -24 * 60}),
    (
        "emeka",
        "slack",
        "Lagos",
        {"status": "reauth_required", "error_code": "refresh_token_expired", "expires_at": -9},
    ),
)
SCOPES = {
    "acme": "profile",
    "google": "openid email https://www.googleapis.com/auth/calendar.readonly",
    "slack": "channels:read chat:write",
    "hubspot": "crm.objects.contacts.read",
    "github": "repo user:email",
    "umbrella": "profile projects",
}
WEEK = 7 * 24


def populate() -> dict[str, OAuthToken]:
    """Returns Alice's rows by provider; of several accounts, the last."""
    rows = [
        _connection(_person(username), provider, account, changes)
        for username, provider, account, changes in CONNECTIONS
    ]
    TokenEvent.objects.all().delete()
    TokenEvent.objects.bulk_create(event for row in rows for event in _history(row))
    now = timezone.now()
    ProviderCircuit.objects.create(
        provider="umbrella",
        code="read_timeout",
        failure_count=12,
        failed_at=now - timedelta(minutes=1),
        opened_at=now - timedelta(hours=2),
        probe_at=now + timedelta(minutes=1),
    )
    PendingRevocation.objects.create(
        user=_person(BOB.username),
        provider="hubspot",
        client_id="daylight",
        token_type_hint="refresh_token",
        encrypted_token=b"",
        failure_count=2,
        retry_at=now + timedelta(minutes=4),
        created_at=now - timedelta(hours=1),
    )
    TaskRun.note(SWEEP, now - timedelta(minutes=12), "default")
    return {row.provider: row for row in rows if row.user.username == ALICE.username}


def _person(username: str) -> Any:
    users = get_user_model().objects
    return users.get_or_create(username=username, defaults={"email": f"{username}@example.com"})[0]


def _connection(user: Any, provider: str, account: str, changes: dict[str, Any]) -> OAuthToken:
    now = timezone.now()
    response = {
        "access_token": "opaque",
        "refresh_token": "opaque-too",
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": SCOPES[provider],
    }
    row: OAuthToken = user.oauth_tokens.store(provider, response, account_id=account)
    hours = {
        name: now + timedelta(hours=value)
        for name, value in changes.items()
        if name.endswith(("_at", "_since"))
    }
    OAuthToken.objects.filter(pk=row.pk).update(
        account_label=account,
        created_at=now - timedelta(days=40),
        last_refreshed_at=now - timedelta(minutes=20),
        **{"last_used_at": now, **changes, **hours},
    )
    return OAuthToken.objects.get(pk=row.pk)


def _history(row: OAuthToken) -> list[TokenEvent]:
    """A week of refreshes, more of them by day, a few failures, and how it came to its state."""
    now = timezone.now()
    common: dict[str, Any] = {"token": row, "user": row.user, "provider": row.provider}
    kinds = TokenEvent.Kind
    events = [TokenEvent(kind=kinds.STORED, code="created", created_at=row.created_at, **common)]
    for hour in range(WEEK, 0, -1):
        at = now - timedelta(hours=hour, minutes=row.pk % 60)
        if math.sin((hour + row.pk) / 4) < -0.2:
            continue
        failed = (hour * 7 + row.pk) % 29 == 0
        events.append(
            TokenEvent(
                kind=kinds.REFRESH_FAILED if failed else kinds.REFRESHED,
                code="http_503" if failed else "sweep",
                duration=0.08 + (hour * 13 % 17) / 40 + len(row.provider) / 30,
                created_at=at,
                **common,
            )
        )
    if row.status == "reauth_required":
        events.append(
            TokenEvent(
                kind=kinds.REAUTH_REQUIRED, code=row.error_code, created_at=row.expires_at, **common
            )
        )
    return events
