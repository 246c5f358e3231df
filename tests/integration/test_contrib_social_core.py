"""Providers as the backends of social-core describe them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import social_core.backends
from django.contrib.auth.models import AbstractUser
from django.test import Client
from pytest_django import Settings
from social_core.backends.oauth import BaseOAuth2, BaseOAuth2PKCE

from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.providers.checking import provider_problems
from oauth_tokens.providers.registry import get_provider
from oauth_tokens.providers.social_core import BackendUnusable, read_backend
from tests.support.consent import connect
from tests.support.provider import Provider
from tests.support.token_endpoint import CLIENT_ID, CLIENT_SECRET

BACKENDS = "social_core.backends"
POST = {"token_endpoint_auth_method": "client_secret_post"}
BASIC = {"token_endpoint_auth_method": "client_secret_basic", "basic_encoding": "none"}
#: What the classes say, compared by eye with their source.
FACTS: dict[str, dict[str, Any]] = {
    "asana.AsanaOAuth2": {
        "authorization_endpoint": "https://app.asana.com/-/oauth_authorize",
        "token_endpoint": "https://app.asana.com/-/oauth_token",
        "metadata_fields": ("name", "gid"),
        "label": "Asana",
        "aliases": ("asana",),
        "pkce": False,
        **POST,
    },
    "google.GoogleOAuth2": {
        "authorization_endpoint": "https://accounts.google.com/o/oauth2/auth",
        "token_endpoint": "https://accounts.google.com/o/oauth2/token",
        "revocation_endpoint": "https://accounts.google.com/o/oauth2/revoke",
        "revocation_method": "GET",
        "revocation_auth_method": "none",
        "revocation_parameter_names": {"client_id": "", "token_type_hint": ""},
        "revocation_token": "access_token",
        "scope": ("openid", "email", "profile"),
        "metadata_fields": ("sub",),
        "label": "Google",
        "aliases": ("google-oauth2",),
        "pkce": False,
        **POST,
    },
    "github.GithubOAuth2": {
        "authorization_endpoint": "https://github.com/login/oauth/authorize",
        "token_endpoint": "https://github.com/login/oauth/access_token",
        "scope_separator": ",",
        "metadata_fields": ("id", "login"),
        "label": "GitHub",
        "aliases": ("github",),
        "pkce": False,
        **POST,
    },
    "slack.SlackOAuth2": {
        "authorization_endpoint": "https://slack.com/oauth/authorize",
        "token_endpoint": "https://slack.com/api/oauth.access",
        "scope": ("identity.basic", "identity.email"),
        "scope_separator": ",",
        "metadata_fields": ("id", "name", "real_name"),
        "label": "Slack",
        "aliases": ("slack",),
        "pkce": False,
        **POST,
    },
    "microsoft.MicrosoftOAuth2": {
        "authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "scope": ("User.Read",),
        "label": "Microsoft",
        "aliases": ("microsoft-graph",),
        "pkce": False,
        **POST,
    },
    "linkedin.LinkedinOpenIdConnect": {
        "issuer": "https://www.linkedin.com/oauth",
        "scope": ("openid", "profile", "email"),
        "nonce": False,
        "account_id_from": "id_token.sub",
        "metadata_fields": ("sub",),
        "label": "LinkedIn",
        "aliases": ("linkedin-openidconnect",),
        "pkce": False,
        **POST,
    },
    "bitbucket.BitbucketOAuth2": {
        "authorization_endpoint": "https://bitbucket.org/site/oauth2/authorize",
        "token_endpoint": "https://bitbucket.org/site/oauth2/access_token",
        "label": "Bitbucket",
        "aliases": ("bitbucket-oauth2",),
        "pkce": False,
        **BASIC,
    },
    "fitbit.FitbitOAuth2": {
        "authorization_endpoint": "https://www.fitbit.com/oauth2/authorize",
        "token_endpoint": "https://api.fitbit.com/oauth2/token",
        "scope": ("profile",),
        "metadata_fields": ("encodedId", "displayName"),
        "label": "Fitbit",
        "aliases": ("fitbit",),
        "pkce": False,
        **BASIC,
    },
}
#: One difference each.
DIFFERENCES: list[tuple[str, str, Any]] = [
    ("atlassian.AtlassianOAuth2", "authorization_params", {"audience": "api.atlassian.com"}),
    ("box.BoxOAuth2", "revocation_endpoint", "https://www.box.com/api/oauth2/revoke"),
    ("chatwork.ChatworkOAuth2", "token_endpoint_auth_method", "client_secret_basic"),
    ("cilogon.CILogonOAuth2", "scope_separator", None),
    ("coinbase.CoinbaseOAuth2", "revocation_auth_method", "client_secret_post"),
    ("discord.DiscordOAuth2", "revocation_method", None),
    ("disqus.DisqusOAuth2", "scope_separator", ","),
    ("facebook.FacebookOAuth2", "refresh_with", "access_token"),
    ("facebook.FacebookOAuth2", "refresh_grant_type", "fb_exchange_token"),
    ("facebook.FacebookOAuth2", "revocation_endpoint", None),
    ("facebook.FacebookOAuth2", "authorization_parameter_names", {"response_type": ""}),
    (
        "facebook.FacebookOAuth2",
        "refresh_parameter_names",
        {"refresh_token": "fb_exchange_token"},
    ),
    ("globus.GlobusOpenIdConnect", "issuer", "https://auth.globus.org"),
    ("google_openidconnect.GoogleOpenIdConnect", "issuer", "https://accounts.google.com"),
    ("kakao.KakaoOAuth2", "token_parameter_names", {"redirect_uri": ""}),
    ("odnoklassniki.OdnoklassnikiOAuth2", "scope_separator", ";"),
    ("qiita.QiitaOAuth2", "token_body", "json"),
    ("reddit.RedditOAuth2", "refresh_params", {"redirect_uri": "{redirect_uri}"}),
    (
        "salesforce.SalesforceOAuth2",
        "metadata_fields",
        ("id", "instance_url", "issued_at", "signature"),
    ),
    ("spotify.SpotifyOAuth2", "token_endpoint_auth_method", "client_secret_basic"),
    ("strava.StravaOAuth", "revocation_parameter_names", {"token": "access_token"}),
    ("twitter_oauth2.TwitterOAuth2", "pkce", None),
    ("untappd.UntappdOAuth2", "token_method", "GET"),
    ("untappd.UntappdOAuth2", "authorization_parameter_names", {"redirect_uri": "redirect_url"}),
    ("vimeo.VimeoOAuth2", "refresh_endpoint", "https://api.vimeo.com/oauth/request_token"),
    ("weixin.WeixinOAuth2", "authorization_parameter_names", {"client_id": "appid"}),
    (
        "weixin.WeixinOAuth2",
        "token_parameter_names",
        {"client_id": "appid", "client_secret": "secret"},
    ),
    ("yahoo.YahooOAuth2", "token_endpoint_auth_method", "client_secret_basic"),
    ("zoom.ZoomOAuth2", "scope", ("user:read",)),
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Asking a backend is no I/O."""
    if "provider" not in request.fixturenames:

        def refuse(*args: object) -> None:
            raise AssertionError("it opened a connection")

        monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", FACTS)
