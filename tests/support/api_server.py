"""A protected API of the tests' own (RFC 6750), in a process of its own.

It takes every access token of :mod:`tests.support.token_endpoint` that it has not been told to
refuse, answers with what it received, and refuses in the way it has been told to. With ``?to=`` it
redirects, with ``?seconds=`` it takes its time; ``/_control/...`` is for
:class:`tests.support.api.Api`. What it answers is what the SDKs in the documentation look for, too.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.token_endpoint import Server


class State:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.refused: dict[str, dict[str, Any]] = {}  # by token; "" stands for all

    def control(self, action: str, given: dict[str, Any]) -> Any:
        if action == "reset":
            self.reset()
        elif action == "refuse":
            self.refused.update(dict.fromkeys(given["tokens"] or [""], given["answer"]))
        elif action == "requests":
            return self.requests
        return {}


STATE = State()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        body = self.read_body()
        if parts.path.startswith("/_control/"):
            answer = STATE.control(parts.path.rsplit("/", 1)[1], json.loads(body or b"{}"))
            return self.answer(200, answer)
        authorization = self.headers.get("Authorization", "")
        record = {
            "method": self.command,
            "path": parts.path,
            "authorization": authorization,
            "body": body.decode(errors="replace"),
            "cookie": self.headers.get("Cookie", ""),
            "connection": self.client_address[1],
        }
        STATE.requests.append(record)
        query = dict(parse_qsl(parts.query))
        if "to" in query:
            headers = {"Location": query["to"]}
            return self.answer(int(query.get("status", 307)), {}, headers)
        time.sleep(float(query.get("seconds", 0)))
        _, _, token = authorization.partition(" ")
        refused = STATE.refused.get(token) or STATE.refused.get("")
        if refused:
            return self.answer(refused["status"], refused["body"], refused["headers"])
        if not token.startswith("at-"):
            return self.answer(401, {}, {"WWW-Authenticate": "Bearer"})
        return self.answer(200, {"ok": True, **record, "login": "alice", "id": "acct_1"})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        defaults = {"Content-Type": "application/json", "Set-Cookie": "who=alice; Path=/"}
        for name, value in {**defaults, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet: what happened is in the record of requests."""


def main() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)  # noqa: T201
    sys.stdin.read()  # until whoever started this goes away


if __name__ == "__main__":
    main()
