"""A TCP proxy that can be cut: the network between a process and its database."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Listens on :attr:`port` and passes everything on to ``target`` until :meth:`cut`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._open = True
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections; new ones end at once, too."""
        with self._lock:
            self._open = False
            for each in self._sockets:
                _end(each)
            self._sockets.clear()

    def mend(self) -> None:
        with self._lock:
            self._open = True

    def stop(self) -> None:
        self.cut()
        _end(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                with self._lock:
                    if not self._open:
                        _end(client)
                        continue
                    server = socket.create_connection(self._target)
                    self._sockets.update((client, server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            _end(each)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        each.close()
