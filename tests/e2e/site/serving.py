"""How the processes of this folder serve HTTP, until their standard input closes."""

from __future__ import annotations

import sys
import threading


def serve_wsgi() -> None:
    """The configured Django site, a thread for each connection."""
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadedWSGIServer):
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)  # noqa: T201
    sys.stdin.read()


def serve_asgi() -> None:
    """The configured Django site, by uvicorn."""
    import socket

    import uvicorn
    from django.core.asgi import get_asgi_application

    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(get_asgi_application(), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)

    def end() -> None:
        sys.stdin.read()
        server.should_exit = server.force_exit = True

    threading.Thread(target=end, daemon=True).start()
    print(listening.getsockname()[1], flush=True)  # noqa: T201
    server.run([listening])