def test_what_a_backend_says(name: str) -> None:
    assert read_backend(f"{BACKENDS}.{name}") == FACTS[name]


@pytest.mark.parametrize(("name", "key", "value"), DIFFERENCES)
def test_what_is_different_about_one(name: str, key: str, value: Any) -> None:
    said = read_backend(f"{BACKENDS}.{name}").get(key)
    if isinstance(value, dict):
        assert said is not None
        assert value.items() <= said.items()
    else:
        assert said == value


def backends() -> Iterator[str]:
    """Dotted paths of all backends of OAuth 2.0 that the installed package has."""
    for found in pkgutil.iter_modules(social_core.backends.__path__):
        try:
            with warnings.catch_warnings():
                # Imports of an import of theirs are deprecated.
                warnings.simplefilter("ignore", DeprecationWarning)
                module = importlib.import_module(f"{BACKENDS}.{found.name}")
        except ImportError:
            continue  # one that needs an extra
        for name, value in vars(module).items():
            if (
                inspect.isclass(value)
                and issubclass(value, BaseOAuth2)
                and value.__module__ == module.__name__
            ):
                yield f"{module.__name__}.{name}"


def test_most_backends_of_the_package_describe_a_provider() -> None:
    sound, unusable, incomplete = [], {}, {}
    for path in backends():
        raw = {"social_core_backend": path, "client_id": "c", "client_secret": "s"}
        problems = list(provider_problems("acme", raw))
        if not problems:
            sound.append(path)
        elif problems[0].id == "oauth_tokens.E021":
            unusable[path] = problems[0]
        else:
            incomplete[path] = {problem.id for problem in problems}
    assert len(sound) >= 140
    assert len(unusable) <= 25
    assert all(path in problem.message or problem.hint for path, problem in unusable.items())
    # Those whose addresses are settings of their own, http:// or missing altogether.
    ids = {"oauth_tokens.E014", "oauth_tokens.E017", "oauth_tokens.E019"}
    assert all(found <= ids for found in incomplete.values()), incomplete


# Settings of social-auth


