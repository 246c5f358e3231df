"""django-oauth-toolkit's authorization server in a process of its own, with OpenID Connect.

It issues opaque access tokens, tells about them (RFC 7662), and signs id_tokens. :class:`Toolkit`
starts it, and goes the way of a browser to get tokens.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

ROOT = Path(__file__).parents[2]
CLIENT = ("daylight", "client-secret")
API = ("projects-api", "secret: 100 % of the API")
APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "oauth2_provider",
]
REDIRECT_URI = "http://127.0.0.1/callback"


class Toolkit:
    """A handle on the process. It ends in :meth:`stop`, or when this process dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.toolkit_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.issuer = f"{self.url}/o"
        self.introspection_endpoint = f"{self.url}/o/introspect/"
        self.jwks_uri = f"{self.url}/o/.well-known/jwks.json"

    def stop(self) -> None:
        self._process.communicate()

    def tokens(self, scope: str = "openid read") -> dict[str, Any]:
        """Alice's token response: authorization code, consent given beforehand."""
        asked = {
            "response_type": "code",
            "client_id": CLIENT[0],
            "redirect_uri": REDIRECT_URI,
            "scope": scope,
            "state": "x",
        }
        with requests.Session() as browser:
            browser.get(f"{self.url}/login/", timeout=10)
            answer = browser.get(
                f"{self.url}/o/authorize/", params=asked, allow_redirects=False, timeout=10
            )
        code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
        answer = requests.post(f"{self.url}/o/token/", form, auth=CLIENT, timeout=10)
        assert answer.status_code == 200, answer.text
        response: dict[str, Any] = answer.json()
        return response

    def revoke(self, token: str) -> None:
        answer = requests.post(
            f"{self.url}/o/revoke_token/", {"token": token}, auth=CLIENT, timeout=10
        )
        assert answer.status_code == 200, answer.text


def configure(folder: str) -> None:
    """Set Django up with a database of its own."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from django.conf import settings

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    class Urls:
        urlpatterns: list[Any] = []

    settings.configure(
        SECRET_KEY="for the tests only",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=Urls,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        INSTALLED_APPS=APPS,
        # Tables without a history take a fifth of the time.
        MIGRATION_MODULES={app.rpartition(".")[2]: None for app in APPS},
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/db.sqlite3"}
        },
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": pem.decode(),
            "SCOPES": {"openid": "Who you are", "read": "Read", "write": "Write"},
            "PKCE_REQUIRED": False,
            "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],
        },
    )
    import django

    django.setup()
    from django.urls import include, path

    Urls.urlpatterns += [
        path("login/", log_in),
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    ]


def log_in(request: Any) -> Any:
    """Alice, without asking."""
    from django.contrib.auth import get_user_model, login
    from django.http import HttpResponse

    alice = get_user_model().objects.get(username="alice")
    login(request, alice, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


def populate() -> None:
    """A user, the application that gets tokens, and the API that asks about them."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", run_syncdb=True, verbosity=0)
    get_user_model().objects.create_user("alice", "alice@example.org")
    for (client_id, secret), grant in ((CLIENT, "authorization-code"), (API, "client-credentials")):
        Application.objects.create(
            client_id=client_id,
            client_secret=secret,
            client_type="confidential",
            authorization_grant_type=grant,
            redirect_uris=REDIRECT_URI if grant == "authorization-code" else "",
            skip_authorization=True,
            algorithm="RS256",
        )


def main() -> None:
    import threading

    with tempfile.TemporaryDirectory(prefix="oauth-tokens-toolkit-") as folder:
        configure(folder)
        populate()
        from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
        from django.core.wsgi import get_wsgi_application

        class Quiet(WSGIRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

        server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
        server.set_app(get_wsgi_application())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)  # noqa: T201
        sys.stdin.read()  # until whoever started this goes away


if __name__ == "__main__":
    main()
