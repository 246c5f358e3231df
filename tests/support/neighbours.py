"""django-allauth and social-auth next to us, and an authorization server for all three.

Use :func:`neighbours` in a module that is about them: their apps are installed and their tables
there for that module alone. Their models can be imported within tests only.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.apps import apps
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client, override_settings
from django.urls import include, path
from pytest_django import DjangoDbBlocker, Settings

from tests.support import toolkit_server
from tests.support.site import serve

APPS = (
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.socialaccount.providers.twitter",
    "oauth_tokens.contrib.allauth",
    "social_django",
)
MIDDLEWARE = "allauth.account.middleware.AccountMiddleware"
#: Where the server sends users back to: to django-allauth, to social-auth, to us.
CALLBACKS = " ".join(
    f"http://testserver/{path}"
    for path in (
        "accounts/oidc/toolkit/login/callback/",
        "social/complete/oidc/",
        "oauth/toolkit/callback/",
    )
)


@pytest.fixture(scope="module")
def neighbours(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Both packages installed, with their tables."""
    # Without autodiscovery: what their admin registers would stay behind.
    ours = [
        "django.contrib.admin.apps.SimpleAdminConfig" if app == "django.contrib.admin" else app
        for app in django_settings.INSTALLED_APPS
    ]
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        with warnings.catch_warnings():
            # An import of an import of it is deprecated, once.
            warnings.simplefilter("ignore", DeprecationWarning)
            import_module("social_core.strategy")
        # The apps look for it as they are installed.
        stack.enter_context(override_settings(MIDDLEWARE=[*django_settings.MIDDLEWARE, MIDDLEWARE]))
        stack.enter_context(override_settings(INSTALLED_APPS=[*ours, *APPS]))
        labels = ("account", "socialaccount", "social_django")
        models = [model for label in labels for model in apps.get_app_config(label).get_models()]
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        yield
        with connection.schema_editor() as editor:
            for model in reversed(models):
                editor.delete_model(model)


class AuthorizationServer(toolkit_server.Toolkit):
    """django-oauth-toolkit, which knows all three callbacks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.neighbours"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=toolkit_server.ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.issuer = f"{self.url}/o"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """What describes it in ``OAUTH_TOKENS["PROVIDERS"]``."""
        client_id, client_secret = toolkit_server.CLIENT
        return {
            "issuer": self.issuer,
            "revocation_endpoint": f"{self.url}/o/revoke_token/",
            "client_id": client_id,
            "client_secret": client_secret,
            "scope": ["openid", "read"],
            "account_id_from": "id_token.sub",
            **changes,
        }

    def consent(self, url: str) -> str:
        """Go where a site has sent the browser; returns where the server sends it back to."""
        with requests.Session() as browser:
            browser.get(f"{self.url}/login/", timeout=10)
            answer = browser.get(url, allow_redirects=False, timeout=10)
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def ask(self, access_token: str) -> int:
        """The status of a request with this access token."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(f"{self.url}/o/userinfo/", headers=headers, timeout=10).status_code


@pytest.fixture(scope="module")
def server() -> Iterator[AuthorizationServer]:
    running = AuthorizationServer()
    yield running
    running.stop()


@pytest.fixture
def site(settings: Settings, server: AuthorizationServer) -> Settings:
    """Our site, on which users log in by either package with that server."""
    client_id, client_secret = toolkit_server.CLIENT
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "allauth.account.auth_backends.AuthenticationBackend",
        "social_core.backends.open_id_connect.OpenIdConnectAuth",
    ]
    settings.SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "SCOPE": ["openid", "read"],
            "APPS": [
                {
                    "provider_id": "toolkit",
                    "name": "Toolkit",
                    "client_id": client_id,
                    "secret": client_secret,
                    "settings": {"server_url": server.issuer},
                }
            ],
        }
    }
    settings.SOCIAL_AUTH_OIDC_OIDC_ENDPOINT = server.issuer
    settings.SOCIAL_AUTH_OIDC_KEY = client_id
    settings.SOCIAL_AUTH_OIDC_SECRET = client_secret
    settings.SOCIAL_AUTH_OIDC_SCOPE = ["openid", "read"]
    settings.SOCIAL_AUTH_OIDC_IGNORE_DEFAULT_SCOPE = True
    settings.LOGIN_REDIRECT_URL = "/admin/"
    serve(
        settings,
        path("accounts/", include("allauth.urls")),
        path("social/", include("social_django.urls")),
    )
    return settings


def log_in(client: Client, server: AuthorizationServer, address: str) -> Any:
    """A login with the server from ``address`` of our site on; returns the site's last answer."""
    begin = client.get if address.startswith("/oauth/") else client.post
    there = begin(address)["Location"]
    return client.get(server.consent(there))


def breaking_the_transaction(*args: Any, **kwargs: Any) -> None:
    """Instead of a query: fails, and with it all that follow in the same transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nothing")


if __name__ == "__main__":
    toolkit_server.REDIRECT_URI = CALLBACKS
    toolkit_server.main()
