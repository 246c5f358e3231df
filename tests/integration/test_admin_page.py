"""The page of one token in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent
from tests.support.admin import change, one, operator, page
from tests.support.provider import Provider


def test_it_is_named_after_provider_user_and_account(
    admin_client: Client, token: OAuthToken
) -> None:
    change(token, account_label="alice@acme")
    text = page(admin_client, one(token))
    assert "<h1>Acme · alice (alice@acme)</h1>" in text
    assert "&rsaquo; Acme · alice (alice@acme)" in text


def test_scopes_that_were_not_granted_are_set_off(admin_client: Client, token: OAuthToken) -> None:
    change(token, scope="email profile", requested_scope="drive profile")
    text = page(admin_client, one(token))
    assert '<li class="missing"><code>drive</code> asked for, not granted</li>' in text
    assert '<li class=""><code>email</code> granted without being asked for</li>' in text
    assert '<li class=""><code>profile</code> </li>' in text


def test_facts(admin_client: Client, token: OAuthToken) -> None:
    now = timezone.now()
    change(
        token,
        error_description="<b>no</b>",
        error_code="http_502",
        failure_count=3,
        failing_since=now - timedelta(hours=2, minutes=1),
        last_used_at=now - timedelta(days=2),
        refresh_token_expires_at=now + timedelta(days=9, hours=1),
    )
    text = page(admin_client, one(token))
    for words in ("&lt;b&gt;no&lt;/b&gt;", "HTTP status 502", "3, for 2 hours", "in 1 week"):
        assert words in text
    # Use is noted to the day, so it may not be told to the minute.
    assert "ago" not in text.split("field-last_used")[1].split("field-failures")[0]


def test_what_there_is_nothing_to_say_about_is_left_out(
    admin_client: Client, token: OAuthToken
) -> None:
    names = ("last_error", "provider_said", "account_label", "account_id")
    text = page(admin_client, one(token))
    assert [name for name in names if f"field-{name}" in text] == []
    change(token, error_code="x", error_description="words", account_label="alice", account_id="7")
    text = page(admin_client, one(token))
    assert [name for name in names if f"field-{name}" not in text] == []


def test_the_history(admin_client: Client, admin_user: AbstractUser, token: OAuthToken) -> None:
    token.actor_id = admin_user.pk
    token.refresh()
    text = page(admin_client, one(token))
    assert text.index("<strong>refreshed") < text.index("<strong>connected")
    newest = text.split("<strong>refreshed</strong>")[1].split("</li>")[0]
    assert "on demand" in newest
    assert "by admin" in newest
    assert text.count("by admin") == 1


def test_a_long_history_is_cut(admin_client: Client, token: OAuthToken) -> None:
    event = TokenEvent.objects.get()
    for _ in range(60):
        event.pk = None
        event.save(force_insert=True)
    text = page(admin_client, one(token))
    assert text.count("<strong>connected</strong>") == 50
    everything = f"/admin/oauth_tokens/tokenevent/?token__id__exact={token.pk}"
    assert everything in text
    assert "61 token events" in page(admin_client, everything)


def test_it_takes_few_queries(
    admin_client: Client, admin_user: AbstractUser, token: OAuthToken
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(admin_client, one(token))
        selected = [query["sql"].split("FROM")[0] for query in queries]
        assert not [sql for sql in selected if "encrypted_access_token" in sql]
        return len(queries)

    before = count()
    event = TokenEvent.objects.get()
    for _ in range(5):
        event.pk, event.actor = None, admin_user
        event.save(force_insert=True)
    assert count() <= before


def test_what_happens_next(admin_client: Client, token: OAuthToken) -> None:
    assert "It will be refreshed in 5" in page(admin_client, one(token))
    token.require_reauthentication("provider_reported")
    events = TokenEvent.objects.filter(kind="reauth_required")
    events.update(created_at=timezone.now() - timedelta(days=3, hours=1))
    assert "connect again, for 3 days now." in page(admin_client, one(token))


BUTTONS = ("refresh", "ask", "mark", "revoke")


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        ({}, BUTTONS),
        ({"encrypted_refresh_token": None}, ("ask", "mark", "revoke")),
        ({"status": "reauth_required"}, ("ask", "revoke")),
        ({"status": "revoking"}, ()),
    ],
)
def test_what_makes_no_sense_is_not_offered(
    admin_client: Client,
    token: OAuthToken,
    provider: Provider,
    values: dict[str, Any],
    offered: tuple[str, ...],
) -> None:
    change(token, **values)
    text = page(admin_client, one(token))
    assert tuple(name for name in BUTTONS if one(token, name) in text) == offered


def test_who_may_only_look_gets_no_button(token: OAuthToken) -> None:
    text = page(operator("view_oauthtoken"), one(token))
    assert [name for name in BUTTONS if one(token, name) in text] == []
