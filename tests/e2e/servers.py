"""Handles on authorization servers that were not written here, each in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from joserfc.jwk import ECKey

from project.browser import Browser
from tests.e2e.credentials import (
    CLIENT_ID,
    CLIENT_SECRET,
    JWT_CLIENT_ID,
    PRIVATE_KEY,
    PUBLIC_KEY,
    REDIRECT_URI,
)

ROOT = Path(__file__).parents[2]
#: Out of version control; kept between runs.
NODE = ROOT / "var" / "oidc-provider"
OIDC_PROVIDER = "oidc-provider@9"


class Server:
    """Starts ``command``, which prints its port; it ends in :meth:`stop`, or when we die."""

    #: Of the issuer, below the server's address.
    path = ""
    scope: Sequence[str] = ("profile",)
    differences: dict[str, Any] = {}

    def __init__(self, *command: str, cwd: Path = ROOT) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{command[0]} did not start"
        self.url = f"http://127.0.0.1:{int(line)}"

    def stop(self) -> None:
        self._process.communicate()

    def settings(self, **changes: Any) -> dict[str, Any]:
        """What describes it in ``OAUTH_TOKENS["PROVIDERS"]``: its issuer, and little else."""
        return {
            "issuer": self.url + self.path,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [REDIRECT_URI],
            "scope": list(self.scope),
            "refresh_token_rotation": "strict",
            **self.differences,
            **changes,
        }

    def jwt_client(self) -> dict[str, Any]:
        """As :meth:`settings`, for the client that authenticates by private key."""
        described = self.settings(
            client_id=JWT_CLIENT_ID, private_key=PRIVATE_KEY, private_key_id="e2e"
        )
        del described["client_secret"]
        return described

    def consent(self, url: str) -> str:
        """What the user's browser is sent back with, as path and query."""
        answer = requests.get(url, allow_redirects=False, timeout=10)
        return _back(answer)


class Authlib(Server):
    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "tests.e2e.authlib_server")


class Toolkit(Server):
    path = "/o"
    scope = ("openid", "read")
    differences = {"account_id_from": "id_token.sub"}

    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "tests.e2e.toolkit_server")

    def settings(self, **changes: Any) -> dict[str, Any]:
        # Its OpenID Connect metadata leaves these out.
        more = {
            "revocation_endpoint": f"{self.url}/o/revoke_token/",
            "introspection_endpoint": f"{self.url}/o/introspect/",
        }
        return super().settings(**more, **changes)

    def consent(self, url: str) -> str:
        with requests.Session() as browser:
            browser.get(f"{self.url}/login/", timeout=10)
            return _back(browser.get(url, allow_redirects=False, timeout=10))


class OidcProvider(Server):
    scope = ("openid", "email", "offline_access")
    differences = {
        "authorization_params": {"prompt": "consent"},
        "account_id_from": "id_token.sub",
        "account_label_from": "userinfo.email",
    }

    def __init__(self) -> None:
        npm, node = shutil.which("npm"), shutil.which("node")
        if npm is None or node is None:
            pytest.fail("oidc-provider needs Node.js 20 or later: apt install nodejs npm")
        if not (NODE / "node_modules" / "oidc-provider").is_dir():
            NODE.mkdir(parents=True, exist_ok=True)
            quiet = ("--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(NODE))
            subprocess.run([npm, "install", *quiet, OIDC_PROVIDER], check=True)
        # ECMAScript modules are looked for beside the file that imports them.
        script = NODE / "server.mjs"
        shutil.copyfile(Path(__file__).with_name("oidc_provider.mjs"), script)
        key = ECKey.import_key(PUBLIC_KEY, {"kid": "e2e", "use": "sig", "alg": "ES256"})
        given = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "jwt_client_id": JWT_CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "jwk": key.as_dict(private=False),
        }
        super().__init__(node, str(script), json.dumps(given), cwd=NODE)

    def consent(self, url: str) -> str:
        """Log in as alice and consent, on the server's own pages."""
        browser = Browser()
        page = browser.open(url)
        page = browser.submit(page, page.form("login"), login="alice", password="any")
        form = page.form(action="/interaction/")
        answer = browser.session.post(
            form.action, data=form.fields, allow_redirects=False, timeout=10
        )
        while not answer.headers["Location"].startswith(REDIRECT_URI):
            answer = browser.session.get(
                answer.headers["Location"], allow_redirects=False, timeout=10
            )
        return _back(answer)


def _back(answer: requests.Response) -> str:
    location = answer.headers.get("Location", "")
    assert location.startswith(REDIRECT_URI), (answer.status_code, location, answer.text[:500])
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}"
