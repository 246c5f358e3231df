"""Thousands of users with a token each, made faster than by storing them one by one."""

from __future__ import annotations

import http.client
import json
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.utils import timezone

from oauth_tokens import OAuthToken
from tests.support.provider import Provider


def populate(provider: Provider, count: int) -> None:
    """``count`` users whose tokens of "acme" have just expired and can be refreshed."""
    users = get_user_model().objects.bulk_create(
        [get_user_model()(username=f"user{number}") for number in range(count)], batch_size=1000
    )
    expired = timezone.now() - timedelta(seconds=1)
    first = (OAuthToken.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    rows = []
    for pk, (user, response) in enumerate(zip(users, _issue(provider, count), strict=True), first):
        row = OAuthToken(
            pk=pk,
            user=user,
            provider="acme",
            encrypted_access_token=b"",
            issued_at=expired - timedelta(hours=1),
            expires_at=expired,
            refresh_at=expired,
            created_at=expired,
            updated_at=expired,
        )
        row.encrypted_access_token = row._seal("encrypted_access_token", response["access_token"])
        row.encrypted_refresh_token = row._seal(
            "encrypted_refresh_token", response["refresh_token"]
        )
        rows.append(row)
    OAuthToken.objects.bulk_create(rows, batch_size=1000)


def _issue(provider: Provider, count: int) -> list[dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
    issued = []
    body = json.dumps({"scope": "email", "user": "somebody"})
    for _ in range(count):
        connection.request("POST", "/_control/issue", body)
        issued.append(json.loads(connection.getresponse().read()))
    connection.close()
    return issued
