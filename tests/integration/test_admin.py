"""The admin: what operators see and do, and that no token is ever shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent
from oauth_tokens.admin.tokens import MAX_SELECTED
from oauth_tokens.models import PendingRevocation, ProviderCircuit
from tests.support.provider import Provider
from tests.support.token_endpoint import CLIENT_SECRET

LIST = "/admin/oauth_tokens/oauthtoken/"
FROM_TOKENS = re.compile('FROM [`"]oauth_tokens_oauthtoken[`"]')
Configure = Callable[..., None]


@pytest.fixture
def admin(admin_user: AbstractUser) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def operator(django_user_model: type[AbstractUser]) -> Callable[..., Client]:
    """A member of staff with these permissions."""

    def create(*codenames: str) -> Client:
        staff = django_user_model.objects.create_user("staff", is_staff=True)
        staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(staff)
        return client

    return create


def page(client: Client, path: str, **data: Any) -> str:
    answer = client.get(path, data)
    assert answer.status_code == 200
    return answer.content.decode().replace("\xa0", " ")


def act(client: Client, action: str, *tokens: OAuthToken, **more: str) -> str:
    """Choose an action in the list; returns the page that it ends on."""
    selected = [token.pk for token in tokens]
    data = {"action": action, "_selected_action": selected, **more}
    answer = client.post(LIST, data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def one(token: OAuthToken, what: str = "change") -> str:
    return f"{LIST}{token.pk}/{what}/"


def fail(token: OAuthToken, **values: Any) -> None:
    OAuthToken.objects.filter(pk=token.pk).update(**values)


# The list


def test_the_list(admin: Client, token: OAuthToken) -> None:
    fail(token, account_label="alice@acme", last_refreshed_at=timezone.now() - timedelta(hours=3))
    text = page(admin, LIST)
    assert (
        '<span class="oauth-state good"><span aria-hidden="true">✓</span> connected</span>' in text
    )
    for words in ("acme", "alice", "alice@acme", "in 59 minutes", "3 hours ago"):
        assert words in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"status": "reauth_required", "error_code": "refresh_token_invalid"},
            ["✕</span> needs re-authentication", "no longer accepts the refresh token"],
        ),
        (
            {"failure_count": 3, "error_code": "http_502"},
            ["!</span> failing", "the provider answered with HTTP status 502"],
        ),
        ({"status": "revoking"}, ["!</span> being revoked"]),
        ({"expires_at": None}, ["never"]),
    ],
)
def test_states_and_errors_in_words(
    admin: Client, token: OAuthToken, values: dict[str, Any], words: list[str]
) -> None:
    fail(token, **values)
    for path in (LIST, one(token)):
        text = page(admin, path)
        assert [word for word in words if word not in text] == []


def test_filters_and_search(
    admin: Client, token: OAuthToken, provider: Provider, admin_user: AbstractUser
) -> None:
    other = admin_user.oauth_tokens.store("acme", provider.issue(), account_id="account-9")
    fail(other, status="reauth_required")
    for query, found in (
        ({"status__exact": "reauth_required"}, other),
        ({"status__exact": "active"}, token),
        ({"q": "alice@example.org"}, token),
        ({"q": "account-9"}, other),
        ({"q": "admin"}, other),
    ):
        text = page(admin, LIST, **query)
        assert "1 OAuth token\n" in text
        assert one(found) in text
    assert "0 OAuth tokens" in page(admin, LIST, provider="none")


def test_lists_load_no_secret_and_take_few_queries(
    admin: Client, user: AbstractUser, provider: Provider
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(admin, LIST)
        rows = [q["sql"] for q in queries if FROM_TOKENS.search(q["sql"])]
        assert rows
        selected = [sql.split("FROM")[0] for sql in rows]
        assert not [sql for sql in selected if '"encrypted_access_token"' in sql]
        return len(queries)

    user.oauth_tokens.store("acme", provider.issue())
    before = count()
    for number in range(5):
        user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
    assert count() == before


def test_undecryptable_tokens_are_listed_and_shown(
    admin: Client, token: OAuthToken, configure: Configure
) -> None:
    fail(token, encrypted_access_token=b"broken", encrypted_refresh_token=b"broken")
    assert "connected" in page(admin, LIST)
    assert "connected" in page(admin, one(token))


# No token, no change


def test_no_page_shows_a_secret(
    admin: Client, token: OAuthToken, provider: Provider, user: AbstractUser
) -> None:
    PendingRevocation.enqueue(
        using="default",
        now=timezone.now(),
        user_id=user.pk,
        provider="acme",
        client_id="client",
        token="pending-secret",
        token_type_hint="refresh_token",
    )
    ProviderCircuit.failed("acme", "http_500", timezone.now(), "default")
    row = OAuthToken.objects.get()
    secrets = [
        row.access_token,
        str(row.refresh_token),
        CLIENT_SECRET,
        "pending-secret",
        "encrypted_",
        "attempt_",
        str(row.grant_id),
        bytes(row.encrypted_access_token).hex(),
    ]
    paths = [LIST, one(token), one(token, "history"), one(token, "revoke")]
    for model in (TokenEvent, ProviderCircuit, PendingRevocation):
        base = f"/admin/oauth_tokens/{model._meta.model_name}/"
        paths += [base, f"{base}{model._base_manager.get().pk}/change/"]
    for path in paths:
        text = page(admin, path)
        assert [secret for secret in secrets if secret in text] == [], path


@pytest.mark.parametrize(
    "model", ["oauthtoken", "tokenevent", "providercircuit", "pendingrevocation"]
)
def test_nothing_is_added_changed_or_deleted(admin: Client, token: OAuthToken, model: str) -> None:
    base = f"/admin/oauth_tokens/{model}/"
    assert admin.get(f"{base}add/").status_code == 403
    assert "delete_selected" not in page(admin, base)
    if model == "oauthtoken":
        assert admin.post(one(token), {"provider": "evil"}).status_code == 403
        assert admin.post(one(token, "delete"), {"post": "yes"}).status_code == 403
        assert OAuthToken.objects.get().provider == "acme"


def test_a_user_can_be_deleted_with_their_tokens(
    admin: Client, user: AbstractUser, token: OAuthToken
) -> None:
    path = f"/admin/auth/user/{user.pk}/delete/"
    assert "Are you sure" in page(admin, path)
    assert admin.post(path, {"post": "yes"}).status_code == 302
    assert not OAuthToken.objects.exists()


# The page of one token


def test_the_page_of_a_token(admin: Client, token: OAuthToken, provider: Provider) -> None:
    fail(token, requested_scope="profile email drive", error_description="<b>no</b>")
    token.refresh()
    fail(token, error_description="<b>no</b>")
    text = page(admin, one(token))
    assert "email, profile" in text
    assert "profile, email, drive" in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text
    assert "<strong>connected</strong>" in text
    assert "<strong>refreshed</strong>" in text
    assert "on demand" in text
    assert text.index("<strong>refreshed") < text.index("<strong>connected")


def test_a_long_history_is_cut(admin: Client, token: OAuthToken) -> None:
    event = TokenEvent.objects.get()
    for _ in range(60):
        event.pk = None
        event.save(force_insert=True)
    text = page(admin, one(token))
    assert text.count("<strong>connected</strong>") == 50
    everything = f"/admin/oauth_tokens/tokenevent/?token__id__exact={token.pk}"
    assert everything in text
    assert "61 token events" in page(admin, everything)


# Refresh now


def test_refresh_now(
    admin: Client, admin_user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    text = act(admin, "refresh_now", token)
    assert "Acme · alice was refreshed: version 1 is now 2." in text
    assert OAuthToken.objects.get().version == 2
    assert provider.refreshes == 1
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (admin_user, str(token.pk))
    assert "was refreshed" in entry.change_message


def test_refresh_now_tells_each_outcome(
    admin: Client, admin_user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    other = admin_user.oauth_tokens.store("acme", provider.issue())
    fail(other, status="reauth_required", error_code="refresh_token_expired")
    text = act(admin, "refresh_now", token, other)
    assert "Acme · alice was refreshed" in text
    assert "Acme · admin was not refreshed: the refresh token has reached the end" in text
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 503}, "the provider answered with HTTP status 503"),
        ({"status": 401, "body": {"error": "invalid_client"}}, "refused this site"),
    ],
)
def test_refresh_now_with_a_failing_provider(
    admin: Client, token: OAuthToken, provider: Provider, fault: dict[str, Any], words: str
) -> None:
    provider.misbehave("status", **fault)
    answer = admin.post(one(token, "refresh"), follow=True)
    text = answer.content.decode()
    assert answer.redirect_chain == [(one(token), 302)]
    assert "was not refreshed" in text
    assert words in text


def test_the_button_refreshes(admin: Client, token: OAuthToken, provider: Provider) -> None:
    assert f'action="{one(token, "refresh")}"' in page(admin, one(token))
    assert admin.get(one(token, "refresh")).status_code == 405
    answer = admin.post(one(token, "refresh"), follow=True)
    assert "was refreshed" in answer.content.decode()
    assert provider.refreshes == 1


# Revoke


def test_revoke_asks_first(
    admin: Client, admin_user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    text = act(admin, "revoke", token)
    assert "Revoke this token?" in text
    assert "acme · alice" in text
    assert OAuthToken.objects.get().status == "active"
    assert provider.requests("revoke") == []
    text = act(admin, "revoke", token, confirmed="yes")
    assert "Acme · alice was revoked." in text
    assert not OAuthToken.objects.exists()
    assert len(provider.requests("revoke")) == 1
    assert TokenEvent.objects.filter(kind="disconnected").get().detail == "by admin"
    assert LogEntry.objects.get().user == admin_user


def test_the_button_revokes(admin: Client, token: OAuthToken, provider: Provider) -> None:
    provider.misbehave("status", kinds=["revoke"])
    assert f'href="{one(token, "revoke")}"' in page(admin, one(token))
    assert "Revoke this token?" in page(admin, one(token, "revoke"))
    answer = admin.post(one(token, "revoke"), follow=True)
    assert answer.redirect_chain == [(LIST, 302)]
    assert OAuthToken.objects.get().status == "revoking"
    assert "/revoke/" not in page(admin, one(token))


# Permissions


def test_looking_needs_the_permission_to_view(
    operator: Callable[..., Client], token: OAuthToken
) -> None:
    client = operator("refresh_oauthtoken", "revoke_oauthtoken")
    assert client.get(LIST).status_code == 403
    assert client.post(one(token, "refresh")).status_code == 403
    assert client.post(one(token, "revoke")).status_code == 403
    assert OAuthToken.objects.get().version == 1


@pytest.mark.parametrize(
    ("permission", "allowed"), [("refresh_oauthtoken", "refresh"), ("revoke_oauthtoken", "revoke")]
)
def test_each_action_needs_its_permission(
    operator: Callable[..., Client],
    token: OAuthToken,
    provider: Provider,
    permission: str,
    allowed: str,
) -> None:
    client = operator("view_oauthtoken", permission)
    (denied,) = {"refresh", "revoke"} - {allowed}
    text = page(client, one(token)) + page(client, LIST)
    assert one(token, allowed) in text
    assert one(token, denied) not in text
    assert client.post(one(token, denied)).status_code == 403
    act(client, {"refresh": "refresh_now"}.get(denied, denied), token, confirmed="yes")
    assert provider.requests() == []
    assert client.post(one(token, allowed)).status_code == 302
    assert len(provider.requests()) == 1


def test_a_token_that_does_not_exist(admin: Client, token: OAuthToken) -> None:
    assert admin.post(f"{LIST}999999/refresh/").status_code == 404
    assert admin.get(f"{LIST}x/revoke/").status_code == 404


def test_an_action_takes_so_many(
    admin: Client, user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    row = OAuthToken.objects.get()
    rows = []
    for number in range(MAX_SELECTED):
        values = {
            field.attname: getattr(row, field.attname)
            for field in OAuthToken._meta.concrete_fields
            if not field.primary_key
        }
        rows.append(OAuthToken(**{**values, "account_id": str(number)}))
    OAuthToken.objects.bulk_create(rows)
    for action in ("refresh_now", "revoke"):
        text = act(admin, action, *OAuthToken.objects.all(), confirmed="yes")
        assert "Select at most 100 tokens at once." in text
    assert provider.requests() == []


# The other lists


def test_circuits_in_words(admin: Client, token: OAuthToken) -> None:
    now = timezone.now()
    ProviderCircuit.failed("strict", "invalid_client", now, "default", operator=True)
    ProviderCircuit.objects.create(provider="down", code="http_500", opened_at=now, probe_at=now)
    ProviderCircuit.objects.create(provider="fine")
    text = page(admin, "/admin/oauth_tokens/providercircuit/")
    for words in (
        "refuses this site: check its settings",
        "refused this site&#x27;s credentials",
        "failing, will be tried again",
        "</span> works",
    ):
        assert words in text
