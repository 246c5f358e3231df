"""The ways in which a provider's answer can go wrong."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

MEGABYTE = 1024 * 1024


@dataclass
class Misbehaviour:
    """One fault.

    Arguments:
        mode: a method of :class:`Faults`.
        after_processing: the request is processed first (tokens rotate) and its answer lost.
        kinds: requests it applies to (grant types, ``revoke``, ``userinfo``, ``metadata``).
        times: for so many requests; None for all.
        arguments: of the method.
    """

    mode: str
    after_processing: bool = False
    kinds: list[str] = field(default_factory=lambda: ["refresh_token"])
    times: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    def applies_to(self, kind: str) -> bool:
        if kind not in self.kinds or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def misbehave(
    handler: BaseHTTPRequestHandler, fault: Misbehaviour, stopping: threading.Event
) -> None:
    """Answer the request as the fault says. Hanging ends when ``stopping`` is set."""
    getattr(Faults(handler, stopping), fault.mode)(**fault.arguments)


class Faults:
    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self.handler = handler
        self.stopping = stopping

    def status(
        self,
        status: int = 500,
        body: Any = "",
        content_type: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Any status with any body: text as it is, everything else as JSON."""
        kind = content_type or ("text/html" if isinstance(body, str) else "application/json")
        text = body if isinstance(body, str) else json.dumps(body)
        self._head(status, {"Content-Type": kind, **(headers or {})}, len(text.encode()))
        self._write(text.encode())

    def redirect(self, location: str = "/elsewhere", status: int = 307) -> None:
        self._head(status, {"Location": location}, 0)

    def huge(self, megabytes: int = 50) -> None:
        """Valid JSON of any size."""
        self._head(200, {"Content-Type": "application/json"}, megabytes * MEGABYTE + 19)
        self._write(b'{"access_token":"')
        for _ in range(megabytes):
            self._write(b"x" * MEGABYTE)
        self._write(b'"}')

    def truncated(self) -> None:
        """A body that is cut short although its length is right."""
        self.status(200, '{"access_token": "at-cut", "refresh_tok', "application/json")

    def incomplete(self) -> None:
        """A connection that ends in the middle of the body."""
        self._head(200, {"Content-Type": "application/json"}, 4096)
        self._write(b'{"access_token": "at-')
        self.reset()

    def hang(self, seconds: float = 600) -> None:
        self.stopping.wait(seconds)
        self.reset()

    def drip_head(self, interval: float = 0.2) -> None:
        """Header bytes without end, each well within any timeout per read."""
        self._write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self._drip(interval)

    def drip_body(self, interval: float = 0.2) -> None:
        self._head(200, {"Content-Type": "application/json"}, 100_000)
        self._drip(interval)

    def reset(self) -> None:
        """RST instead of an answer."""
        self.handler.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        # The socket closes with the last file made of it; http.server flushes them once more.
        self.handler.rfile.close()
        self.handler.wfile.close()
        self.handler.connection.close()
        self.handler.rfile = self.handler.wfile = io.BytesIO()

    def _drip(self, interval: float) -> None:
        self.handler.close_connection = True
        while not self.stopping.wait(interval):
            self._write(b"x")

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self._write(b"")

    def _write(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()