def test_settings_of_social_auth_count(settings: Settings) -> None:
    settings.SOCIAL_AUTH_ASANA_KEY = "our-client"
    settings.SOCIAL_AUTH_ASANA_SECRET = "our-secret"
    settings.SOCIAL_AUTH_ASANA_SCOPE = ["tasks:read"]
    settings.SOCIAL_AUTH_ASANA_AUTH_EXTRA_ARGUMENTS = {"access_type": "offline"}
    said = read_backend(f"{BACKENDS}.asana.AsanaOAuth2")
    assert (said["client_id"], said["client_secret"]) == ("our-client", "our-secret")
    assert said["scope"] == ("tasks:read",)
    assert said["authorization_params"] == {"access_type": "offline"}


def test_addresses_with_settings_in_them(settings: Settings) -> None:
    path = f"{BACKENDS}.auth0.Auth0OAuth2"
    with pytest.raises(BackendUnusable) as raised:
        read_backend(path)
    assert "or set SOCIAL_AUTH_AUTH0_DOMAIN" in raised.value.fix
    settings.SOCIAL_AUTH_AUTH0_DOMAIN = "acme.auth0.example"
    assert read_backend(path)["token_endpoint"] == "https://acme.auth0.example/oauth/token"


# What cannot be described


class NoBackend:
    pass


class Stateless(BaseOAuth2):
    STATE_PARAMETER = False


class OwnAuthentication(BaseOAuth2):
    def auth_headers(self) -> Any:
        return {"Authorization": "Signature {client_secret}"}


class NeverMade(BaseOAuth2):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise LookupError("s3cret")


class Failing(BaseOAuth2):
    name = "failing"

    def auth_params(self, state: str | None = None) -> Any:
        return {"shop": self.setting("SHOP")["s3cret"]}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.Backend", "cannot be imported"),
        (f"{BACKENDS}.asana.Nothing", "cannot be imported"),
        (7, "cannot be imported"),
        (f"{__name__}.NoBackend", "is no subclass of"),
        (f"{BACKENDS}.google.GoogleOAuth", "is no subclass of"),
        (f"{__name__}.Stateless", "does not send state back"),
        (f"{__name__}.OwnAuthentication", "authenticates in a way of its own"),
        (f"{__name__}.Failing", "TypeError"),
        (f"{__name__}.NeverMade", "LookupError"),
    ],
)
def test_a_backend_that_cannot_be_used_is_one_system_check(path: object, message: str) -> None:
    with pytest.raises(BackendUnusable, match=message) as raised:
        read_backend(path)
    assert "s3cret" not in str(raised.value)
    problems = list(provider_problems("acme", {"social_core_backend": path}))
    assert [problem.id for problem in problems] == ["oauth_tokens.E021"]
    assert problems[0].hint


def test_a_provider_with_such_a_backend_is_the_operators_fault(
    configure: Callable[..., None],
) -> None:
    configure(PROVIDERS={"acme": {"social_core_backend": "nowhere.Backend", "client_id": "c"}})
    with pytest.raises(ProviderMisconfigured, match=r"E021"):
        get_provider("acme")


# The whole way


class Backend(BaseOAuth2PKCE):
    """The tests' authorization server, as social-core would have it."""

    name = "backend-of-a-test"
    title = "Acme by social-core"
    DEFAULT_SCOPE = ["profile", "email"]
    DEFAULT_USE_PKCE = True
    USE_BASIC_AUTH = True
    EXTRA_DATA = [("refresh_token", "refresh_token", True), ("expires_in", "expires")]

    def user_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        raise NotImplementedError


@pytest.fixture
def described(
    provider: Provider, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Provider:
    monkeypatch.setattr(Backend, "AUTHORIZATION_URL", f"{provider.url}/authorize")
    monkeypatch.setattr(Backend, "ACCESS_TOKEN_URL", f"{provider.url}/token")
    monkeypatch.setattr(Backend, "REVOKE_TOKEN_URL", f"{provider.url}/revoke")
    raw = {"social_core_backend": f"{__name__}.Backend", "client_id": CLIENT_ID}
    configure(PROVIDERS={"acme": {**raw, "client_secret": CLIENT_SECRET}})
    return provider


def test_connect_refresh_and_disconnect(
    client: Client, user: AbstractUser, described: Provider
) -> None:
    client.force_login(user)
    assert "Acme by social-core" in client.get("/oauth/").content.decode()
    assert connect(client).status_code == 302
    (exchange,) = described.requests("authorization_code")
    assert (exchange["status"], "code_verifier" in exchange["parameters"]) == (200, True)
    token = user.oauth_tokens.get_valid("acme", scopes=["profile", "email"])
    assert token.refresh().version == 2
    assert user.oauth_tokens.disconnect("acme")
    assert user.oauth_tokens.count() == 0
    (revocation,) = described.requests("revoke")
    assert revocation["status"] == 200
