"""HTTP to providers: pooled connections, one total deadline, a body cap, nothing retried.

The one place that talks HTTP to authorization servers. What matters to the caller of a failed
request is whether it may have reached the provider, since a refresh token that was sent may be
used up: :attr:`TransportError.reached` says so.
"""

from __future__ import annotations

import http.client
import io
import logging
import math
import os
import socket
import ssl
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from requests.utils import prepend_scheme_if_needed, select_proxy
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from .providers.wire import Request, Response, is_secure_url

#: A token response is a few KiB; more than this is not one.
MAX_BODY = 1024 * 1024
#: Seconds a pooled connection may have been idle: middleboxes drop idle ones without a word, and a
#: POST into such a connection has an unknown outcome.
MAX_IDLE = 20.0
#: Connections kept to one provider; more are made and dropped when needed.
MAX_POOLED = 32


class TransportError(Exception):
    """No complete response.

    Arguments:
        code: what happened, e.g. "connect_timeout", "read_timeout", "connection_reset".
        reached: False only where certainly not one byte of the request was sent.
    """

    def __init__(self, code: str, *, reached: bool) -> None:
        super().__init__(code)
        self.code = code
        self.reached = reached


def send(request: Request, *, timeout: float, latest: float = math.inf) -> Response:
    """Send ``request`` once and read the whole answer.

    Arguments:
        timeout: seconds for all of it: connecting, sending, headers and body.
        latest: by the monotonic clock, the end of it however long this thread was kept waiting.

    Raises:
        TransportError: there is no complete answer.
    """
    _call.deadline = min(time.monotonic() + timeout, latest)
    _call.reached = False
    _call.active = True
    try:
        # Not through a requests session, whose preparing of requests costs as much as a query, nor
        # through urllib3's manager of pools, which needs 0.05 x a bare POST to find one of them.
        response = _pool(_origin(request.url)).urlopen(
            request.method,
            # In no variable of this frame, which error reports show: it may hold a token.
            _target(request.url),
            body=request.body and request.body.encode(),
            headers=request.headers,
            # Only serves until the first read: from there on _DeadlineReader rules.
            timeout=timeout,
            redirect=False,
            retries=False,
            # A path that begins with two slashes looks like another host.
            assert_same_host=False,
            preload_content=False,
        )
        try:
            body = _read(response)
        finally:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        # The original error's text may hold the request: its type is all that goes on.
        raise TransportError(_code(error), reached=_call.reached) from None
    finally:
        _call.active = False
    return Response(response.status, response.headers, body)


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    chunks, size = [], 0
    for chunk in response.stream(65536, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise TransportError("response_too_large", reached=True)
    return b"".join(chunks)


def _code(error: Exception) -> str:
    if _has_timeout(error):
        return "read_timeout" if _call.reached else "connect_timeout"
    if isinstance(error, (urllib3.exceptions.SSLError, ssl.SSLError)):
        return "tls_error"
    return "connection_reset" if _call.reached else "connection_failed"


def _has_timeout(error: BaseException | None) -> bool:
    """Whether a timeout is at the bottom of it: urllib3 wraps some in errors of other names."""
    while error is not None:
        if isinstance(error, urllib3.exceptions.NewConnectionError):
            # Refused, or no such host.
            return False
        if isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError)):
            return True
        nested = error.args[-1] if error.args and isinstance(error.args[-1], Exception) else None
        error = nested or error.__context__
    return False


class _Call(threading.local):
    """The deadline (monotonic) of this thread's request, and whether a byte of it was sent."""

    active: bool = False
    deadline: float = 0.0
    reached: bool = False
    tunneling: bool = False


_call = _Call()


