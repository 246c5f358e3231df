"""What users are told by e-mail: each thing once, and nothing that is no longer so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core import checks, mail
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from oauth_tokens import OAuthToken, TokenEvent, exceptions, notices, signals
from oauth_tokens.checks import check_notices
from oauth_tokens.notices import mailer
from oauth_tokens.upkeep import send_due_notices
from tests.support.outbox import (
    DAY,
    SITE,
    attempts,
    dies_in,
    end,
    html_of,
    link_in,
    look_again,
    ripen,
    waiting,
)
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age
from tests.support.site import serve

Configure = Callable[..., None]
Kind = TokenEvent.Kind


# Whose connection has ended


def test_a_user_is_told_once(ended: OAuthToken, django_user_model: Any) -> None:
    assert notices.send_notices() == 1
    assert notices.send_notices() == 0
    (message,) = mail.outbox
    assert message.to == ["alice@example.org"]
    assert message.subject == "Please connect Acme again"
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"
    for part in (str(message.body), html_of(message)):
        assert "the provider no longer accepts it" in part
        assert f"{SITE}/oauth/reconnect/" in part
    assert link_in(message) in html_of(message)
    assert attempts() == [mailer.SENT]
    assert TokenEvent.objects.get(kind=Kind.NOTICE_SENT).detail == Kind.REAUTH_REQUIRED


def test_nothing_secret_is_in_a_mail(token: OAuthToken, provider: Provider) -> None:
    secrets = [token.access_token, token.refresh_token]
    end(token, provider)
    notices.send_notices()
    text = mail.outbox[0].message().as_string() + html_of(mail.outbox[0])
    assert all(secrets)
    assert not [secret for secret in secrets if secret and secret in text]


def test_who_is_led_to_the_provider_at_once_gets_no_mail(
    token: OAuthToken, provider: Provider
) -> None:
    provider.misbehave("status", status=400, body={"error": "invalid_grant"})
    with pytest.raises(exceptions.ReauthenticationRequired):
        age(token, EXPIRED).refresh()
    assert (notices.send_notices(), waiting()) == (0, 1)


def test_nobody_is_told_unless_the_site_wants_it(
    token: OAuthToken, provider: Provider, configure: Configure
) -> None:
    configure(NOTIFY_USERS=False)
    end(token, provider)
    assert waiting() == 0
    configure(NOTIFY_USERS=True)
    assert notices.send_notices() == 0


def test_switching_it_off_holds_for_what_is_waiting(
    ended: OAuthToken, configure: Configure
) -> None:
    configure(NOTIFY_USERS=False)
    assert (notices.send_notices(), waiting()) == (0, 0)


def test_who_has_connected_meanwhile_is_not_told(
    ended: OAuthToken, user: AbstractUser, provider: Provider
) -> None:
    user.oauth_tokens.store("acme", provider.issue())
    assert (notices.send_notices(), waiting(), attempts()) == (0, 0, [])


def test_one_mail_for_two_transitions_of_which_one_is_past(
    ended: OAuthToken, user: AbstractUser, provider: Provider
) -> None:
    end(user.oauth_tokens.store("acme", provider.issue()), provider)
    assert waiting() == 2
    assert (notices.send_notices(), waiting()) == (1, 0)


def test_a_second_transition_is_a_second_mail(
    ended: OAuthToken, user: AbstractUser, provider: Provider
) -> None:
    notices.send_notices()
    end(user.oauth_tokens.store("acme", provider.issue()), provider)
    assert notices.send_notices() == 1


@pytest.mark.parametrize("deleted", [True, False])
def test_who_has_disconnected_is_not_told(
    ended: OAuthToken, user: AbstractUser, deleted: bool
) -> None:
    if deleted:
        user.oauth_tokens.disconnect("acme")
        assert not OAuthToken.objects.exists()
    else:
        OAuthToken.objects.update(status="revoking")
    assert (notices.send_notices(), waiting()) == (0, 0)


def test_a_provider_that_was_removed_from_the_settings(
    ended: OAuthToken, configure: Configure
) -> None:
    configure(PROVIDERS={})
    assert (notices.send_notices(), waiting()) == (0, 0)


@pytest.mark.parametrize("change", [{"email": ""}, {"is_active": False}])
def test_without_an_address_it_is_noted_and_not_tried_again(
    ended: OAuthToken, user: AbstractUser, change: dict[str, Any]
) -> None:
    type(user).objects.update(**change)
    assert (notices.send_notices(), waiting(), attempts()) == (0, 0, [mailer.NO_ADDRESS])


def test_a_slow_receiver_whose_claim_was_taken_over_queues_no_mail(
    token: OAuthToken, provider: Provider
) -> None:
    """The signal may come twice then; the mail may not."""

    def slow(**arguments: Any) -> None:
        TokenEvent.objects.filter(notice_at__isnull=False).update(notice_at=F("notice_at") + DAY)

    signals.reauth_required.connect(slow)
    try:
        end(token, provider)
    finally:
        signals.reauth_required.disconnect(slow)
    assert waiting() == 0
    TokenEvent.objects.filter(notice_at__isnull=False).update(notice_at=timezone.now())
    assert send_due_notices() == 1
    assert waiting() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_callers_rollback_does_not_send_it_twice(ended: OAuthToken) -> None:
    with transaction.atomic():
        assert notices.send_notices() == 1
        transaction.set_rollback(True)
    assert (notices.send_notices(), attempts()) == (0, [mailer.SENT])


# What is about to end


def test_a_user_is_told_ahead_of_the_end(dying: OAuthToken) -> None:
    assert look_again() == 0, "a refresh may still give it new life"
    event = TokenEvent.objects.get(kind=Kind.EXPIRING)
    assert event.mail_at
    assert dying.refresh_at
    assert event.mail_at - dying.refresh_at == notices.SETTLED_AFTER
    ripen()
    assert notices.send_notices() == 1
    (message,) = mail.outbox
    assert dying.refresh_token_expires_at
    day = timezone.localtime(dying.refresh_token_expires_at)
    assert message.subject == f"Your connection to Acme ends on {day:%b}. {day.day}, {day.year}"
    assert look_again() == 0
    assert TokenEvent.objects.filter(kind=Kind.EXPIRING).count() == 1


def test_an_end_that_moves_with_each_refresh_is_none(dying: OAuthToken) -> None:
    look_again()
    dies_in(dying, timedelta(days=6, hours=1))
    ripen()
    assert (notices.send_notices(), waiting(), attempts()) == (0, 0, [])


def test_an_end_that_is_told_anew_to_the_second_is_the_same(dying: OAuthToken) -> None:
    look_again()
    dies_in(dying, timedelta(days=6, seconds=5))
    ripen()
    assert notices.send_notices() == 1
    assert look_again() == 0
    assert waiting() == 0


@pytest.mark.parametrize("left", [timedelta(days=8), -DAY])
def test_only_what_ends_soon(dying: OAuthToken, left: timedelta) -> None:
    dies_in(dying, left)
    look_again()
    assert waiting() == 0


def test_who_has_just_connected_knows(dying: OAuthToken) -> None:
    TokenEvent.objects.filter(kind=Kind.STORED).update(created_at=timezone.now() - DAY)
    look_again()
    assert waiting() == 0


def test_how_long_ahead_is_a_setting(dying: OAuthToken, configure: Configure) -> None:
    configure(NOTIFY_AHEAD=5 * 86400)
    look_again()
    assert waiting() == 0
    configure(NOTIFY_AHEAD=6.5 * 86400)
    look_again()
    assert waiting() == 1


def test_what_has_ended_meanwhile_is_told_as_that(dying: OAuthToken, provider: Provider) -> None:
    look_again()
    end(dying, provider)
    assert notices.send_notices() == 1
    assert mail.outbox[0].subject == "Please connect Acme again"


def test_it_is_looked_for_once_an_hour(dying: OAuthToken) -> None:
    OAuthToken.objects.update(refresh_token_expires_at=None)
    notices.send_notices()
    dies_in(dying, 6 * DAY)
    notices.send_notices()
    assert waiting() == 0
    look_again()
    assert waiting() == 1


# Whom an operator asks


def ask(token: OAuthToken, actor: AbstractUser) -> None:
    notices.ask_to_reconnect(token, actor=actor)


def test_an_operator_asks(
    token: OAuthToken, user: AbstractUser, admin_user: AbstractUser, configure: Configure
) -> None:
    configure(NOTIFY_USERS=False, SITE_URL="https://other.site/")
    ask(token, admin_user)
    event = TokenEvent.objects.get(kind=Kind.RECONNECT_ASKED)
    assert (event.actor_id, event.user_id) == (admin_user.pk, user.pk)
    assert notices.send_notices() == 1
    (message,) = mail.outbox
    assert "https://other.site/oauth/reconnect/" in str(message.body)
    assert "other.site asks you to connect Acme again." in str(message.body)


def test_asking_again_takes_an_hour(token: OAuthToken, admin_user: AbstractUser) -> None:
    ask(token, admin_user)
    for _ in range(2):
        with pytest.raises(notices.CannotAsk, match="within the last hour"):
            ask(token, admin_user)
        notices.send_notices()
    assert len(mail.outbox) == 1
    hour = timedelta(hours=1, minutes=1)
    TokenEvent.objects.update(created_at=F("created_at") - hour)
    ask(token, admin_user)


def test_who_has_connected_need_not_be_asked(
    token: OAuthToken, user: AbstractUser, admin_user: AbstractUser, provider: Provider
) -> None:
    ask(token, admin_user)
    user.oauth_tokens.store("acme", provider.issue())
    assert (notices.send_notices(), waiting()) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"email": ""}, "no e-mail address"),
        ({"is_active": False}, "not active"),
        ({"status": "revoking"}, "being revoked already"),
        ({"provider": "gone"}, "no such provider"),
        ({"urls": False}, "oauth_tokens.urls is not included"),
        ({"SITE_URL": ""}, "SITE_URL is empty"),
    ],
)
def test_who_cannot_be_asked(
    token: OAuthToken,
    admin_user: AbstractUser,
    settings: Settings,
    configure: Configure,
    change: dict[str, Any],
    message: str,
) -> None:
    if "SITE_URL" in change:
        configure(NOTIFY_USERS=False, **change)
    for name, value in change.items():
        setattr(token.user if name in ("email", "is_active") else token, name, value)
    if "urls" in change:
        serve(settings, pages=False)
    with pytest.raises(notices.CannotAsk, match=message):
        ask(token, admin_user)
    assert waiting() == 0


# System checks


def test_a_site_that_can_write_mails() -> None:
    assert check_notices() == []
    assert check_notices in checks.registry.registry.get_checks()


def test_mails_need_a_page_to_lead_to(settings: Settings, configure: Configure) -> None:
    serve(settings, pages=False)
    (warning,) = check_notices()
    assert warning.id == "oauth_tokens.W004"
    assert 'include("oauth_tokens.urls")' in str(warning.hint)
    configure(NOTIFY_USERS=False)
    assert check_notices() == []


def test_the_language_hook_has_to_be_there(configure: Configure) -> None:
    configure(NOTIFY_LANGUAGE="nowhere.language_of")
    (error,) = check_notices()
    assert error.id == "oauth_tokens.E023"
    assert "nowhere" in error.msg
