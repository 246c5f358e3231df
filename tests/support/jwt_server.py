"""An issuer of JWT access tokens (RFC 9068) in a process of its own: Authlib's server.

Endpoints: ``/token`` (client credentials), ``/jwks.json``, ``/introspect`` (answers what it is told
to), ``/.well-known/openid-configuration``, and ``/_control/...``. :class:`Issuer` starts and steers
it.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import requests

from tests.support.misbehaviour import Misbehaviour, misbehave

ROOT = Path(__file__).parents[2]
AUDIENCE = "https://api.example"
CLIENT_ID = "reporter"
CLIENT_SECRET = "reporter-secret"


class Issuer:
    """A handle on the process. It ends in :meth:`stop`, or when this process dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.jwt_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.jwks_uri = f"{self.url}/jwks.json"

    def stop(self) -> None:
        self._process.communicate()

    def token(self, scope: str = "read") -> str:
        """An access token, by the client credentials grant."""
        answer = requests.post(
            f"{self.url}/token",
            {"grant_type": "client_credentials", "scope": scope},
            auth=(CLIENT_ID, CLIENT_SECRET),
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def rotate(self) -> None:
        """Sign with a new key from now on; the key set has no other."""
        self._control("rotate")

    def introspect(self, **answer: Any) -> None:
        """What ``/introspect`` says from now on."""
        self._control("introspect", **answer)

    def misbehave(self, kind: str, mode: str, **arguments: Any) -> None:
        """``kind`` is "jwks", "metadata" or "introspect"; ``mode`` a method of ``Faults``."""
        self._control("misbehave", mode=mode, kinds=[kind], arguments=arguments)

    def reset(self) -> None:
        """Behave, and forget what was requested."""
        self._control("reset")

    def requests(self, kind: str) -> list[dict[str, Any]]:
        """Headers and form of each request of a kind that arrived."""
        records: list[dict[str, Any]] = self._control("requests")
        return [record for record in records if record["kind"] == kind]

    def _control(self, action: str, **arguments: Any) -> Any:
        answer = requests.post(f"{self.url}/_control/{action}", json=arguments, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Client:
    """What Authlib asks of a client."""

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(s for s in scope.split() if s in ("read", "write"))

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


def authorization_server(issuer: str, state: State) -> Any:
    """Authlib's authorization server with one client, which may read and write."""
    from authlib.oauth2.rfc6749 import (
        AuthorizationServer,
        ClientCredentialsGrant,
        OAuth2Request,
    )
    from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
    from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator

    class Generator(JWTBearerTokenGenerator):
        def get_jwks(self) -> Any:
            return state.keys

        def get_audiences(self, *_: Any) -> list[str]:
            return [AUDIENCE, "https://elsewhere.example"]

    class Server(AuthorizationServer):
        def query_client(self, client_id: str) -> Client | None:
            return Client() if client_id == CLIENT_ID else None

        def save_token(self, token: Any, request: Any) -> None:
            pass

        def create_oauth2_request(self, request: Any) -> OAuth2Request:
            method, uri, form, headers = request
            made = OAuth2Request(method, uri, headers=headers)
            made.payload = BasicOAuth2Payload(form)
            return made

        def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any]:
            return status, body

        def send_signal(self, *_: Any, **__: Any) -> None:
            pass

    server = Server(["read", "write"])
    server.register_grant(ClientCredentialsGrant)
    server.register_token_generator("default", Generator(issuer=issuer))
    return server


class State:
    def __init__(self) -> None:
        self.numbers = iter(range(1000))
        self.rotate()
        self.reset()

    def rotate(self) -> None:
        from joserfc.jwk import KeySet, RSAKey

        kid = f"key-{next(self.numbers)}"
        self.keys = KeySet([RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})])

    def reset(self) -> None:
        self.stopping = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.faults: list[Misbehaviour] = []
        self.introspection: dict[str, Any] = {"active": False}

    def control(self, action: str, given: dict[str, Any]) -> Any:
        if action == "rotate":
            self.rotate()
        elif action == "introspect":
            self.introspection = given
        elif action == "misbehave":
            self.faults.append(Misbehaviour(**given))
        elif action == "reset":
            self.stopping.set()
            self.reset()
        elif action == "requests":
            return self.requests
        return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    state: State
    issuer: str
    authlib: Any

    def do_GET(self) -> None:
        if self.path == "/jwks.json":
            self.recorded("jwks", {})
        elif self.path == "/.well-known/openid-configuration":
            self.recorded("metadata", {})
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path.startswith("/_control/"):
            action = self.path.rsplit("/", 1)[1]
            self.answer(200, self.state.control(action, json.loads(body or "{}")))
        elif self.path == "/token":
            form, uri = dict(parse_qsl(body)), f"{self.issuer}/token"
            self.answer(*self.authlib.create_token_response(("POST", uri, form, self.headers)))
        else:
            self.recorded("introspect", dict(parse_qsl(body)))

    def recorded(self, kind: str, form: dict[str, str]) -> None:
        state = self.state
        state.requests.append({"kind": kind, "form": form, "headers": dict(self.headers)})
        fault = next((fault for fault in state.faults if fault.applies_to(kind)), None)
        try:
            if fault:
                misbehave(self, fault, state.stopping)
            else:
                self.answer(200, self.document(kind))
        except OSError:
            self.close_connection = True

    def document(self, kind: str) -> Any:
        if kind == "jwks":
            return self.state.keys.as_dict(private=False)
        if kind == "introspect":
            return self.state.introspection
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks.json"}

    def answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Quiet: what happened is in the record of requests."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the tests."""
        if not isinstance(sys.exc_info()[1], (OSError, http.client.HTTPException)):
            super().handle_error(*_)


def main() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    Handler.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    Handler.state = State()
    Handler.authlib = authorization_server(Handler.issuer, Handler.state)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)  # noqa: T201
    sys.stdin.read()  # until whoever started this goes away


if __name__ == "__main__":
    main()
