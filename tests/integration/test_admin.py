"""The admin: its lists, and that no token is ever shown or changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, Permission
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from oauth_tokens import OAuthToken, TokenEvent
from oauth_tokens.models import PendingRevocation, ProviderCircuit, TaskRun
from oauth_tokens.reader import without_secrets
from oauth_tokens.upkeep import SWEEP
from oauth_tokens.words import is_over
from tests.support.admin import LIST, change, one, operator, page
from tests.support.provider import Provider
from tests.support.rows import pending_revocation
from tests.support.token_endpoint import CLIENT_SECRET

FROM_TOKENS = re.compile('FROM [`"]oauth_tokens_oauthtoken[`"]')
Configure = Callable[..., None]
NOW = timezone.now()
#: Expired, and there is nothing to refresh it with.
OVER: dict[str, Any] = {"expires_at": NOW, "encrypted_refresh_token": None}


# The list


def test_the_list(admin_client: Client, token: OAuthToken) -> None:
    change(token, account_label="alice@acme", last_refreshed_at=timezone.now() - timedelta(hours=3))
    text = page(admin_client, LIST)
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
        ({**OVER, "failure_count": 3, "error_code": "http_502"}, ["✕</span> expired"]),
    ],
)
def test_states_and_errors_in_words(
    admin_client: Client, token: OAuthToken, values: dict[str, Any], words: list[str]
) -> None:
    change(token, **values)
    for path in (LIST, one(token)):
        text = page(admin_client, path)
        assert [word for word in words if word not in text] == []


def found_by(client: Client, **query: str) -> set[str]:
    """Primary keys of the tokens that the list shows."""
    return set(re.findall(rf"{LIST}(\d+)/change/", page(client, LIST, **query)))


def test_search(
    admin_client: Client, token: OAuthToken, provider: Provider, admin_user: AbstractUser
) -> None:
    other = admin_user.oauth_tokens.store("acme", provider.issue(), account_id="account-9")
    change(token, account_label="Wonderland")
    for words, found in (
        ("alice@example.org", token),
        ("wonderl", token),
        ("account-9", other),
        ("admin", other),
    ):
        assert found_by(admin_client, q=words) == {str(found.pk)}


@pytest.mark.parametrize(
    ("values", "query"),
    [
        ({"status": "reauth_required"}, {"status__exact": "reauth_required"}),
        ({"status": "revoking"}, {"status__exact": "revoking"}),
        ({"failure_count": 2}, {"failing": "1"}),
        (OVER, {"over": "1"}),
        ({**OVER, "expires_at": None, "status": "revoking"}, {"status__exact": "revoking"}),
        ({"refresh_token_expires_at": NOW + timedelta(hours=23)}, {"expiring": "1"}),
        ({"refresh_token_expires_at": NOW + timedelta(days=6)}, {"expiring": "7"}),
        ({"refresh_token_expires_at": NOW + timedelta(days=29)}, {"expiring": "30"}),
        ({"last_used_at": NOW - timedelta(days=31)}, {"unused": "30"}),
        ({"created_at": NOW - timedelta(days=31)}, {"unused": "30"}),
        ({"error_code": "http_502"}, {"error_code": "http_502"}),
        ({"provider": "elsewhere"}, {"provider": "elsewhere"}),
    ],
)
def test_filters(
    admin_client: Client,
    token: OAuthToken,
    provider: Provider,
    admin_user: AbstractUser,
    values: dict[str, Any],
    query: dict[str, str],
) -> None:
    other = admin_user.oauth_tokens.store("acme", provider.issue())
    change(
        other,
        refresh_token_expires_at=NOW + timedelta(days=31),
        last_used_at=NOW - timedelta(days=29),
    )
    change(token, **values)
    assert found_by(admin_client) == {str(token.pk), str(other.pk)}
    assert found_by(admin_client, **query) == {str(token.pk)}


@pytest.mark.parametrize(
    ("values", "query"),
    [
        ({"refresh_token_expires_at": NOW + timedelta(days=8)}, {"expiring": "7"}),
        ({"refresh_token_expires_at": NOW, "status": "reauth_required"}, {"expiring": "7"}),
        ({"failure_count": 2, "status": "revoking"}, {"failing": "1"}),
        ({"failure_count": 2, **OVER}, {"failing": "1"}),
        ({"refresh_token_expires_at": NOW, **OVER}, {"expiring": "7"}),
        (OVER, {"over": "0"}),
        ({"last_used_at": NOW, "created_at": NOW - timedelta(days=31)}, {"unused": "30"}),
    ],
)
def test_filters_leave_out(
    admin_client: Client, token: OAuthToken, values: dict[str, Any], query: dict[str, str]
) -> None:
    change(token, **values)
    assert found_by(admin_client, **query) == set()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"expires_at": NOW},
        {"expires_at": None, "encrypted_refresh_token": None},
        {"encrypted_refresh_token": None},
        {"refresh_token_expires_at": NOW},
        OVER,
        {"expires_at": NOW, "refresh_token_expires_at": NOW},
        {**OVER, "status": "reauth_required"},
    ],
)
def test_list_overview_status_and_pages_agree_about_what_has_expired(
    admin_client: Client,
    client: Client,
    token: OAuthToken,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, Any],
) -> None:
    change(token, **values)
    TaskRun.objects.create(task=SWEEP, ran_at=timezone.now())
    pk = str(token.pk)
    badge = "</span> expired</span>"
    over = is_over(without_secrets(OAuthToken.objects.all()).get())
    assert (badge in page(admin_client, LIST)) == over
    assert (badge in page(admin_client, one(token))) == over
    assert ("It has expired and cannot" in page(admin_client, one(token))) == over
    assert (pk in found_by(admin_client, over="1")) == over
    in_use = pk in found_by(admin_client, status__exact="active", over="0")
    overview = page(admin_client, "/admin/oauth_tokens/taskrun/")
    for name, label, number in (("over=1", "expired", over), ("over=0", "connected", in_use)):
        shown = re.search(
            rf'{name}">.*?<strong>(\d+)</strong>\s*<span class="label">(\w+)', overview
        )
        assert (shown.groups() if shown else ("0", label)) == (str(int(number)), label)
    call_command("oauth_tokens_status")
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[1:3] == ["connected", "expired"]
    assert table[1].split()[1:3] == [str(int(in_use)), str(int(over))]
    client.force_login(token.user)
    asked = over or "status" in values
    assert (">reconnect needed<" in page(client, "/oauth/")) == asked


def test_filters_say_what_they_mean(admin_client: Client, token: OAuthToken) -> None:
    text = page(admin_client, LIST, error_code="http_502")
    for words in (
        "within 7 days",
        "not used for 30 days",
        "failing now",
        "the provider no longer accepts the refresh token",
        "the provider answered with HTTP status 502",
    ):
        assert words in text
    # The state goes by one name, in the list as in the filter.
    assert not re.search(r">\s*active\s*<", text)
    assert re.search(r">\s*connected\s*</a>", text)


@pytest.mark.parametrize("query", [{"expiring": "9"}, {"unused": "x"}])
def test_a_filter_that_does_not_exist(
    admin_client: Client, token: OAuthToken, query: dict[str, str]
) -> None:
    answer = admin_client.get(LIST, query)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{LIST}?e=1")


def test_the_user_is_a_link_for_who_may_follow_it(token: OAuthToken) -> None:
    link = f'<a href="/admin/auth/user/{token.user_id}/change/">alice</a>'
    client = operator("view_oauthtoken")
    for path in (LIST, one(token)):
        text = page(client, path)
        assert "alice" in text
        assert link not in text
    staff = token.user.__class__.objects.get(username="staff")
    staff.user_permissions.add(Permission.objects.get(codename="view_user"))
    for path in (LIST, one(token)):
        assert link in page(client, path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "not known"),
        ({"refresh_token_expires_at": NOW + timedelta(days=3, hours=1)}, "in 3 days"),
        ({"encrypted_refresh_token": None}, "there is none"),
    ],
)
def test_when_the_refresh_token_dies(
    admin_client: Client, token: OAuthToken, values: dict[str, Any], words: str
) -> None:
    change(token, **values)
    label = '<span class="oauth-label">refresh token dies</span>'
    assert f"{label} {words}</td>" in page(admin_client, LIST)


def test_lists_load_no_secret_and_take_few_queries(
    admin_client: Client, user: AbstractUser, provider: Provider
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(admin_client, LIST)
        rows = [q["sql"] for q in queries if FROM_TOKENS.search(q["sql"])]
        assert rows
        selected = [sql.split("FROM")[0] for sql in rows]
        assert not [sql for sql in selected if "encrypted_access_token" in sql]
        return len(queries)

    user.oauth_tokens.store("acme", provider.issue())
    before = count()
    for number in range(5):
        user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
    assert count() == before


def test_undecryptable_tokens_are_listed_and_shown(
    admin_client: Client, token: OAuthToken, configure: Configure
) -> None:
    change(token, encrypted_access_token=b"broken", encrypted_refresh_token=b"broken")
    assert "connected" in page(admin_client, LIST)
    assert "connected" in page(admin_client, one(token))


# No token, no change


def test_no_page_shows_a_secret(
    admin_client: Client, token: OAuthToken, provider: Provider, user: AbstractUser
) -> None:
    pending_revocation(user, "pending-secret")
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
    paths = [LIST, one(token), one(token, "history"), one(token, "revoke"), one(token, "ask")]
    for model in (TokenEvent, ProviderCircuit, PendingRevocation):
        base = f"/admin/oauth_tokens/{model._meta.model_name}/"
        paths += [base, f"{base}{model._base_manager.get().pk}/change/"]
    for path in paths:
        text = page(admin_client, path)
        assert [secret for secret in secrets if secret in text] == [], path


@pytest.mark.parametrize(
    "model", ["oauthtoken", "tokenevent", "providercircuit", "pendingrevocation"]
)
def test_nothing_is_added_changed_or_deleted(
    admin_client: Client, token: OAuthToken, model: str
) -> None:
    base = f"/admin/oauth_tokens/{model}/"
    assert admin_client.get(f"{base}add/").status_code == 403
    assert "delete_selected" not in page(admin_client, base)
    if model == "oauthtoken":
        assert admin_client.post(one(token), {"provider": "evil"}).status_code == 403
        assert admin_client.post(one(token, "delete"), {"post": "yes"}).status_code == 403
        assert OAuthToken.objects.get().provider == "acme"


def test_a_user_can_be_deleted_with_their_tokens(
    admin_client: Client, user: AbstractUser, token: OAuthToken
) -> None:
    path = f"/admin/auth/user/{user.pk}/delete/"
    assert "Are you sure" in page(admin_client, path)
    assert admin_client.post(path, {"post": "yes"}).status_code == 302
    assert not OAuthToken.objects.exists()


# The other lists


def test_circuits_in_words(admin_client: Client, token: OAuthToken) -> None:
    now = timezone.now()
    ProviderCircuit.failed("strict", "invalid_client", now, "default", operator=True)
    ProviderCircuit.objects.create(provider="down", code="http_500", opened_at=now, probe_at=now)
    ProviderCircuit.objects.create(provider="fine")
    text = page(admin_client, "/admin/oauth_tokens/providercircuit/")
    for words in (
        "refuses this site: check its settings",
        "refused this site&#x27;s credentials",
        "failing, will be tried again",
        "</span> works",
    ):
        assert words in text


def test_the_history_of_all(
    admin_client: Client, admin_user: AbstractUser, token: OAuthToken
) -> None:
    token.actor_id = admin_user.pk
    token.refresh()
    text = page(admin_client, "/admin/oauth_tokens/tokenevent/", kind__exact="refreshed")
    assert "1 token event\n" in text
    for words in ("refreshed", "on demand", '<span class="oauth-label">by</span> admin'):
        assert words in text
    assert re.search(r"\d\.\d\d s</td>", text)
    event = TokenEvent.objects.get(kind="refreshed")
    text = page(admin_client, f"/admin/oauth_tokens/tokenevent/{event.pk}/change/")
    assert f'/admin/auth/user/{admin_user.pk}/change/">admin</a>' in text


@pytest.mark.parametrize("model", ["tokenevent", "providercircuit", "pendingrevocation"])
def test_other_lists_take_few_queries(
    admin_client: Client,
    admin_user: AbstractUser,
    user: AbstractUser,
    provider: Provider,
    model: str,
) -> None:
    def add(number: int) -> None:
        row = user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
        TokenEvent.objects.filter(token=row.pk).update(actor=admin_user)
        ProviderCircuit.objects.create(provider=str(number))
        pending_revocation(user, "pending-secret")

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(admin_client, f"/admin/oauth_tokens/{model}/")
        return len(queries)

    add(0)
    before = count()
    for number in range(1, 5):
        add(number)
    assert count() == before
