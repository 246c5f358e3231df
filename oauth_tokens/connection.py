"""A database connection of one's own inside a caller's transaction.

A refresh cannot be undone at the provider, so it must not be undone in the database either: not by
the caller's rollback, and not hidden by the caller's snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

#: Seconds to wait for a row that somebody holds. The caller itself may hold it, and waiting for
#: oneself is a deadlock that no database can see.
_LOCK_WAIT = 2.0
#: SQLite has one writer: when the caller has written, a second one can only fail, so soon.
_SQLITE_WAIT = 0.25


def in_callers_transaction(using: str) -> bool:
    """Whether the thread is in a transaction that the caller may still roll back.

    What Django's ``TestCase`` opens does not count, nor does anything inside it: rows that only
    exist in a test's transaction are invisible to every other connection.
    """
    connection = connections[using]
    blocks: list[Any] = connection.atomic_blocks
    if blocks:
        return not blocks[0]._from_testcase
    return not connection.get_autocommit()


def after_commit(call: Callable[[], object], using: str) -> None:
    """Call when the caller's transaction has been committed, or now where there is none.

    Unlike ``transaction.on_commit`` this counts no transaction that a ``TestCase`` opened.
    """
    blocks: list[Any] = connections[using].atomic_blocks
    if all(block._from_testcase for block in blocks):
        call()
    else:
        transaction.on_commit(call, using=using, robust=True)


@contextmanager
def own_connection(using: str) -> Iterator[bool]:
    """Within it, ``using`` is a fresh connection if the caller is in a transaction.

    Outside of any transaction the caller's connection serves as it is. Yields whether it is a
    fresh one, to which the caller's snapshot does not apply.
    """
    if not in_callers_transaction(using) or _is_private(connections[using]):
        yield False
        return
    callers = connections[using]
    own = callers.copy()
    own.settings_dict["AUTOCOMMIT"] = True
    if own.vendor == "sqlite":
        own.settings_dict.setdefault("OPTIONS", {})["timeout"] = _SQLITE_WAIT
    connections[using] = own
    try:
        with _limited_lock_waits(own):
            yield True
    finally:
        connections[using] = callers
        own.close()


@contextmanager
def short_busy_timeout(using: str) -> Iterator[None]:
    """Within it, SQLite gives up after a moment where somebody else is writing."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        yield
        return
    usual = connection.settings_dict["OPTIONS"].get("timeout", 5.0)
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {int(_SQLITE_WAIT * 1000)}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(usual * 1000)}")


def _is_private(connection: BaseDatabaseWrapper) -> bool:
    """An in-memory SQLite database has no second connection."""
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())  # type: ignore[attr-defined]


@contextmanager
def _limited_lock_waits(connection: BaseDatabaseWrapper) -> Iterator[None]:
    before, after = {
        "postgresql": (f"SET lock_timeout = {int(_LOCK_WAIT * 1000)}", "RESET lock_timeout"),
        "mysql": (f"SET SESSION innodb_lock_wait_timeout = {int(_LOCK_WAIT)}", ""),
    }.get(connection.vendor, ("", ""))
    if before:
        with connection.cursor() as cursor:
            cursor.execute(before)
    try:
        yield
    finally:
        if after and connection.is_usable():
            # A pool hands the connection to others next.
            with connection.cursor() as cursor:
                cursor.execute(after)