class _Quiet(logging.Filter):
    """Keeps urllib3 from logging addresses: some providers want tokens in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _call.active


for _name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.response"):
    logging.getLogger(_name).addFilter(_Quiet())


def _remaining() -> float:
    remaining = _call.deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("deadline exceeded")
    return remaining


class _DeadlineReader(io.RawIOBase):
    """Socket reader whose every read may take what is left of the whole request's time.

    A socket timeout alone starts anew with every byte, so that a provider that drips one byte a
    second holds a worker for as long as it likes. And what is read in all is bounded, since a
    server may also go on for ever with what is no body: interim responses, trailers, chunk sizes.
    """

    def __init__(self, raw: io.RawIOBase, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._left = 2 * MAX_BODY

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        # Past the deadline, what has arrived is still taken: this process may have stood still,
        # and the answer may hold the only refresh token there is.
        self._sock.settimeout(max(0.0, _call.deadline - time.monotonic()))
        try:
            size = self._raw.readinto(buffer)
        except ssl.SSLWantReadError:
            size = None
        if size is None:
            raise TimeoutError("deadline exceeded")
        self._left -= size
        if self._left < 0:
            raise ConnectionError("response too large")
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(raw, sock))


class _DeadlineConnection:
    response_class: Any = _DeadlineResponse
    last_used = 0.0

    def send(self, data: Any) -> None:
        if self.sock is None:  # type: ignore[attr-defined]
            self.connect()  # type: ignore[attr-defined]
        self.sock.settimeout(_remaining())  # type: ignore[attr-defined]
        # Asking a proxy for a tunnel is not asking the provider.
        _call.reached = not _call.tunneling
        super().send(data)  # type: ignore[misc]

    def _tunnel(self) -> None:
        _call.tunneling = True
        try:
            super()._tunnel()  # type: ignore[misc]
        finally:
            _call.tunneling = False


class _DirectConnection(_DeadlineConnection):
    port: int
    _dns_host: str

    def _new_conn(self) -> Any:
        """Each of the host's addresses gets its share of the time; urllib3 gives each all of it."""
        name: str = self._dns_host
        found = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]) for *_, address in found]
        try:
            while True:
                self._dns_host = addresses.pop(0)
                self.timeout = _remaining() / (len(addresses) + 1)
                try:
                    return super()._new_conn()  # type: ignore[misc]
                except urllib3.exceptions.HTTPError:
                    if not addresses:
                        raise
        finally:
            # The certificate is checked against the name.
            self._dns_host = name


class _FreshPool:
    """Hands out no connection that has been idle for longer than ``MAX_IDLE``."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if time.monotonic() - connection.last_used > MAX_IDLE:
            connection.close()
        return connection

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.last_used = time.monotonic()
        super()._put_conn(connection)  # type: ignore[misc]


def _with_deadline(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    """``pool``, whose connections may be urllib3's own or a SOCKS proxy's, kept to the deadline."""
    kind: Any = pool.ConnectionCls
    direct = kind._new_conn is HTTPConnection._new_conn
    mixin = _DirectConnection if direct else _DeadlineConnection
    connection = type(kind.__name__, (mixin, kind), {})
    return type(pool.__name__, (_FreshPool, pool), {"ConnectionCls": connection})


def _origin(url: str) -> str:
    scheme, netloc, *_ = urlsplit(url)
    return f"{scheme}://{netloc}"


def _target(url: str) -> str:
    """What is asked for at the origin (RFC 9112 section 3.2.1)."""
    _, _, path, query, _ = urlsplit(url)
    return (path or "/") + (f"?{query}" if query else "")


@lru_cache(maxsize=256)
def _pool(origin: str) -> HTTPConnectionPool:
    """Connections to ``origin``, by the proxies and CA bundle that the environment names.

    The environment is read once: going through it takes a tenth of a request's time.
    """
    if not is_secure_url(origin):
        # The settings allow none; this is the last place to see to it.
        raise TransportError("tls_error", reached=False)
    environment = requests.Session().merge_environment_settings(origin, {}, True, None, None)
    named = environment["verify"]
    bundle = named if isinstance(named, str) else DEFAULT_CA_BUNDLE_PATH
    manager: urllib3.PoolManager
    if origin.startswith("http:"):
        # For this machine alone: a proxy would get it in the open.
        manager = urllib3.PoolManager(maxsize=MAX_POOLED)
    elif proxy := select_proxy(origin, environment["proxies"]):
        adapter = HTTPAdapter(pool_maxsize=MAX_POOLED)
        address = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
        manager = adapter.proxy_manager_for(address, ssl_context=_tls(bundle))
    else:
        manager = urllib3.PoolManager(maxsize=MAX_POOLED, ssl_context=_tls(bundle))
    manager.pool_classes_by_scheme = {
        scheme: _with_deadline(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager.connection_from_url(origin)


@lru_cache(maxsize=8)
def _tls(bundle: str) -> ssl.SSLContext:
    """Verifies by ``bundle``; once for all, since reading it takes longer than a handshake."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})
    return context


# A forked worker must not speak on its parent's sockets.
os.register_at_fork(after_in_child=_pool.cache_clear)
