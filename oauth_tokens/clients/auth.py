"""The auth object: a fresh token in each request, and one repetition after it was refused."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator
from functools import cache, partial
from importlib import import_module
from typing import Any

from django.views.decorators.debug import sensitive_variables

from .bodies import aread_start, cut, is_short, leave, read_start
from .decisions import Refusal, check_url, has_telling_body, refusal
from .source import Credential, Source

#: Extension of httpx requests that are to go without the token.
_WITHHELD = "oauth_tokens.withheld"


class TokenAuth:
    """An ``auth=`` of ``requests``, and with :func:`make_auth` one of ``httpx`` and ``httpx2``.

    Each request carries a fresh access token (RFC 6750 section 2.1). One that is refused because
    the token is expired or invalid is repeated once, with a refreshed token, if its body can be
    sent again. What is refused again is returned as it is.

    Arguments:
        hosts: the only ones that may receive the token, as :func:`decisions.allowed_hosts` gives
            them; None for any.
    """

    def __init__(self, source: Source, hosts: Collection[str] | None = None) -> None:
        self.source = source
        self.hosts = hosts

    def __call__(self, request: Any) -> Any:
        """Prepare a request of ``requests``.

        Raises:
            OAuthTokenError: the token must not go there; or as get_valid().
        """
        check_url(str(request.url), self.hosts)
        credential = self.source.credential()
        put(credential, request)
        if hasattr(request, "register_hook"):
            request.register_hook("response", _Repeat(self.source, credential))
        return request


@sensitive_variables()
def put(credential: Credential, request: Any) -> None:
    """Have ``request`` carry ``credential``."""
    request.headers["Authorization"] = credential.authorization


class _Repeat:
    """Response hook of one request and of those it is redirected to.

    Arguments:
        credential: what the request was sent with.
    """

    def __init__(self, source: Source, credential: Credential) -> None:
        self.source = source
        self.credential = credential

    @sensitive_variables()
    def __call__(self, response: Any, **kwargs: Any) -> Any:
        request = response.request
        # A redirect to another host has lost the credential, a repetition carries another one.
        if not self.credential.is_in(request.headers):
            return response
        refused = self._refusal(response)
        if refused is Refusal.NO:
            return response
        renewed = self.source.renewed(self.credential, refused)
        again = request.copy()
        if renewed is None or not _rewind(again):
            return response
        put(renewed, again)
        # Of this one requests makes the next, should the repetition be redirected.
        put(renewed, request)
        leave(response)
        started = time.perf_counter()
        repeated = response.connection.send(again, **kwargs)
        repeated.elapsed = type(response.elapsed)(seconds=time.perf_counter() - started)
        repeated.history.append(response)
        if self._refusal(repeated) is not Refusal.NO:
            self.source.refused_again(renewed)
        return repeated

    def _refusal(self, response: Any) -> Refusal:
        status, statuses = response.status_code, self.source.unauthorized_statuses
        telling = has_telling_body(status, response.headers, statuses) and is_short(response)
        body = response.content if telling else b""
        return refusal(status, response.headers, body, statuses)


def _rewind(request: Any) -> bool:
    """Bring the body of a prepared request back to where it was; False where that cannot be."""
    from requests.exceptions import UnrewindableBodyError
    from requests.utils import rewind_body

    if request.body is None or isinstance(request.body, (str, bytes, bytearray)):
        return True
    try:
        rewind_body(request)
    except UnrewindableBodyError:
        return False
    return True


class _HttpxFlows(TokenAuth):
    """See ``httpx.Auth``: each flow yields a request and is sent the response to it."""

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        steps, answer = self._steps(request), None
        while (step := _next(steps, answer)) is not None:
            answer = step.run() if isinstance(step, _Blocking) else (yield step)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        steps, answer = self._steps(request), None
        while (step := _next(steps, answer)) is not None:
            answer = await step.arun() if isinstance(step, _Blocking) else (yield step)

    def _steps(self, request: Any) -> Generator[Any, Any, None]:
        """What both flows do: yields requests, and what blocks, and is sent what came of each."""
        if _WITHHELD in request.extensions:
            _keep_out((yield request))
            return
        check_url(str(request.url), self.hosts)
        source = self.source
        rewind = _rewinder(request)
        credential = yield _Blocking(source.credential, source.acredential)
        put(credential, request)
        response = yield request
        refused = yield from self._refusal(response, credential)
        if refused is Refusal.NO:
            return
        renewed = yield _Blocking(source.renewed, source.arenewed, credential, refused)
        # Not the first request: it may have been done with, and redirected to its result.
        again = response.request
        if renewed is None or not (again.stream is not request.stream or rewind()):
            return
        put(renewed, again)
        if not (yield _Blocking(read_start, aread_start, response)):
            cut(response)
        response = yield again
        if (yield from self._refusal(response, renewed)) is not Refusal.NO:
            source.refused_again(renewed)

    def _refusal(self, response: Any, credential: Credential) -> Generator[Any, Any, Refusal]:
        _keep_out(response)
        if not credential.is_in(response.request.headers):
            return Refusal.NO
        status, statuses = response.status_code, self.source.unauthorized_statuses
        telling = has_telling_body(status, response.headers, statuses)
        if telling:
            telling = yield _Blocking(read_start, aread_start, response)
        body = response.content if telling else b""
        return refusal(status, response.headers, body, statuses)


class _Blocking:
    """A call that blocks, and its twin for coroutines."""

    def __init__(
        self, run: Callable[..., Any], arun: Callable[..., Awaitable[Any]], *arguments: Any
    ) -> None:
        self.run = partial(run, *arguments)
        self.arun = partial(arun, *arguments)


def _next(steps: Generator[Any, Any, None], answer: Any) -> Any:
    """The step after the one that brought ``answer``; None after the last."""
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _keep_out(response: Any) -> None:
    """A redirect that the caller follows by hand, ``send(response.next_request)``, passes here like
    a new request: where httpx has taken the token off it, it gets none."""
    following = response.next_request
    if following is not None and "Authorization" not in following.headers:
        following.extensions[_WITHHELD] = True


def _rewinder(request: Any) -> Callable[[], bool]:
    """What brings the body of an ``httpx`` request back to where it is now, and says whether that
    was possible."""
    stream = request.stream
    if hasattr(request, "_content"):  # not a stream: httpx has all of it
        return lambda: True
    if hasattr(stream, "fields"):  # multipart, whose files httpx itself reads from the beginning
        files = [field.file for field in stream.fields if hasattr(field, "file")]
        return lambda: all(isinstance(f, (str, bytes)) or _can_seek(f) for f in files)
    file: Any = getattr(stream, "_stream", None)
    if not _can_seek(file):
        return lambda: False
    position = file.tell()
    return lambda: file.seek(position) == position


def _can_seek(file: Any) -> bool:
    return hasattr(file, "seekable") and bool(file.seekable())


@cache
def _class_for_all() -> type[TokenAuth]:
    """``httpx`` and ``httpx2`` take auth objects of their own class only: one for what is here."""
    bases: list[type] = []
    for name in ("httpx2", "httpx"):
        try:
            bases.append(import_module(name).Auth)
        except ImportError:
            continue
    return type("TokenAuth", (_HttpxFlows, *bases), {})


def make_auth(source: Source, hosts: Collection[str] | None = None) -> TokenAuth:
    """An auth object for ``requests``, ``httpx`` and ``httpx2``, whichever are installed."""
    return _class_for_all()(source, hosts)
