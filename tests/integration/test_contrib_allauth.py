"""Tokens of logins by django-allauth, with a real authorization server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AbstractUser
from django.test import Client
from pytest_django import Settings

from oauth_tokens import OAuthToken
from oauth_tokens.exceptions import ProviderMisconfigured, connect_url
from oauth_tokens.providers.registry import resolve_provider
from oauth_tokens.transport import TransportError
from tests.support.neighbours import (  # noqa: F401 - fixtures
    AuthorizationServer,
    breaking_the_transaction,
    log_in,
    neighbours,
    server,
    site,
)
from tests.support.provider import Provider

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("neighbours", "site")]

LOGIN = "/accounts/oidc/toolkit/login/"
APP = "oauth_tokens.contrib.allauth.clients.social_app"


@pytest.fixture(autouse=True)
def toolkit(server: AuthorizationServer, configure: Callable[..., None]) -> None:  # noqa: F811
    configure(PROVIDERS={"toolkit": server.settings()})


@pytest.mark.parametrize("stores", [False, True])
def test_a_signup_and_later_logins_bring_their_tokens(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    settings: Settings,
    stores: bool,
) -> None:
    from allauth.socialaccount.models import SocialAccount, SocialToken

    settings.SOCIALACCOUNT_STORE_TOKENS = stores
    assert log_in(client, server, LOGIN)["Location"] == "/admin/"
    account = SocialAccount.objects.get()
    first = account.user.oauth_tokens.get_valid("toolkit")
    assert (first.account_id, first.scopes) == (account.uid, {"openid", "read"})
    assert server.ask(first.access_token) == 200
    assert first.has_refresh_token
    assert 35000 < first.seconds_left <= 36000
    assert SocialToken.objects.count() == stores
    log_in(Client(), server, LOGIN)
    second = account.user.oauth_tokens.get_valid("toolkit")
    assert (second.pk, second.version) == (first.pk, 2)
    assert second.access_token != first.access_token
    refreshed = second.refresh()
    assert refreshed.version == 3
    assert server.ask(refreshed.access_token) == 200


def test_a_connection_brings_its_token_to_whom_it_belongs(
    client: Client,
    user: AbstractUser,
    server: AuthorizationServer,  # noqa: F811
    configure: Callable[..., None],
) -> None:
    configure(PROVIDERS={"toolkit": server.settings(scope=["openid", "read", "write"])})
    client.force_login(user)
    log_in(client, server, f"{LOGIN}?process=connect")
    token = user.oauth_tokens.get_valid("toolkit")
    assert server.ask(token.access_token) == 200
    # What the login asked for, not what we would have.
    assert token.scopes == {"openid", "read"}


def test_what_is_removed_there_is_disconnected_here(
    client: Client,
    user: AbstractUser,
    django_capture_on_commit_callbacks: Callable[..., Any],
    server: AuthorizationServer,  # noqa: F811
) -> None:
    from allauth.socialaccount.models import SocialAccount

    client.force_login(user)
    log_in(client, server, f"{LOGIN}?process=connect")
    token = user.oauth_tokens.get_valid("toolkit")
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/3rdparty/", {"account": SocialAccount.objects.get().pk})
    assert SocialAccount.objects.count() == OAuthToken.objects.count() == 0
    assert server.ask(token.access_token) != 200


def test_connecting_on_our_pages_finds_the_same_row(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
) -> None:
    log_in(client, server, LOGIN)
    stored = OAuthToken.objects.get()
    log_in(client, server, connect_url("toolkit", ["write"]) or "")
    again = OAuthToken.objects.get()
    assert (again.pk, again.scopes) == (stored.pk, {"openid", "read", "write"})


def test_a_login_never_narrows_what_was_granted(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
) -> None:
    log_in(client, server, LOGIN)
    log_in(client, server, connect_url("toolkit", ["write"]) or "")
    wide = OAuthToken.objects.get()
    log_in(Client(), server, LOGIN)
    assert OAuthToken.objects.get().version == wide.version
    OAuthToken.objects.update(status="reauth_required")
    log_in(Client(), server, LOGIN)
    narrow = OAuthToken.objects.get()
    assert (narrow.status, narrow.scopes) == ("active", {"openid", "read"})


def test_other_providers_are_left_alone(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    configure: Callable[..., None],
) -> None:
    configure(PROVIDERS={"other": server.settings()})
    assert log_in(client, server, LOGIN)["Location"] == "/admin/"
    assert OAuthToken.objects.count() == 0


def test_an_alias_names_the_provider(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    configure: Callable[..., None],
) -> None:
    configure(PROVIDERS={"acme": server.settings(aliases=["toolkit"])})
    log_in(client, server, LOGIN)
    assert OAuthToken.objects.get().provider == "acme"


def test_without_account_ids_a_user_has_one_row(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    configure: Callable[..., None],
) -> None:
    configure(PROVIDERS={"toolkit": server.settings(account_id_from="")})
    log_in(client, server, LOGIN)
    log_in(client, server, "/oauth/toolkit/connect/")
    assert OAuthToken.objects.get().account_id == ""


@pytest.mark.parametrize("broken", ["settings", "keys", "database"])
def test_a_login_survives_whatever_goes_wrong_here(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    if broken == "settings":
        configure(PROVIDERS={"toolkit": server.settings(pkce="perhaps")})
    elif broken == "keys":
        configure(ENCRYPTION_KEYS=["none"])
    else:
        monkeypatch.setattr(OAuthToken, "store_grant", breaking_the_transaction)
    assert log_in(client, server, LOGIN)["Location"] == "/admin/"
    assert client.session["_auth_user_id"]
    assert "could not be taken over" in caplog.text


def test_a_token_of_another_kind_is_not_taken_for_one(
    user: AbstractUser, caplog: pytest.LogCaptureFixture
) -> None:
    from allauth.socialaccount.models import SocialAccount, SocialLogin, SocialToken
    from allauth.socialaccount.signals import social_account_added

    account = SocialAccount(provider="toolkit", uid="7", user=user)
    for token in (None, SocialToken(token="")):
        login = SocialLogin(user=user, account=account)
        login.token = token
        social_account_added.send(SocialLogin, request=None, sociallogin=login)
    assert OAuthToken.objects.count() == 0
    assert caplog.text.count("could not be taken over") == 1


# Client credentials


@pytest.fixture
def app(provider: Provider, configure: Callable[..., None]) -> Any:
    """The client of "acme", kept by django-allauth."""
    from allauth.socialaccount.models import SocialApp

    described = provider.settings(client_from=APP)
    client = {"client_id": described.pop("client_id"), "secret": described.pop("client_secret")}
    configure(PROVIDERS={"acme": described})
    return SocialApp.objects.create(
        provider="openid_connect", provider_id="acme", name="Acme", **client
    )


def test_the_client_is_read_from_its_social_app(
    user: AbstractUser, provider: Provider, app: Any
) -> None:
    stored = user.oauth_tokens.store("acme", provider.issue())
    assert stored.refresh().version == 2
    assert provider.refreshes == 1


@pytest.mark.django_db(transaction=True)
def test_it_is_read_from_coroutines_as_well(
    user: AbstractUser, provider: Provider, app: Any
) -> None:
    stored = user.oauth_tokens.store("acme", provider.issue())
    assert async_to_sync(stored.arefresh)().version == 2


def test_a_changed_secret_is_used_at_once(app: Any) -> None:
    assert resolve_provider("acme").client_secret == app.secret
    app.secret = "another"
    app.save()
    assert resolve_provider("acme").client_secret == "another"


def test_an_unchanged_one_is_not_read_again(
    app: Any, django_assert_num_queries: Callable[..., Any]
) -> None:
    resolve_provider("acme")
    with django_assert_num_queries(0):
        resolve_provider("acme")


def test_a_missing_or_ambiguous_app_is_the_operators_fault(app: Any) -> None:
    from allauth.socialaccount.models import SocialApp

    SocialApp.objects.create(
        provider="openid_connect", provider_id="acme", name="Acme, too", client_id="other"
    )
    with pytest.raises(ProviderMisconfigured, match="several") as several:
        resolve_provider("acme")
    SocialApp.objects.all().delete()
    with pytest.raises(ProviderMisconfigured, match="no social application") as none:
        resolve_provider("acme")
    assert several.value.code == none.value.code == "no_client"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere.at_all", "ModuleNotFoundError"),
        ("tests.integration.test_contrib_allauth.failing", "TransportError"),
        ("tests.integration.test_contrib_allauth.empty", "no client_id"),
    ],
)
def test_a_source_of_credentials_that_fails_is_named(
    provider: Provider, configure: Callable[..., None], path: str, reason: str
) -> None:
    configure(PROVIDERS={"acme": provider.settings(client_from=path)})
    with pytest.raises(ProviderMisconfigured, match=reason) as raised:
        resolve_provider("acme")
    assert path in str(raised.value)
    assert "s3cret" not in str(raised.value)


def failing(name: str) -> dict[str, str]:
    raise TransportError("s3cret", reached=False)


def empty(name: str) -> dict[str, str]:
    return {"client_secret": "s3cret"}
