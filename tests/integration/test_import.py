"""``oauth_tokens_import``: from the tables of django-allauth and social-auth."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from oauth_tokens import OAuthToken
from oauth_tokens.contrib.importing import Tally, import_batch
from oauth_tokens.contrib.takeover import names_elsewhere
from tests.support.neighbours import neighbours  # noqa: F401 - a fixture
from tests.support.provider import Provider

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("neighbours")]

PACKAGES = pytest.mark.parametrize("package", ["allauth", "social_auth"])


@pytest.fixture(autouse=True)
def described(provider: Provider, configure: Callable[..., None]) -> None:
    configure(acme={"account_id_from": "userinfo.sub"})


def store(
    package: str,
    user: AbstractUser,
    response: dict[str, Any],
    *,
    name: str = "acme",
    uid: str = "7",
    lifetime: float | None = 1800,
) -> Any:
    """A token as ``package`` would have stored it."""
    access_token, refresh_token = response["access_token"], response.get("refresh_token", "")
    if package == "social_auth":
        from social_django.models import UserSocialAuth

        extra = {"access_token": access_token, "refresh_token": refresh_token, "id": uid}
        if lifetime is not None:
            # An hour's token, of which so much is left.
            extra |= {"auth_time": int(time.time() + lifetime) - 3600, "expires": 3600}
        return UserSocialAuth.objects.create(user=user, provider=name, uid=uid, extra_data=extra)
    from allauth.socialaccount.models import SocialAccount, SocialToken

    return SocialToken.objects.create(
        account=SocialAccount.objects.create(user=user, provider=name, uid=uid),
        token=access_token,
        token_secret=refresh_token,
        expires_at=lifetime and timezone.now() + timedelta(seconds=lifetime),
    )


def theirs(row: Any) -> str:
    """The refresh token that is left in the other package's row."""
    row.refresh_from_db()
    kept: str = (
        row.token_secret
        if hasattr(row, "token_secret")
        else row.extra_data.get("refresh_token", "")
    )
    return kept


def run(package: str, *options: str) -> str:
    out = StringIO()
    call_command("oauth_tokens_import", package, *options, stdout=out, stderr=out)
    return out.getvalue()


@PACKAGES
def test_what_is_imported_is_used_and_refreshed(
    package: str, user: AbstractUser, provider: Provider
) -> None:
    response = provider.issue()
    row = store(package, user, response)
    said = run(package)
    assert "1 tokens imported, 0 were here already, 0 could not be." in said
    assert "let nobody but oauth_tokens refresh them" in said
    token = user.oauth_tokens.get_valid("acme")
    assert (token.account_id, token.access_token) == ("7", response["access_token"])
    assert 1700 < token.seconds_left <= 1800
    assert token.scopes == {"profile", "email"}
    assert theirs(row) == response["refresh_token"]
    token.refresh()
    assert (provider.refreshes, provider.replays) == (1, 0)


@PACKAGES
@pytest.mark.parametrize("lifetime", [-100, None])
def test_one_that_is_expired_or_of_unknown_age_is_refreshed_at_first_use(
    package: str, user: AbstractUser, provider: Provider, lifetime: float | None
) -> None:
    store(package, user, provider.issue(), lifetime=lifetime)
    run(package)
    assert provider.refreshes == 0
    assert user.oauth_tokens.get_valid("acme").version == 2
    assert provider.refreshes == 1


@PACKAGES
def test_running_it_again_never_replaces_what_is_newer(
    package: str, user: AbstractUser, provider: Provider
) -> None:
    store(package, user, provider.issue())
    run(package)
    refreshed = user.oauth_tokens.get_valid("acme").refresh()
    assert "0 tokens imported, 1 were here already" in run(package, "--move")
    assert OAuthToken.objects.get().version == refreshed.version
    assert user.oauth_tokens.get_valid("acme").refresh().version == refreshed.version + 1


@PACKAGES
def test_a_newer_one_of_theirs_replaces_ours(
    package: str, user: AbstractUser, provider: Provider
) -> None:
    user.oauth_tokens.store("acme", {**provider.issue(), "expires_in": 600}, account_id="7")
    later = provider.issue()
    store(package, user, later)
    assert "1 tokens imported" in run(package)
    assert OAuthToken.objects.get().access_token == later["access_token"]


