"""One HTTP server that stands in for every provider, speaking the dialect it is told to.

Requests for https://host/path arrive at /host/path. It keeps what it received for the tests to
look at, refuses what the provider would refuse, and rotates refresh tokens as the provider does.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwk, jwt

from tests.contract.dialect import CLIENT_ID, CLIENT_SECRET, CODE, Answer, Dialect


@dataclass(frozen=True)
class Received:
    """A request as it arrived; ``params`` are those of the query and the body."""

    method: str
    url: str
    params: dict[str, str]
    headers: dict[str, str]
    body: str
    """"form", "json" or "none"."""


@dataclass
class Conversation:
    """With one client, in one dialect."""

    dialect: Dialect
    received: list[Received] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    """What a refresh can be paid with."""
    nonce: str | None = None
    override: Answer | None = None
    """Answers whatever is asked of the token endpoint."""

    def is_token_endpoint(self, url: str) -> bool:
        dialect = self.dialect
        return bool(url) and url in (dialect.token, dialect.refresh_at, dialect.long_lived_at)

    @property
    def token_requests(self) -> list[Received]:
        return [received for received in self.received if self.is_token_endpoint(received.url)]

    def knows(self, received: Received) -> bool:
        """Whether the client has authenticated as it has to."""
        dialect = self.dialect
        if dialect.refresh.get("client_secret") == "" and received.url == dialect.refresh_at:
            return True
        params, authorization = dialect.credentials(dialect.auth)
        if authorization:
            return received.headers.get("authorization") == authorization
        return set(params.values()) <= set(received.params.values())

    def token_answer(self, received: Received) -> Answer:
        dialect = self.dialect
        values = set(received.params.values())
        if self.override:
            return self.override
        if not self.knows(received):
            return dialect.wrong_client or (401, '{"error": "invalid_client"}')
        if CODE in values and dialect.short:
            return 200, dialect.short
        if CODE in values or "SHORT" in values:
            self.live = {"REFRESH-1"} if dialect.renews == "refresh_token" else {"ACCESS-1"}
            return 200, dialect.granted
        if not values & self.live:
            return dialect.dead or (400, '{"error": "invalid_grant"}')
        if dialect.rotation == "strict":
            self.live = set()
        self.live |= {t for t in ("REFRESH-2", "ACCESS-2") if f'"{t}"' in dialect.refreshed}
        return 200, dialect.refreshed

    def answer(self, received: Received, keys: Keys) -> Answer:
        dialect = self.dialect
        self.received.append(received)
        if self.is_token_endpoint(received.url):
            status, body = self.token_answer(received)
            return status, keys.fill(body, self)
        if dialect.revoke and received.url == dialect.revoke["url"]:
            return dialect.revoke.get("status", 200), "{}"
        if dialect.userinfo and received.url == dialect.userinfo[0]:
            token = received.headers.get("authorization", "").removeprefix("Bearer ")
            return (200, dialect.userinfo[1]) if token.startswith("ACCESS-") else (401, "{}")
        if received.url == dialect.jwks:
            return 200, json.dumps({"keys": [keys.public]})
        if dialect.metadata and received.url.endswith("/.well-known/openid-configuration"):
            return 200, dialect.metadata
        return 404, "{}"


class Keys:
    """Signs ID tokens."""

    @cached_property
    def private(self) -> jwk.RSAKey:
        return jwk.RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})

    @property
    def public(self) -> dict[str, Any]:
        return dict(self.private.as_dict(private=False))

    def fill(self, body: str, conversation: Conversation) -> str:
        soon = datetime.now(UTC) + timedelta(days=30)
        body = body.replace("IN-30-DAYS", soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
        body = body.replace("IN-AN-HOUR", str(int(time.time()) + 3600))
        if "ID-TOKEN" not in body:
            return body
        dialect, now = conversation.dialect, int(time.time())
        claims = {
            "iss": dialect.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 600,
            "nonce": conversation.nonce,
            **dialect.claims,
        }
        present = {key: value for key, value in claims.items() if value not in (None, "")}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, present, self.private)
        return body.replace("ID-TOKEN", token)


class StandIn:
    """The server."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.conversation: Conversation | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.stand_in = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def here(self, url: str) -> str:
        """Where this server is when it stands in for ``url``."""
        parts = urlsplit(url)
        assert parts.scheme == "https", url
        query = f"?{parts.query}" if parts.query else ""
        return f"http://127.0.0.1:{self._server.server_port}/{parts.netloc}{parts.path}{query}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_any(self) -> None:
        stand_in: StandIn = self.server.stand_in  # type: ignore[attr-defined]
        conversation = stand_in.conversation
        assert conversation is not None
        status, body = conversation.answer(self.read(), stand_in.keys)
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = do_DELETE = handle_any

    def read(self) -> Received:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        kind = "none"
        if content and self.headers.get_content_type() == "application/json":
            kind, more = "json", json.loads(content)
            params.update(more)
        elif content:
            kind = "form"
            params.update(parse_qsl(content, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Received(self.command, f"https:/{parts.path}", params, headers, kind)

    def log_message(self, *_: object) -> None:
        """Quiet: what arrived is kept."""


WRONG_SECRET = CLIENT_SECRET[::-1]
