"""Every snippet of docs/moving.md, executed."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from oauth_tokens import OAuthToken
from oauth_tokens.providers.registry import get_provider, resolve_provider
from tests.support.neighbours import (  # noqa: F401 - fixtures
    APPS,
    AuthorizationServer,
    log_in,
    neighbours,
    server,
    site,
)
from tests.support.provider import Provider

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("neighbours")]

DOCUMENT = Path(__file__).parents[2] / "docs/moving.md"
#: Heading, with the one above it -> its snippets, each as (language, code).
SECTIONS: dict[str, list[tuple[str, str]]] = {}
_above = ""
for _part in re.split(r"^(?=##)", DOCUMENT.read_text(), flags=re.M)[1:]:
    _heading = _part.partition("\n")[0]
    if _heading.startswith("## "):
        _above = _heading.removeprefix("## ")
    _name = _above if _heading.startswith("## ") else f"{_above}: {_heading.removeprefix('### ')}"
    SECTIONS[_name] = re.findall(r"^```(\w+)\n(.*?)^```$", _part, re.M | re.S)


def test_no_snippet_is_forgotten() -> None:
    """Whoever adds one adds a test of it below, and counts it here."""
    assert {name: len(found) for name, found in SECTIONS.items() if found} == {
        "The same provider under two names": 1,
        "django-allauth: Logins from now on": 2,
        "django-allauth: Client credentials from the admin": 1,
        "django-allauth: What is stored already": 1,
        "social-auth: Logins from now on": 1,
        "social-auth: Providers as its backends describe them": 1,
        "social-auth: What is stored already": 1,
    }


def run(section: str, number: int = 0, **names: Any) -> dict[str, Any]:
    """Execute a snippet of settings; returns what it sets."""
    language, code = SECTIONS[section][number]
    assert language == "python"
    exec(compile(code, f"{DOCUMENT}: {section}", "exec"), names)  # noqa: S102
    return names


def providers(section: str) -> dict[str, Any]:
    described = {"OAUTH_TOKENS": {"PROVIDERS": {}}}
    found: dict[str, Any] = run(section, **described)["OAUTH_TOKENS"]["PROVIDERS"]
    return found


def import_as_told(section: str) -> str:
    """Run the commands; returns what they say."""
    language, code = SECTIONS[section][0]
    assert language == "console"
    out = StringIO()
    for line in code.splitlines():
        _prompt, _python, _manage, *command = line.split()
        call_command(*command, stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def google(provider: Provider, configure: Callable[..., None]) -> Provider:
    configure(PROVIDERS={"google": provider.settings(aliases=["google-oauth2"])})
    return provider


def test_names(configure: Callable[..., None]) -> None:
    configure(PROVIDERS=providers("The same provider under two names"))
    assert get_provider("google").aliases == ("google-oauth2",)


def test_allauth_logins(settings: Settings) -> None:
    installed = run("django-allauth: Logins from now on", INSTALLED_APPS=[])["INSTALLED_APPS"]
    # What these apps do is tested next door.
    assert set(installed) <= set(APPS)
    names = run("django-allauth: Logins from now on", 1)
    from allauth.socialaccount.models import SocialApp

    settings.SOCIALACCOUNT_PROVIDERS = names["SOCIALACCOUNT_PROVIDERS"]
    known = SocialApp(provider="google").get_provider(None)
    assert known.get_scope() == ["openid", "email"]
    assert known.get_auth_params() == {"access_type": "offline"}


def test_allauth_credentials(configure: Callable[..., None]) -> None:
    from allauth.socialaccount.models import SocialApp

    configure(PROVIDERS=providers("django-allauth: Client credentials from the admin"))
    SocialApp.objects.create(provider="google", name="Google", client_id="c", secret="s")
    google = resolve_provider("google")
    assert (google.client_id, google.client_secret) == ("c", "s")


def test_allauth_import(user: AbstractUser, google: Provider) -> None:
    from allauth.socialaccount.models import SocialAccount, SocialToken

    response = google.issue()
    token = SocialToken.objects.create(
        account=SocialAccount.objects.create(user=user, provider="google", uid="7"),
        token=response["access_token"],
        token_secret=response["refresh_token"],
    )
    said = import_as_told("django-allauth: What is stored already")
    assert "1 tokens would be imported" in said
    assert "1 tokens imported" in said
    token.refresh_from_db()
    assert token.token_secret == ""
    assert user.oauth_tokens.get_valid("google").version == 2


def test_social_auth_logins(
    client: Client,
    server: AuthorizationServer,  # noqa: F811
    site: Settings,  # noqa: F811
    configure: Callable[..., None],
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    from social_django.models import UserSocialAuth

    names = run("social-auth: Logins from now on")
    site.SOCIAL_AUTH_PIPELINE = names["SOCIAL_AUTH_PIPELINE"]
    site.SOCIAL_AUTH_DISCONNECT_PIPELINE = names["SOCIAL_AUTH_DISCONNECT_PIPELINE"]
    configure(PROVIDERS={"toolkit": server.settings(aliases=["oidc"])})
    log_in(client, server, "/social/login/oidc/")
    association = UserSocialAuth.objects.get()
    assert association.extra_data == {}
    association.user.set_password("secret")
    association.user.save()
    client.force_login(association.user, "django.contrib.auth.backends.ModelBackend")
    assert association.user.oauth_tokens.get_valid("toolkit").has_refresh_token
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/social/disconnect/oidc/")
    assert UserSocialAuth.objects.count() == OAuthToken.objects.count() == 0


def test_social_auth_backends(configure: Callable[..., None]) -> None:
    configure(PROVIDERS=providers("social-auth: Providers as its backends describe them"))
    asana = get_provider("asana")
    assert asana.token_endpoint == "https://app.asana.com/-/oauth_token"
    assert asana.display_name == "Asana"


def test_social_auth_import(user: AbstractUser, google: Provider) -> None:
    from social_django.models import UserSocialAuth

    response = google.issue()
    row = UserSocialAuth.objects.create(
        user=user, provider="google-oauth2", uid="7", extra_data=response
    )
    said = import_as_told("social-auth: What is stored already")
    assert "1 tokens would be imported" in said
    assert "1 tokens imported" in said
    row.refresh_from_db()
    assert "refresh_token" not in row.extra_data
    assert user.oauth_tokens.get_valid("google").version == 2
