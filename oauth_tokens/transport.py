"""HTTP to providers: pooled connections, one total deadline, a body cap, nothing retried.

The one place that talks HTTP to authorization servers. What matters to the caller of a failed
request is whether it may have reached the provider, since a refresh token that was sent may be
used up: :attr:`TransportError.reached` says so.
"""

from __future__ import annotations

import http.client
import io
import math
import os
import ssl
import threading
import time
from functools import cache, lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .providers.wire import Request, Response

#: A token response is a few KiB; more than this is not one.
MAX_BODY = 1024 * 1024
#: Seconds a pooled connection may have been idle: middleboxes drop idle ones without a word, and a
#: POST into such a connection has an unknown outcome.
MAX_IDLE = 20.0


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
    session = _session()
    try:
        prepared = requests.Request(
            request.method, request.url, data=request.body, headers=dict(request.headers)
        ).prepare()
        # The socket timeout only serves until the first read: from there on _DeadlineReader rules.
        response = session.send(
            prepared, timeout=timeout, allow_redirects=False, **_environment(request.url)
        )
        with response:
            body = _read(response)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        # The original error's text may hold the request: its type is all that goes on.
        raise TransportError(_code(error), reached=_call.reached) from None
    return Response(response.status_code, response.headers, body)


def _read(response: requests.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_content(65536):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            response.raw.close()
            raise TransportError("response_too_large", reached=True)
    return b"".join(chunks)


def _code(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "connect_timeout"
    if isinstance(error, (requests.exceptions.Timeout, TimeoutError)) or _has_timeout(error):
        return "read_timeout" if _call.reached else "connect_timeout"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls_error"
    return "connection_reset" if _call.reached else "connection_failed"


def _has_timeout(error: BaseException | None) -> bool:
    """requests reports a timeout while reading the body as a ConnectionError around it."""
    while error is not None:
        if isinstance(error, urllib3.exceptions.NewConnectionError):
            # Refused, or no such host; urllib3 derives it from its connect timeout.
            return False
        if isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError)):
            return True
        nested = error.args[0] if error.args and isinstance(error.args[0], Exception) else None
        error = nested or error.__context__
    return False


class _Call(threading.local):
    """The deadline (monotonic) of this thread's request, and whether a byte of it was sent."""

    deadline: float = 0.0
    reached: bool = False
    tunneling: bool = False


_call = _Call()


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


class _Connection(_DeadlineConnection, HTTPConnection):
    pass


class _TLSConnection(_DeadlineConnection, HTTPSConnection):
    pass


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


class _Pool(_FreshPool, HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(_FreshPool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


@cache
def _session() -> requests.Session:
    session = requests.Session()
    adapter = _Adapter(pool_connections=32, pool_maxsize=32)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.stream = True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


@lru_cache(maxsize=256)
def _environment(url: str) -> dict[str, Any]:
    """Proxies and CA bundle that the environment names for ``url``.

    Read once: requests goes through the whole environment for each request, a tenth of its time.
    """
    return dict(_session().merge_environment_settings(url, {}, True, None, None))


# A forked worker must not speak on its parent's sockets.
os.register_at_fork(after_in_child=_session.cache_clear)
