"""What operators do in the admin, who may, and what is noted of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractUser
from django.test import Client

from oauth_tokens import OAuthToken, TokenEvent
from oauth_tokens.admin.actions import ACTIONS, MAX_SELECTED
from tests.support.admin import LIST, act, change, one, operator, page
from tests.support.provider import Provider

PERMISSIONS = {action.name: f"{action.permission}_oauthtoken" for action in ACTIONS}
ASKED_FIRST = [action.name for action in ACTIONS if action.question]


def noted(user: AbstractUser, token: OAuthToken, outcome: str) -> None:
    """The admin's log says who did what, and how it ended."""
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (user, str(token.pk))
    assert outcome in entry.change_message


def test_refresh(
    admin_client: Client, admin_user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    text = act(admin_client, "refresh", token)
    assert "Acme · alice was refreshed: version 1 is now 2." in text
    assert OAuthToken.objects.get().version == 2
    assert provider.refreshes == 1
    assert TokenEvent.objects.get(kind="refreshed").actor == admin_user
    noted(admin_user, token, "was refreshed: version 1 is now 2.")


def test_each_outcome_is_told(
    admin_client: Client, admin_user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    other = admin_user.oauth_tokens.store("acme", provider.issue())
    third = admin_user.oauth_tokens.store("acme", provider.issue(), account_id="<3>")
    change(other, status="reauth_required", error_code="refresh_token_expired")
    text = act(admin_client, "refresh", token, other, third)
    assert "Acme · alice was refreshed" in text
    assert "Acme · admin (&lt;3&gt;) was refreshed" in text
    assert "Acme · admin was not refreshed: the refresh token has reached the end" in text
    assert text.count('<li class="success">') == 1
    assert LogEntry.objects.count() == 3


@pytest.mark.parametrize(
    ("fault", "words", "codes"),
    [
        ({"status": 503}, "the provider answered with HTTP status 503", ["http_503"]),
        # Nothing is wrong with the token: the provider's own row says so.
        ({"status": 401, "body": {"error": "invalid_client"}}, "refused this site", []),
    ],
)
def test_refresh_with_a_failing_provider(
    admin_client: Client,
    admin_user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    fault: dict[str, Any],
    words: str,
    codes: list[str],
) -> None:
    provider.misbehave("status", **fault)
    answer = admin_client.post(one(token, "refresh"), follow=True)
    text = answer.content.decode()
    assert answer.redirect_chain == [(one(token), 302)]
    assert "was not refreshed" in text
    assert words in text
    noted(admin_user, token, "was not refreshed")
    failed = TokenEvent.objects.filter(kind="refresh_failed")
    assert [(event.code, event.actor) for event in failed] == [(code, admin_user) for code in codes]


def test_the_button_refreshes_and_a_link_does_not(
    admin_client: Client, token: OAuthToken, provider: Provider
) -> None:
    assert f'action="{one(token, "refresh")}"' in page(admin_client, one(token))
    assert admin_client.get(one(token, "refresh")).status_code == 405
    answer = admin_client.post(one(token, "refresh"), follow=True)
    assert "was refreshed" in answer.content.decode()
    assert provider.refreshes == 1


def test_revoke(
    admin_client: Client, admin_user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    text = act(admin_client, "revoke", token, confirmed="yes")
    assert "Acme · alice was revoked." in text
    assert not OAuthToken.objects.exists()
    assert len(provider.requests("revoke")) == 1
    assert TokenEvent.objects.get(kind="disconnected").actor == admin_user
    assert TokenEvent.objects.get(kind="revoked").actor == admin_user
    noted(admin_user, token, "was revoked")


def test_the_button_revokes(admin_client: Client, token: OAuthToken, provider: Provider) -> None:
    answer = admin_client.post(one(token, "revoke"), follow=True)
    assert answer.redirect_chain == [(LIST, 302)]
    assert not OAuthToken.objects.exists()


def test_a_revocation_that_has_to_wait(
    admin_client: Client, token: OAuthToken, provider: Provider
) -> None:
    provider.misbehave("status", kinds=["revoke"])
    answer = admin_client.post(one(token, "revoke"), follow=True)
    assert answer.redirect_chain == [(one(token), 302)]
    assert "The revocation will be tried again in" in answer.content.decode()
    assert OAuthToken.objects.get().status == "revoking"
    again = admin_client.post(one(token, "revoke"), follow=True).content.decode()
    assert "was not revoked: it is being revoked already." in again
    text = act(admin_client, "ask", token, confirmed="yes")
    assert "Acme · alice: it is being revoked already." in text


def test_mark_for_re_authentication(
    admin_client: Client,
    admin_user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    received: list[tuple[str, dict[str, Any]]],
) -> None:
    text = act(admin_client, "mark", token, confirmed="yes")
    assert "Acme · alice was marked: the user has to connect again." in text
    row = OAuthToken.objects.get()
    assert (row.status, row.error_code) == ("reauth_required", "provider_reported")
    event = TokenEvent.objects.get(kind="reauth_required")
    assert (event.actor, event.detail) == (admin_user, "marked in the admin")
    assert [name for name, _ in received].count("reauth_required") == 1
    assert provider.requests() == []
    noted(admin_user, token, "was marked")
    assert "was not marked: it is not in use." in act(admin_client, "mark", token, confirmed="yes")


def test_a_token_being_refreshed_is_not_marked(admin_client: Client, token: OAuthToken) -> None:
    assert OAuthToken.objects.get().claim("somebody", 60)
    assert "It is being refreshed right now." in page(admin_client, one(token))
    answer = admin_client.post(one(token, "mark"), follow=True)
    assert "it is being refreshed at this moment" in answer.content.decode()
    assert OAuthToken.objects.get().status == "active"


def test_ask_the_user_to_reconnect(
    admin_client: Client, admin_user: AbstractUser, token: OAuthToken, configure: Any
) -> None:
    configure(SITE_URL="https://your.site")
    text = act(admin_client, "ask", token, confirmed="yes")
    assert "Acme · alice: the user is asked by e-mail to connect again." in text
    event = TokenEvent.objects.get(kind="reconnect_asked")
    assert event.actor == admin_user
    assert event.mail_at is not None
    assert OAuthToken.objects.get().status == "active"
    noted(admin_user, token, "is asked by e-mail")


def test_a_user_without_address_cannot_be_asked(
    admin_client: Client, admin_user: AbstractUser, user: AbstractUser, token: OAuthToken
) -> None:
    type(user).objects.filter(pk=user.pk).update(email="")
    text = act(admin_client, "ask", token, confirmed="yes")
    assert "Acme · alice: the user has no e-mail address, or is not active." in text
    noted(admin_user, token, "the user has no e-mail address")


@pytest.mark.parametrize("name", ASKED_FIRST)
def test_asked_first(
    admin_client: Client, token: OAuthToken, provider: Provider, name: str
) -> None:
    (action,) = (action for action in ACTIONS if action.name == name)
    assert f'href="{one(token, name)}"' in page(admin_client, one(token))
    for text, back in (
        (act(admin_client, name, token), LIST),
        (page(admin_client, one(token, name)), one(token)),
    ):
        assert action.question % 1 in text
        assert "Acme · alice" in text
        assert str(action.consequence) in text
        assert f'href="{back}">No, take me back' in text
    assert OAuthToken.objects.get().status == "active"
    assert TokenEvent.objects.count() == 1
    assert provider.requests() == []
    assert not LogEntry.objects.exists()


def test_asked_about_several(
    admin_client: Client, admin_user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    other = admin_user.oauth_tokens.store("acme", provider.issue())
    text = act(admin_client, "revoke", token, other)
    assert "Revoke these tokens?" in text
    for row in (token, other):
        assert f'name="_selected_action" value="{row.pk}"' in text


# Permissions


def test_looking_needs_the_permission_to_view(token: OAuthToken) -> None:
    client = operator(*PERMISSIONS.values())
    assert client.get(LIST).status_code == 403
    for name in PERMISSIONS:
        assert client.post(one(token, name)).status_code == 403
    assert OAuthToken.objects.get().version == 1


@pytest.mark.parametrize("allowed", sorted(set(PERMISSIONS.values())))
def test_each_action_needs_its_permission(
    token: OAuthToken, provider: Provider, allowed: str
) -> None:
    client = operator("view_oauthtoken", allowed)
    listed = page(client, LIST)
    for name, permission in PERMISSIONS.items():
        may = permission == allowed
        assert (f'value="{name}"' in listed) is may
        if not may:
            data = {"action": name, "_selected_action": [token.pk], "confirmed": "yes"}
            assert client.post(LIST, data).status_code == 403
            assert client.post(one(token, name)).status_code == 403
            assert client.get(one(token, name)).status_code == 403
    assert TokenEvent.objects.count() == 1
    assert not LogEntry.objects.exists()
    for name, permission in PERMISSIONS.items():
        if permission == allowed:
            assert client.post(one(token, name)).status_code == 302
            assert LogEntry.objects.filter(user__username="staff").exists()


def test_who_may_only_look_can_do_nothing(token: OAuthToken, provider: Provider) -> None:
    client = operator("view_oauthtoken")
    for name in PERMISSIONS:
        data = {"action": name, "_selected_action": [token.pk], "confirmed": "yes"}
        assert client.post(LIST, data).status_code == 403
        assert client.post(one(token, name)).status_code == 403
    assert "action-checkbox" not in page(client, LIST)
    assert (provider.requests(), TokenEvent.objects.count()) == ([], 1)


def test_a_token_that_does_not_exist(admin_client: Client, token: OAuthToken) -> None:
    for name in PERMISSIONS:
        assert admin_client.post(f"{LIST}999999/{name}/").status_code == 404
        assert admin_client.post(f"{LIST}x/{name}/").status_code == 404


def test_an_action_takes_so_many(
    admin_client: Client, user: AbstractUser, token: OAuthToken, provider: Provider
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
    everyone = list(OAuthToken.objects.all())
    for name in PERMISSIONS:
        text = act(admin_client, name, *everyone, confirmed="yes")
        assert "Select at most 100 tokens at once." in text
    assert provider.requests() == []
    assert TokenEvent.objects.count() == 1
