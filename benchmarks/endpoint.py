"""A token endpoint that costs next to nothing, in a process of its own.

Keep-alive HTTP/1.1 on raw asyncio protocols, plain and over TLS, so that the floor, a bare POST on
an open connection, is the client's own cost. It rotates refresh tokens and revokes the whole family
when one is replayed (RFC 9700 section 4.14.2).

``POST /token`` is the endpoint; ``POST /_issue``, ``/_latency`` and ``/_family`` steer it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import secrets
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

ROOT = Path(__file__).parents[1]
LIFETIME = 3600


class State:
    """Families of refresh tokens: what was issued to whom, and how often it was asked for."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.families: dict[int, dict[str, Any]] = {}
        self.holders: dict[str, int] = {}

    def issue(self, family_id: int | None = None) -> dict[str, Any]:
        if family_id is None:
            family_id = len(self.families) + 1
            self.families[family_id] = {"posts": 0, "revoked": False}
        access_token, refresh_token = secrets.token_urlsafe(150), secrets.token_urlsafe(48)
        self.holders[refresh_token] = family_id
        self.families[family_id].update(current=refresh_token, access_token=access_token)
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "refresh_token": refresh_token,
            "scope": "profile email",
        }

    def refresh(self, refresh_token: str) -> tuple[int, dict[str, Any]]:
        family_id = self.holders.get(refresh_token)
        if family_id is None:
            return 400, {"error": "invalid_grant"}
        family = self.families[family_id]
        family["posts"] += 1
        if family["revoked"] or family["current"] != refresh_token:
            family["revoked"] = True
            return 400, {"error": "invalid_grant"}
        return 200, self.issue(family_id)

    def answer(self, path: bytes, body: bytes) -> tuple[int, dict[str, Any]]:
        if path == b"/token":
            return self.refresh(parse_qs(body.decode()).get("refresh_token", [""])[0])
        given = json.loads(body)
        if path == b"/_issue":
            return 200, self.issue()
        if path == b"/_latency":
            self.latency = float(given)
            return 200, {}
        return 200, self.families[self.holders[given]]


class Connection(asyncio.Protocol):
    """One client's connection; requests come one after the other."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(headers.get(b"content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        path = lines[0].split(b" ")[1]
        status, answer = self.state.answer(path, rest[:length])
        body = json.dumps(answer).encode()
        response = (
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
        )
        if self.state.latency and path == b"/token":
            asyncio.get_running_loop().call_later(self.state.latency, self.write, response)
        else:
            self.write(response)

    def write(self, response: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(response)


class Endpoint:
    """Starts the endpoint; ends it in :meth:`stop`, or when this process dies.

    Arguments:
        certificate: PEM file with certificate and key of 127.0.0.1.
    """

    def __init__(self, certificate: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(certificate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        port, tls_port = json.loads(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{port}/token"
        self.tls_url = f"https://127.0.0.1:{tls_port}/token"
        self._steering = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def stop(self) -> None:
        self._process.communicate()

    def issue(self) -> dict[str, Any]:
        """A token response of a new family."""
        return self._steer("issue", None)

    def set_latency(self, seconds: float) -> None:
        """How long the endpoint takes to answer."""
        self._steer("latency", seconds)

    def family(self, refresh_token: str) -> dict[str, Any]:
        """``posts``, ``revoked`` and the newest ``access_token`` of the family of a token."""
        return self._steer("family", refresh_token)

    def _steer(self, what: str, value: Any) -> dict[str, Any]:
        self._steering.request("POST", f"/_{what}", json.dumps(value))
        answer: dict[str, Any] = json.loads(self._steering.getresponse().read())
        return answer


async def serve(certificate: str) -> None:
    loop, state = asyncio.get_running_loop(), State()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    ports = []
    for context in (None, tls):
        server = await loop.create_server(
            lambda: Connection(state), "127.0.0.1", 0, backlog=512, ssl=context
        )
        ports.append(server.sockets[0].getsockname()[1])
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1]))
