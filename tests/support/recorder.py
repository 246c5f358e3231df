"""An HTTP server that answers each path as it is told, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Sent:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


#: JSON, or what makes JSON of the request; a pair has the status first.
Answer = Any


class Recorder:
    """In threads of this process; ``answers`` maps paths to what is answered there."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[Sent], Answer]] = {}
        self.sent: list[Sent] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def answer(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                sent = Sent(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    dict(parse_qsl(body)),
                )
                recorder.sent.append(sent)
                found = recorder.answers.get(parts.path, (404, {}))
                answer = found(sent) if callable(found) else found
                status, content = answer if isinstance(answer, tuple) else (200, answer)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def of(self, path: str) -> list[Sent]:
        """The requests to ``path``."""
        return [sent for sent in self.sent if sent.path == path]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