@PACKAGES
def test_one_that_was_granted_less_replaces_nothing(
    package: str, user: AbstractUser, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"scope": ["profile", "email", "files"]})
    user.oauth_tokens.store("acme", {**provider.issue(), "expires_in": 600}, account_id="7")
    configure(acme={"scope": ["profile", "email"]})
    store(package, user, provider.issue())
    assert "1 were here already" in run(package)


@PACKAGES
def test_what_was_disconnected_stays_disconnected(
    package: str, user: AbstractUser, provider: Provider, configure: Callable[..., None]
) -> None:
    user.oauth_tokens.store("acme", {**provider.issue(), "expires_in": 600}, account_id="7")
    OAuthToken.objects.update(status="revoking")
    row = store(package, user, provider.issue())
    assert "0 tokens imported, 1 were here already" in run(package, "--move")
    assert OAuthToken.objects.get().status == "revoking"
    assert theirs(row)


@PACKAGES
def test_moving_leaves_one_refresh_token(
    package: str, user: AbstractUser, provider: Provider
) -> None:
    row = store(package, user, provider.issue())
    said = run(package, "--move")
    assert "1 refresh tokens removed where they were." in said
    assert theirs(row) == ""
    assert user.oauth_tokens.get_valid("acme").refresh().version == 2


