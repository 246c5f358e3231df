"""What the protocol needs of a row, and what a caller needs of the protocol."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..rescue import Kept
    from ..token_set import TokenSet


class Need(NamedTuple):
    """What the caller has to be given.

    Arguments:
        trigger: "lazy", "sweep", "forced" or "unauthorized"; goes into history and signals.
        min_ttl: seconds that the access token must still live.
        beyond_version: where given, only a token set newer than this one will do.
        wait: whether to wait for another caller's refresh.
    """

    trigger: str
    min_ttl: float = 0.0
    beyond_version: int | None = None
    wait: bool = True

    def met_by(self, row: Row) -> bool:
        """Whether nothing has to be done."""
        if self.beyond_version is not None:
            return self.served_by(row)
        return row.seconds_left > max(self.min_ttl, row.threshold)

    def served_by(self, row: Row) -> bool:
        """Whether the row's access token will do if it cannot be refreshed now."""
        if self.beyond_version is not None and row.version <= self.beyond_version:
            return False
        return row.seconds_left > self.min_ttl


class Circuit(Protocol):
    """The health of the row's provider."""

    def verdict(self, *, probe: bool = True) -> Any: ...
    def succeeded(self) -> None: ...
    def failed(self, code: str, *, operator: bool = False) -> None: ...


class Row(Protocol):
    """What the protocol needs of a stored token set. Every transition is atomic and committed."""

    provider: str
    client_id: str
    extra: dict[str, Any]
    version: int
    grant_id: Any
    status: str
    error_code: str
    failure_count: int
    attempt_id: str | None

    @property
    def key(self) -> str:
        """Names the row in locks and in the rescue store."""

    @property
    def was_just_read(self) -> bool:
        """Whether reading it anew can be left to the claim, which fails if anything has changed."""

    @property
    def seconds_left(self) -> float: ...
    @property
    def leeway(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    @property
    def seconds_to_retry(self) -> float:
        """Seconds for which a transient failure is still backing off; 0 where none is."""

    @property
    def has_lapsed_claim(self) -> bool: ...
    @property
    def has_live_claim(self) -> bool: ...
    @property
    def seconds_since_attempt(self) -> float: ...
    @property
    def is_refresh_token_expired(self) -> bool: ...
    @property
    def has_refresh_token(self) -> bool: ...
    @property
    def refresh_token(self) -> str | None: ...
    @property
    def access_token(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def url_variables(self) -> dict[str, str]: ...
    @property
    def circuit(self) -> Circuit: ...

    def now(self) -> datetime: ...
    def own_connection(self) -> AbstractContextManager[bool]: ...
    def drop_connection(self) -> None: ...
    def in_transaction(self) -> bool: ...
    def reload(self) -> None:
        """Read anew from the primary. Raises: TokenNotConnected."""

    def copy(self) -> Any:
        """The same row as another instance."""

    def take(self, other: Any) -> None:
        """Become as ``other``, another instance of the same row, is."""

    def claim(self, attempt_id: str, lease: float) -> bool: ...
    def save_refreshed(
        self, token_set: TokenSet, sent_at: datetime, trigger: str, duration: float
    ) -> bool: ...
    def save_rescued(self, kept: Kept) -> None: ...
    def keep_late(self, token_set: TokenSet, grant_id: str, sent_at: datetime) -> None: ...
    def adopt(self, token_set: TokenSet, sent_at: datetime) -> None: ...
    def use_spare(self) -> bool: ...
    def record_failure(
        self, code: str, description: str, delay: float, *, keep_claim: bool
    ) -> None: ...
    def release_claim(self, delay: float, *, keep: bool) -> None: ...
    def require_reauthentication(self, code: str, description: str = "") -> None: ...
    def send_notices(self) -> None: ...
