"""The beginning of an answer's body, looked at without taking it from the caller.

A refusal says in its body what it is about, but a body without Content-Length may have no end, and
where a provider refuses with status 200 it may be the file that the caller wants to stream. So at
most ``MAX_ERROR_BODY`` bytes are read ahead; what is longer is put back in front of the rest.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cache
from importlib import import_module
from itertools import chain
from typing import Any

from .decisions import MAX_ERROR_BODY

_CHUNK = 8192


def is_short(response: Any) -> bool:
    """Whether a response of ``requests`` is within the bound; its ``content`` is read then."""
    if isinstance(response.raw, _Resumed):
        return False
    if response._content_consumed:
        return len(response.content) <= MAX_ERROR_BODY
    pieces = response.iter_content(_CHUNK)
    start = _Start()
    if any(map(start.is_too_long, pieces)):
        response.raw = _Resumed(response.raw, start.pieces, pieces)
        return False
    response._content = b"".join(start.pieces)
    return True


def leave(response: Any) -> None:
    """Read a response of ``requests`` to its end, so that its connection can be used again; of one
    that is too long, drop the rest and the connection."""
    if not is_short(response) and isinstance(response.raw, _Resumed):
        response.raw.rest = ()
    response.close()


class _Start:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._size = 0

    def is_too_long(self, piece: bytes) -> bool:
        """Add ``piece``; whether that is more than is looked at."""
        self.pieces.append(piece)
        self._size += len(piece)
        return self._size > MAX_ERROR_BODY


class _Resumed:
    """``response.raw`` of ``requests``, whose first pieces have been read."""

    def __init__(self, raw: Any, start: list[bytes], rest: Iterable[bytes]) -> None:
        self._raw = raw
        self._start = start
        self.rest = rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """What ``iter_content()`` reads."""
        return chain(self._start, self.rest)

    def read(self, *_: Any, **__: Any) -> bytes:
        """Not without what has been read already."""
        raise io.UnsupportedOperation("Read this answer with iter_content() or content.")


# httpx


def read_start(response: Any) -> bool:
    """See is_short(); for ``httpx``."""
    if response.is_stream_consumed:
        return True
    start = _Start()
    pieces = iter(response.stream)
    whole = not any(map(start.is_too_long, pieces))
    response.stream = _stream_class()(response.stream, start.pieces, () if whole else pieces)
    if whole:
        response.read()
    return whole


async def aread_start(response: Any) -> bool:
    """See read_start()."""
    if response.is_stream_consumed:
        return True
    start = _Start()
    pieces = aiter(response.stream)
    whole = True
    async for piece in pieces:
        if start.is_too_long(piece):
            whole = False
            break
    response.stream = _stream_class()(response.stream, start.pieces, () if whole else pieces)
    if whole:
        await response.aread()
    return whole


def cut(response: Any) -> None:
    """Have ``httpx``, which reads what it repeats, read no more than has been read already."""
    response.stream.rest = ()


class _ResumedStream:
    """``response.stream`` of ``httpx``, whose first pieces have been read."""

    def __init__(self, stream: Any, start: list[bytes], rest: Any) -> None:
        self._stream = stream
        self._start = start
        self.rest = rest

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._start, self.rest)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._start:
            yield piece
        if self.rest:
            async for piece in self.rest:
                yield piece

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


@cache
def _stream_class() -> type[_ResumedStream]:
    """``httpx`` and ``httpx2`` take streams of their own classes only: one for what is here."""
    bases: list[type] = []
    for name in ("httpx2", "httpx"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        bases += [module.SyncByteStream, module.AsyncByteStream]
    return type("ResumedStream", (_ResumedStream, *bases), {})
