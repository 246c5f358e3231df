"""A handle on the token endpoint of :mod:`tests.support.token_endpoint`."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.token_endpoint import CLIENT_ID, CLIENT_SECRET

ROOT = Path(__file__).parents[2]


class Provider:
    """Starts the authorization server; ends it in :meth:`stop`, or when this process dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.token_endpoint"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.communicate()

    def settings(self, **changes: Any) -> dict[str, Any]:
        """What describes this provider in ``OAUTH_TOKENS["PROVIDERS"]``."""
        return {
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "token_endpoint_auth_method": "client_secret_basic",
            "scope": ["profile", "email"],
            "refresh_token_rotation": "strict",
            **changes,
        }

    def issue(self, *, scope: str = "profile email", user: str = "alice") -> dict[str, Any]:
        """A token response of a new consent, as if the code had just been exchanged."""
        response: dict[str, Any] = self._control("issue", scope=scope, user=user)
        return response

    def configure(self, **options: Any) -> None:
        """See ``token_endpoint.Options``."""
        self._control("configure", **options)

    def misbehave(
        self,
        mode: str,
        *,
        after_processing: bool = False,
        kinds: Iterable[str] = ("refresh_token",),
        times: int | None = None,
        **arguments: Any,
    ) -> None:
        """Answer in the way of a method of ``misbehaviour.Faults``, with its ``arguments``."""
        self._control(
            "misbehave",
            mode=mode,
            after_processing=after_processing,
            kinds=list(kinds),
            times=times,
            arguments=arguments,
        )

    def behave(self) -> None:
        """End all misbehaviour, hanging answers included."""
        self._control("behave")

    def reset(self) -> None:
        """Forget everything: tokens, records, options."""
        self._control("reset")

    def requests(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Records of the requests that arrived, of one kind or all."""
        records: list[dict[str, Any]] = self._control("requests")
        return [record for record in records if kind in (None, record["kind"])]

    @property
    def refreshes(self) -> int:
        """How many refresh requests reached the token endpoint."""
        return len(self.requests("refresh_token"))

    @property
    def replays(self) -> int:
        """How many refresh requests sent a refresh token that had been rotated away."""
        return sum(1 for record in self.requests() if record.get("replayed"))

    def _control(self, action: str, **arguments: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", f"/_control/{action}", json.dumps(arguments))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"control {action} answered {answer.status}")
        return json.loads(body)
