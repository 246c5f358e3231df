"""E-mail backends, set up for one test or process, and an SMTP server that misbehaves."""

from __future__ import annotations

import socketserver
import threading
from typing import Any

import django

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
FILES = "django.core.mail.backends.filebased.EmailBackend"
SMTP = "django.core.mail.backends.smtp.EmailBackend"


def use_backend(settings: Any, backend: str, **options: Any) -> None:
    """Let Django send by ``backend``; ``options`` are named as in the OPTIONS of MAILERS."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
        return
    settings.EMAIL_BACKEND = backend
    for name, value in options.items():
        setattr(settings, f"EMAIL_{name.upper()}", value)


class MailServer:
    """SMTP, as far as one mail needs it.

    Attributes:
        end: the answer to a whole mail; "" hangs up instead.
        first_end: the same for the next mail alone, where it differs.
        taken: mails that came.
    """

    def __init__(self) -> None:
        self.end, self.taken = "250 taken", 0
        self.first_end: str | None = None
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.say("220 here")
                for line in self.rfile:
                    verb = line[:4].upper()
                    if verb == b"QUIT":
                        return self.say("221 bye")
                    if verb == b"DATA":
                        self.say("354 go on")
                        while self.rfile.readline() != b".\r\n":
                            pass
                        end, outer.first_end = outer.first_end, None
                        end = outer.end if end is None else end
                        outer.taken += 1
                        if not end:
                            return None
                        self.say(end)
                    else:
                        self.say("250 fine")
                return None

            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
