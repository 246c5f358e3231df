"""The authorization server of the tests, in a process of its own.

It rotates refresh tokens, revokes the family when one is replayed, counts what reaches it, and
misbehaves on demand (:mod:`tests.support.misbehaviour`). State is in memory; tests steer it by
HTTP, through :class:`tests.support.provider.Provider`.

Endpoints: ``/authorize`` (consents at once), ``/token``, ``/revoke`` (RFC 7009), ``/userinfo``,
``/.well-known/...`` (RFC 8414), and ``/_control/...``.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import secrets
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tests.support.misbehaviour import Misbehaviour, misbehave

CLIENT_ID = "client"
CLIENT_SECRET = "client-secret-value"


class Answer(NamedTuple):
    """An HTTP answer; ``body`` that is not bytes is sent as JSON."""

    status: int
    body: Any = b""
    headers: dict[str, str] = {}


def error(code: str, status: int = 400, **extra: Any) -> Answer:
    return Answer(status, {"error": code, **extra})


@dataclass
class Options:
    """What ``/_control/configure`` sets.

    Arguments:
        rotation: ``none``, ``grace`` or ``strict``.
        grace: seconds in which a rotated refresh token may be used again.
        expires_in: lifetime of access tokens in seconds.
        latency: seconds before a token request is looked at.
        answer_latency: seconds between processing a token request and answering it.
        override: fields that replace those of every token response.
        omit: fields that are left out of every token response.
        issuer: what the metadata and the ``iss`` of the redirect say; empty: this server.
        authorize_error: error that ``/authorize`` answers with instead of a code.
    """

    rotation: str = "strict"
    grace: float = 0
    expires_in: float = 3600
    latency: float = 0
    answer_latency: float = 0
    override: dict[str, Any] = field(default_factory=dict)
    omit: list[str] = field(default_factory=list)
    issuer: str = ""
    authorize_error: str = ""


@dataclass
class Family:
    """All tokens that stem from one consent."""

    id: int
    scope: str
    user: str
    revoked: bool = False
    generation: int = 0


@dataclass
class Refresh:
    family: Family
    generation: int
    usable_until: float | None = None  # None until it has been rotated


class State:
    """Everything the server knows; one lock around each change."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.reset()

    def reset(self) -> None:
        self.stopping.set()  # ends hanging answers
        self.stopping = threading.Event()
        self.options = Options()
        self.misbehaviours: list[Misbehaviour] = []
        self.refresh_tokens: dict[str, Refresh] = {}
        self.access_tokens: dict[str, tuple[Family, float]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.requests: list[dict[str, Any]] = []
        self.families = itertools.count(1)

    def issue(self, family: Family, *, refresh_token: str | None = None) -> dict[str, Any]:
        """A token response; a new refresh token unless one is given."""
        if refresh_token is None:
            family.generation += 1
            refresh_token = f"rt-{family.id}-{family.generation}-{secrets.token_hex(8)}"
            self.refresh_tokens[refresh_token] = Refresh(family, family.generation)
        access_token = f"at-{family.id}-{family.generation}-{secrets.token_hex(8)}"
        self.access_tokens[access_token] = (family, time.time() + self.options.expires_in)
        response = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": self.options.expires_in,
            "refresh_token": refresh_token,
            "scope": family.scope,
            **self.options.override,
        }
        return {key: value for key, value in response.items() if key not in self.options.omit}

    def new_family(self, scope: str, user: str) -> Family:
        return Family(next(self.families), scope, user)

    def refresh(self, value: str, record: dict[str, Any]) -> Answer:
        """RFC 6749 section 6, with the rotation of RFC 9700 section 4.14.2."""
        token = self.refresh_tokens.get(value)
        if token is None:
            return error("invalid_grant")
        record.update(family=token.family.id, generation=token.generation)
        if token.family.revoked:
            return error("invalid_grant")
        now = time.time()
        if self.options.rotation == "none":
            return Answer(200, self.issue(token.family, refresh_token=value))
        if token.usable_until is not None and token.usable_until <= now:
            token.family.revoked = True
            record["replayed"] = True
            return error("invalid_grant")
        if token.usable_until is None:
            grace = self.options.grace if self.options.rotation == "grace" else 0
            token.usable_until = now + grace
        return Answer(200, self.issue(token.family))

    def exchange(self, form: dict[str, str]) -> Answer:
        """RFC 6749 section 4.1.3 with PKCE (RFC 7636 section 4.6)."""
        grant = self.codes.pop(form.get("code", ""), None)
        if grant is None or grant.get("redirect_uri") != form.get("redirect_uri"):
            return error("invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if grant.get("code_challenge", challenge) != challenge:
            return error("invalid_grant", error_description="code_verifier does not match")
        family = self.new_family(grant.get("scope", ""), grant["user"])
        return Answer(200, self.issue(family))

    def revoke(self, value: str) -> Answer:
        if value in self.refresh_tokens:
            self.refresh_tokens[value].family.revoked = True
        elif value in self.access_tokens:
            self.access_tokens[value] = (self.access_tokens[value][0], 0)
        return Answer(200)

    def userinfo(self, authorization: str) -> Answer:
        family, expires_at = self.access_tokens.get(
            authorization.removeprefix("Bearer "), (None, 0.0)
        )
        if family is None or family.revoked or expires_at <= time.time():
            challenge = 'Bearer error="invalid_token"'
            return Answer(401, {"error": "invalid_token"}, {"WWW-Authenticate": challenge})
        return Answer(200, {"sub": family.user, "email": f"{family.user}@acme.example"})

    def authorize(self, query: dict[str, str], issuer: str) -> Answer:
        """RFC 6749 section 4.1.2; the resource owner consents at once."""
        answer = {"state": query.get("state", ""), "iss": self.options.issuer or issuer}
        if self.options.authorize_error:
            answer["error"] = self.options.authorize_error
        else:
            code = answer["code"] = secrets.token_urlsafe(16)
            self.codes[code] = {"user": query.get("login_hint", "alice"), **query}
        separator = "&" if "?" in query["redirect_uri"] else "?"
        location = f"{query['redirect_uri']}{separator}{urlencode(answer)}"
        return Answer(302, headers={"Location": location})

    def control(self, action: str, given: dict[str, Any]) -> Answer:
        if action == "reset":
            self.reset()
        elif action == "configure":
            for key, value in given.items():
                getattr(self.options, key)
                setattr(self.options, key, value)
        elif action == "misbehave":
            self.misbehaviours.append(Misbehaviour(**given))
        elif action == "behave":
            self.misbehaviours.clear()
            self.stopping.set()
            self.stopping = threading.Event()
        elif action == "issue":
            return Answer(200, self.issue(self.new_family(given["scope"], given["user"])))
        elif action == "requests":
            return Answer(200, self.requests)
        return Answer(200, {})


STATE = State()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/authorize":
            self.answer(STATE.authorize(query, self.issuer))
        elif parts.path == "/userinfo":
            self.recorded("userinfo", {})
        elif parts.path.startswith("/.well-known/"):
            self.recorded("metadata", {})
        else:
            self.answer(error("not_found", 404))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/_control/"):
            with STATE.lock:
                answer = STATE.control(self.path.rsplit("/", 1)[1], json.loads(body or b"{}"))
            self.answer(answer)
        elif self.path in ("/token", "/revoke"):
            if self.headers.get_content_type() == "application/json":
                form = json.loads(body)
            else:
                form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            self.recorded(form.get("grant_type", "") if self.path == "/token" else "revoke", form)
        else:
            self.answer(error("not_found", 404))

    def recorded(self, kind: str, form: dict[str, str]) -> None:
        """Count the request, process it, and answer it in the way asked for."""
        state, options = STATE, STATE.options
        record = {
            "kind": kind,
            "received": time.time(),
            "answered": None,
            "status": None,
            "connection": self.client_address[1],
            "user_agent": self.headers.get("User-Agent"),
            "parameters": sorted(form),
        }
        with state.lock:
            state.requests.append(record)
            fault = next((m for m in state.misbehaviours if m.applies_to(kind)), None)
        is_token = kind not in ("revoke", "userinfo", "metadata")
        if is_token and options.latency:
            state.stopping.wait(options.latency)
        answer = None
        if fault is None or fault.after_processing:
            with state.lock:
                answer = self.process(kind, form, record)
        if is_token and options.answer_latency:
            state.stopping.wait(options.answer_latency)
        try:
            if fault is None:
                assert answer is not None
                record["status"] = answer.status
                self.answer(answer)
            else:
                record["fault"] = fault.mode
                misbehave(self, fault, state.stopping)
        except OSError:
            self.close_connection = True
        record["answered"] = time.time()

    def process(self, kind: str, form: dict[str, str], record: dict[str, Any]) -> Answer:
        if kind == "userinfo":
            return STATE.userinfo(self.headers.get("Authorization", ""))
        if kind == "metadata":
            return Answer(200, self.metadata())
        if not self.client_is_known(form):
            return error("invalid_client", 401)
        if kind == "refresh_token":
            return STATE.refresh(form.get("refresh_token", ""), record)
        if kind == "authorization_code":
            return STATE.exchange(form)
        if kind == "revoke":
            return STATE.revoke(form.get("token", ""))
        return error("unsupported_grant_type")

    def client_is_known(self, form: dict[str, str]) -> bool:
        """``client_secret_basic`` and ``client_secret_post`` (RFC 6749 section 2.3.1)."""
        given = (form.get("client_id"), form.get("client_secret"))
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(credentials).decode().partition(":")
            given = (unquote(name), unquote(secret))
        return given == (CLIENT_ID, CLIENT_SECRET)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": STATE.options.issuer or self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
        }

    def answer(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        for name, value in {**headers, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Quiet: what happened is in the record of requests."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the tests."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*_)


def main() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)  # noqa: T201
    sys.stdin.read()  # until whoever started this goes away


if __name__ == "__main__":
    main()
