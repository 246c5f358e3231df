"""Token sets that the database would not take, kept until it does.

After a provider has rotated a refresh token, its answer exists once. If saving it fails it goes to
Redis and to a file that is synced to disk (``RESCUE_DIR``), or where neither takes it, to this
process's memory. Entries are encrypted and bound to their row; each is removed once saved.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.views.decorators.debug import sensitive_variables

from . import locks
from .conf import get_settings
from .encryption import associated_data, get_keyring
from .exceptions import DecryptionError
from .token_set import TokenSet

logger = logging.getLogger("oauth_tokens")

#: Seconds for which Redis keeps an entry: longer than any outage, shorter than for ever.
KEPT_FOR = 30 * 86400
#: Entries read in one go, and kept in memory at most.
LIMIT = 10_000

_memory: dict[str, bytes] = {}
_guard = threading.Lock()


def _forget_memory() -> None:
    """What the parent of a forked worker keeps is the parent's to save."""
    global _guard  # noqa: PLW0603 - the parent's may be held for ever
    _guard = threading.Lock()
    _memory.clear()


os.register_at_fork(after_in_child=_forget_memory)


@dataclass(frozen=True, slots=True)
class Kept:
    """A rescued token set.

    Arguments:
        provider, client_id, url_variables: who can be told to revoke it.
        version: of the row whose refresh token was sent to get it.
        grant_id: of that row.
        sent_at: when it was asked for, by the database's clock.
    """

    token_set: TokenSet
    provider: str
    client_id: str
    version: int
    grant_id: str
    sent_at: datetime
    url_variables: dict[str, str] = field(default_factory=dict)


@sensitive_variables()
def keep(key: str, kept: Kept) -> bool:
    """Keep a token set for the row named ``key``. False where only memory took it."""
    text = json.dumps(dataclasses.asdict(kept), default=_plain)
    entry = get_keyring().encrypt(text, _associated_data(key))
    in_redis = locks.keep(key, entry, KEPT_FOR)
    on_disk = _write_file(key, entry)
    durable = in_redis or on_disk
    with _guard:
        if not durable and (key in _memory or len(_memory) < LIMIT):
            _memory[key] = entry
    logger.log(
        logging.WARNING if durable else logging.CRITICAL,
        "A refreshed token could not be saved and is kept %s until the database takes it",
        "aside" if durable else "in this process's memory alone",
    )
    return durable


def _plain(value: Any) -> object:
    """What JSON has no word for: times and sets."""
    return value.isoformat() if isinstance(value, datetime) else sorted(value)


class Found(NamedTuple):
    """The newest of what is kept for a row, and all entries that were looked at."""

    kept: Kept
    entries: frozenset[bytes]


@sensitive_variables()
def find(key: str, lock: locks.Lock | None = None) -> Found | None:
    """What is kept for the row named ``key``.

    Arguments:
        lock: the row's, whose answer says what Redis keeps; without one Redis is asked.

    Raises:
        DecryptionError: the key that it was encrypted with is not configured.
    """
    fetched = locks.kept(key) if lock is None else lock.kept
    found: dict[bytes, Kept] = {}
    # Another process may have saved and forgotten what this one's memory still has.
    for entry in (fetched, _read_file(key), _memory.get(key)):
        if entry is None:
            continue
        try:
            value = json.loads(get_keyring().decrypt(entry, _associated_data(key)))
        except (DecryptionError, ValueError) as error:
            if getattr(error, "code", "") == "unknown_key":
                # To go on without it would send a refresh token that has been used up.
                raise
            logger.error("A rescued token cannot be opened with the configured keys")
            continue
        fields = value.pop("token_set")
        if fields["scope"] is not None:
            fields["scope"] = frozenset(fields["scope"])
        value["sent_at"] = datetime.fromisoformat(value["sent_at"])
        found[entry] = Kept(TokenSet(**fields), **value)
    if not found:
        return None
    return Found(max(found.values(), key=lambda kept: kept.version), frozenset(found))


def forget(key: str, entries: frozenset[bytes]) -> None:
    """Remove ``entries`` of the row named ``key``, which have been saved, and no others: a process
    that stood still may come late, when a newer token set is kept."""
    with _guard:
        if _memory.get(key) in entries:
            del _memory[key]
    for entry in entries:
        locks.drop(key, entry)
    path = _path(key)
    if path is not None:
        with contextlib.suppress(OSError):
            _remove_file(path, entries)


def kept_keys() -> Iterator[str]:
    """Names of the rows for which something is kept."""
    seen = set(_memory)
    seen.update(locks.kept_names(LIMIT))
    folder = get_settings().RESCUE_DIR
    if folder and Path(folder).is_dir():
        names = (path.name.removesuffix(".rescued") for path in Path(folder).glob("*.rescued"))
        seen.update(name.replace("_", ":") for name in names)
    yield from sorted(seen)


def _write_file(key: str, entry: bytes) -> bool:
    path = _path(key)
    if path is None:
        return False
    name = ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(entry)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        logger.error("RESCUE_DIR cannot be written (%s)", type(error).__name__)
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        return False
    return True


def _read_file(key: str) -> bytes | None:
    path = _path(key)
    try:
        return path.read_bytes() if path is not None else None
    except OSError:
        return None


def _remove_file(path: Path, entries: frozenset[bytes]) -> None:
    if path.read_bytes() not in entries:
        return
    # Between a look and an unlink it could become another: taken away, and looked at once more.
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    path.rename(aside)
    if aside.read_bytes() in entries:
        aside.unlink()
    elif not path.exists():
        aside.rename(path)


def _path(key: str) -> Path | None:
    folder = get_settings().RESCUE_DIR
    if not folder or not re.fullmatch(r"[0-9a-zA-Z:.-]+", key):
        return None
    return Path(folder) / f"{key.replace(':', '_')}.rescued"


def _associated_data(key: str) -> bytes:
    return associated_data("rescue", key)
