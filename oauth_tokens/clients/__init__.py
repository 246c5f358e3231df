"""Tokens where requests are made: sessions, clients and auth objects that callers need not feed.

:mod:`decisions` says what a 401 means and where a token may go, :mod:`source` holds the token that
requests carry, :mod:`auth` puts it into requests of ``requests``, ``httpx`` and ``httpx2``,
:mod:`bodies` looks at what a refusal says without taking it from the caller;
:mod:`session` and :mod:`async_client` are ready-made clients around that.
"""

from __future__ import annotations

#: Seconds that a client waits for a connection, and for the next byte of an answer, unless told.
TIMEOUT = 30.0