@PACKAGES
def test_a_batch_that_fails_leaves_everything_where_it_was(
    package: str, user: AbstractUser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oauth_tokens.management.commands.oauth_tokens_import import _source

    row = store(package, user, provider.issue())
    source = _source(package)

    def fail(pks: list[int]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "forget_refresh_tokens", fail)
    with pytest.raises(KeyboardInterrupt):
        run(package, "--move")
    assert OAuthToken.objects.count() == 0
    assert theirs(row)


@PACKAGES
def test_a_dry_run_writes_nothing(package: str, user: AbstractUser, provider: Provider) -> None:
    row = store(package, user, provider.issue())
    said = run(package, "--dry-run", "--move")
    assert "1 tokens would be imported" in said
    assert "1 refresh tokens would be removed" in said
    assert OAuthToken.objects.count() == 0
    assert theirs(row)


@PACKAGES
def test_rows_that_cannot_be_imported_are_named_and_the_others_are(
    package: str, user: AbstractUser, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = store(package, user, {"access_token": "s3cret\x7f", "refresh_token": "s3cret"}, uid="1")
    store(package, user, provider.issue(), uid="2")
    with pytest.raises(CommandError, match="could not be imported"):
        call_command("oauth_tokens_import", package)
    said = "".join(capsys.readouterr())
    assert f"Row {bad.pk}: There is no OAuth 2.0 access token in it." in said
    assert "1 tokens imported, 0 were here already, 1 could not be." in said
    assert "s3cret" not in said
    assert OAuthToken.objects.get().account_id == "2"


@PACKAGES
def test_providers_are_found_by_alias_and_others_are_left_out(
    package: str, user: AbstractUser, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"aliases": ["acme-oauth2"]})
    store(package, user, provider.issue(), name="acme-oauth2")
    store(package, user, provider.issue(), name="elsewhere")
    said = run(package)
    assert "elsewhere: 1 left out" in said
    assert OAuthToken.objects.get().provider == "acme"


@pytest.mark.parametrize(
    ("package", "kept"),
    [
        ("allauth", {"hub": {"id": 12}}),
        ("allauth", {"userinfo": {"hub": {"id": "12"}}, "id_token": {}}),
        ("social_auth", {"hub": {"id": 12}}),
    ],
)
def test_accounts_have_the_ids_that_connecting_would_give_them(
    package: str,
    user: AbstractUser,
    provider: Provider,
    configure: Callable[..., None],
    kept: dict[str, Any],
) -> None:
    configure(acme={"account_id_from": "userinfo.hub.id"})
    row = store(package, user, provider.issue())
    account = row.account if package == "allauth" else row
    account.extra_data |= kept
    account.save()
    run(package)
    assert OAuthToken.objects.get().account_id == "12"


@PACKAGES
def test_one_provider_alone(
    package: str, user: AbstractUser, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(PROVIDERS={"acme": provider.settings(), "other": provider.settings()})
    store(package, user, provider.issue(), name="acme")
    store(package, user, provider.issue(), name="other")
    run(package, "--provider", "other")
    assert OAuthToken.objects.get().provider == "other"
    with pytest.raises(CommandError, match="no provider 'nobody'"):
        run(package, "--provider", "nobody")


@PACKAGES
def test_queries_do_not_grow_with_what_is_here_already(
    package: str,
    provider: Provider,
    django_user_model: Any,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    for number in range(30):
        user = django_user_model.objects.create_user(f"user{number}")
        store(package, user, provider.issue(), uid=str(number))
    run(package, "--batch-size", "7")
    assert OAuthToken.objects.count() == 30
    with django_assert_max_num_queries(16):
        run(package)


def test_a_login_meanwhile_is_not_overwritten(
    user: AbstractUser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oauth_tokens.contrib import importing
    from oauth_tokens.contrib.allauth import rows

    store("allauth", user, provider.issue())
    newer = provider.issue()
    seconds_until = importing.seconds_until

    def log_in_first(*args: Any) -> Any:
        user.oauth_tokens.store("acme", newer, account_id="7")
        return seconds_until(*args)

    monkeypatch.setattr(importing, "seconds_until", log_in_first)
    tally = Tally()
    import_batch(rows, names_elsewhere(), tally, 10)
    assert [reason for _, reason in tally.errors] == [
        "A login has just stored a newer token. Run the import again."
    ]
    assert OAuthToken.objects.get().access_token == newer["access_token"]


def test_scopes_are_those_that_the_other_package_asked_for(
    user: AbstractUser, provider: Provider, configure: Callable[..., None], settings: Settings
) -> None:
    app = {"client_id": "c", "secret": "s", "settings": {"scope": ["email"]}}
    settings.SOCIALACCOUNT_PROVIDERS = {"google": {"APPS": [app]}}
    configure(PROVIDERS={"google": provider.settings(scope=["email", "calendar"])})
    store("allauth", user, provider.issue(), name="google")
    run("allauth")
    assert OAuthToken.objects.get().scopes == {"email"}


def test_oauth_1_is_none_of_ours(
    user: AbstractUser, provider: Provider, configure: Callable[..., None], settings: Settings
) -> None:
    app = {"client_id": "c", "secret": "s"}
    settings.SOCIALACCOUNT_PROVIDERS = {"twitter": {"APPS": [app]}}
    configure(PROVIDERS={"twitter": provider.settings()})
    store("allauth", user, {"access_token": "a", "refresh_token": "b"}, name="twitter")
    with pytest.raises(CommandError):
        run("allauth")
    assert OAuthToken.objects.count() == 0


@pytest.mark.parametrize(
    ("extra", "seconds_left"),
    [
        ({"expires_in": 3600, "auth_time": -600}, 3000),
        ({"expires": 3600, "auth_time": -600}, 3000),
        ({"expires": "now+900", "auth_time": -600}, 900),
        ({"expires_on": "now+900"}, 900),
        ({"expires": 3600}, 0),
        ({"expires": "soon", "auth_time": -600}, 0),
        ({}, 0),
    ],
)
def test_the_spellings_of_expiry_in_extra_data(
    user: AbstractUser, provider: Provider, extra: dict[str, Any], seconds_left: float
) -> None:
    now = int(time.time())
    if "auth_time" in extra:
        extra = {**extra, "auth_time": now + extra["auth_time"]}
    row = store("social_auth", user, provider.issue(), lifetime=None)
    text = json.dumps(extra).replace('"now+900"', str(now + 900))
    row.extra_data |= json.loads(text)
    row.save()
    run("social_auth")
    token = OAuthToken.objects.get()
    assert abs((token.expires_at - token.issued_at).total_seconds() - seconds_left) < 30


@pytest.mark.parametrize(("scope", "granted"), [("files,profile", {"files", "profile"}), (5, None)])
def test_granted_scopes_that_were_kept_are_kept(
    user: AbstractUser, provider: Provider, scope: Any, granted: set[str] | None
) -> None:
    row = store("social_auth", user, provider.issue())
    row.extra_data["scope"] = scope
    row.save()
    run("social_auth")
    assert OAuthToken.objects.get().scopes == (granted or {"profile", "email"})


def test_extra_data_that_is_no_dict(user: AbstractUser) -> None:
    from social_django.models import UserSocialAuth

    UserSocialAuth.objects.create(user=user, provider="acme", uid="7", extra_data="text")
    with pytest.raises(CommandError):
        run("social_auth")


def test_a_package_that_is_not_installed_is_named(settings: Settings) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "social_django"]
    with pytest.raises(CommandError, match="social_django is not in INSTALLED_APPS"):
        run("social_auth")


def test_batches_have_rows() -> None:
    with pytest.raises(CommandError, match="at least 1"):
        run("allauth", "--batch-size", "0")
