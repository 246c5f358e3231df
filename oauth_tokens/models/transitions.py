"""The atomic transitions of a stored token set, as the refresh protocol needs them.

Each is one committed transaction, guarded by a compare-and-set on the integer ``version``, with its
history row inside. Times are the database's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from django.db import connections, models, router
from django.utils.crypto import salted_hmac
from django.views.decorators.debug import sensitive_variables

from .. import signals
from ..conf import get_settings
from ..connection import own_connection
from ..exceptions import TokenNotConnected
from ..providers.registry import get_provider
from ..refresh import next_refresh
from ..writer import change_row
from .circuit import RowCircuit
from .event import TokenEvent
from .notices import send_notice
from .revocation import PendingRevocation

if TYPE_CHECKING:
    from ..rescue import Kept
    from ..token_set import TokenSet
    from .columns import StoredTokenSet
else:
    # Django copies the fields of an abstract model once for each one derived from it: 2 ms.
    StoredTokenSet = object

logger = logging.getLogger("oauth_tokens")


class Transitions(StoredTokenSet):
    """Implements :class:`oauth_tokens.refresh.row.Row` for :class:`OAuthToken`."""

    _notices: list[Callable[[], object]]
    #: The claim that this instance took.
    _held: str | None = None
    #: Who acts by hand through this instance, e.g. in the admin: noted in the history.
    actor_id: int | None = None

    @property
    def database(self) -> str:
        """Alias of the database in which this row is changed."""
        return router.db_for_write(type(self), instance=self)

    @property
    def key(self) -> str:
        """Names this row in locks and rescue store, which several sites may share."""
        using = self.database
        connection = connections[using]
        # django-tenants and its like have many sites in one database.
        schema = getattr(connection, "schema_name", "")
        return f"{_site(using, connection.settings_dict['NAME'], schema)}:{self.pk}"

    @property
    def circuit(self) -> RowCircuit:
        """The health of this row's provider."""
        return RowCircuit(self)

    @property
    def was_just_read(self) -> bool:
        """Whether this instance was read from the primary less than a second ago."""
        return (
            self._read_at is not None
            and time.monotonic() - self._read_at[1] < 1.0
            and self._state.db == self.database
        )

    def own_connection(self) -> AbstractContextManager[bool]:
        """See :func:`oauth_tokens.connection.own_connection`."""
        return own_connection(self.database)

    def in_transaction(self) -> bool:
        """Whether this thread is in one, be it a ``TestCase``'s."""
        return connections[self.database].in_atomic_block

    def drop_connection(self) -> None:
        """Have the next query use a new connection, unless a transaction rests on this one."""
        if not self.in_transaction():
            connections[self.database].close()

    def reload(self) -> None:
        """Read anew from the primary. Raises: TokenNotConnected."""
        cast("Any", type(self)).objects.reload(self)

    def claim(self, attempt_id: str, lease: float) -> bool:
        """Take the right to send this row's refresh token, for ``lease`` seconds.

        Where a lapsed claim is taken over, the time of the first attempt stays: a provider's grace
        window began with it.
        """
        now = self.now()
        ends = now + timedelta(seconds=lease)
        started = self.attempt_started_at if self.attempt_id else now
        changes = {
            "attempt_id": attempt_id,
            "attempt_started_at": started,
            "attempt_expires_at": ends,
            # Should this process die, the next sweep after the lease looks after the row.
            "refresh_at": ends,
        }
        # Everything that a decision to refresh rests on must still be as it was read.
        claimed = self._change(
            changes, status="active", attempt_id=self.attempt_id, retry_at=self.retry_at
        )
        if claimed:
            self._held = attempt_id
        return claimed

    def save_refreshed(
        self, token_set: TokenSet, sent_at: datetime, trigger: str, duration: float
    ) -> bool:
        """Store a refreshed token set, unless a newer one is there. Also revives a row that was
        given up before this answer arrived."""
        changes = {
            **self._token_values(token_set, sent_at),
            "version": self.version + 1,
            "status": "active",
            "last_refreshed_at": sent_at,
            "updated_at": self.now(),
            **CALM,
            **UNCLAIMED,
        }
        event = self._event(TokenEvent.Kind.REFRESHED, code=trigger, duration=duration)
        if not self._change(changes, event):
            return False
        self._notify(signals.token_refreshed, trigger=trigger, duration=duration)
        return True

    def adopt(self, token_set: TokenSet, sent_at: datetime) -> None:
        """Take a token set into this instance only."""
        for name, value in self._token_values(token_set, sent_at).items():
            setattr(self, name, value)
        self.status = self.Status.ACTIVE
        self.last_refreshed_at = sent_at

    def save_rescued(self, kept: Kept) -> None:
        """Store a token set from the rescue store."""
        same = (self.version, str(self.grant_id)) == (kept.version, kept.grant_id)
        if not (same and self.save_refreshed(kept.token_set, kept.sent_at, "restored", 0.0)):
            self.keep_late(kept.token_set, kept.grant_id, kept.sent_at)

    def keep_late(self, token_set: TokenSet, grant_id: str, sent_at: datetime) -> None:
        """A token set that came too late: as spare beside a newer one of the same grant; given back
        to the provider where the user has reconnected or disconnected meanwhile.

        Arguments:
            grant_id: of the row whose refresh token was sent to get it.
            sent_at: when that was.

        Raises:
            TokenNotConnected: the row is gone.
        """
        try:
            self.reload()
        except TokenNotConnected:
            self._give_back(token_set)
            raise
        if str(self.grant_id) != grant_id or self.status == self.Status.REVOKING:
            self._give_back(token_set)
        elif self.last_refreshed_at == sent_at or not token_set.refresh_token:
            # It is this one that was saved, by somebody else or without our learning of it.
            return
        elif self._held and self.attempt_id == self._held:
            # store() has replaced the access token meanwhile; the refresh token is the one we sent.
            column = "encrypted_refresh_token"
            kept = self._change(
                {column: self._seal(column, token_set.refresh_token), **UNCLAIMED},
                self._event(TokenEvent.Kind.REFRESHED, code="late"),
                attempt_id=self._held,
            )
            if not kept:
                self.keep_late(token_set, grant_id, sent_at)
        else:
            column = "encrypted_spare_refresh_token"
            kept = self._change(
                {column: self._seal(column, token_set.refresh_token)},
                self._event(TokenEvent.Kind.SPARE_KEPT),
                grant_id=self.grant_id,
            )
            if not kept:
                self.keep_late(token_set, grant_id, sent_at)

    @sensitive_variables()
    def use_spare(self) -> bool:
        """Make the spare the refresh token, under the claim; False where there is none."""
        if not self.encrypted_spare_refresh_token:
            return False
        spare = self._open("encrypted_spare_refresh_token")
        changes = {
            "encrypted_refresh_token": self._seal("encrypted_refresh_token", spare),
            "encrypted_spare_refresh_token": None,
        }
        event = self._event(TokenEvent.Kind.SPARE_USED)
        return self._change(changes, event, attempt_id=self._held)

    def record_failure(
        self, code: str, description: str, delay: float, *, keep_claim: bool
    ) -> None:
        """A transient failure: back off; after GIVE_UP_AFTER of nothing else, ask the user.

        Arguments:
            delay: seconds until the next attempt.
            keep_claim: leave a lapsed claim behind, which says that the outcome is unknown.
        """
        now = self.now()
        since = self.failing_since or now
        if (now - since).total_seconds() > get_settings().GIVE_UP_AFTER:
            self.require_reauthentication("refresh_exhausted", description or code)
            return
        later = now + timedelta(seconds=delay)
        changes = {
            "failure_count": self.failure_count + 1,
            "failing_since": since,
            "error_code": code,
            "error_description": description[:255],
            "retry_at": later,
            "refresh_at": later,
            **self._freed(keep_claim),
        }
        event = self._event(TokenEvent.Kind.REFRESH_FAILED, code=code, detail=description)
        if not self._change(changes, event, attempt_id=self._held):
            # Somebody else has the row by now, and maybe a newer token.
            self.reload()
            return
        self._notify(signals.refresh_failed, code=code, retryable=True)

    def release_claim(self, delay: float, *, keep: bool) -> None:
        """End an attempt that says nothing about this row.

        Arguments:
            delay: seconds until its next one: should it be this row's fault after all, the others
                come first.
        """
        later = self.now() + timedelta(seconds=delay)
        changes = {"refresh_at": later, "retry_at": later, **self._freed(keep)}
        self._change(changes, attempt_id=self._held)

    def require_reauthentication(self, code: str, description: str = "") -> None:
        """Only the user can mend this row now. Once per transition, whoever calls."""
        if self.has_live_claim and self.attempt_id != self._held:
            # Whoever holds it will know more in a moment.
            return
        now = self.now()
        changes = {
            "status": "reauth_required",
            "error_code": code,
            "error_description": description[:255],
            "refresh_at": None,
            "retry_at": None,
            **UNCLAIMED,
        }
        event = self._event(
            TokenEvent.Kind.REAUTH_REQUIRED, code=code, detail=description, notice_at=now
        )
        if not self._change(changes, event, status="active", attempt_id=self.attempt_id):
            self.reload()
            return
        self._later(lambda: send_notice(event, self))
        self._notify(signals.refresh_failed, code=code, retryable=False)

    def send_notices(self) -> None:
        """Send the signals of what was committed. Receivers' errors are logged, never raised."""
        notices, self._notices = self.__dict__.get("_notices", []), []
        for notice in notices:
            try:
                notice()
            except Exception:
                logger.exception("A notice of %r could not be sent", self)

    def _notify(self, signal: Any, **arguments: Any) -> None:
        self._later(lambda: signal.send_robust(sender=type(self), token=self, **arguments))

    def _later(self, notice: Callable[[], object]) -> None:
        self.__dict__.setdefault("_notices", []).append(notice)

    def _rows(self) -> models.QuerySet[Any]:
        return type(self)._base_manager.using(self.database)

    def _guarded(self, **more: Any) -> models.QuerySet[Any]:
        """This row, as long as nobody has saved a newer token set."""
        return self._rows().filter(pk=self.pk, version=self.version, **more)

    def _change(
        self, changes: dict[str, Any], event: TokenEvent | None = None, **guard: Any
    ) -> bool:
        """Write ``changes`` and ``event``, in the database and here, if nobody has saved a newer
        token set and ``guard`` holds."""
        where = {"id": self.pk, "version": self.version, **guard}
        done = change_row(self, changes, where, using=self.database, event=event)
        if done:
            for name, value in changes.items():
                setattr(self, name, value)
        return done

    def _freed(self, keep: bool) -> dict[str, Any]:
        return {"attempt_expires_at": self.now()} if keep else UNCLAIMED

    def _token_values(self, token_set: TokenSet, sent_at: datetime) -> dict[str, Any]:
        """Columns for ``token_set``. What it does not bring stays as it is: above all, an answer
        without a refresh token leaves the old one in use (RFC 6749 section 6)."""
        values: dict[str, Any] = {
            "encrypted_access_token": self._seal("encrypted_access_token", token_set.access_token),
            "token_type": token_set.token_type,
            "issued_at": sent_at,
            "expires_at": _after(sent_at, token_set.expires_in),
        }
        if token_set.refresh_token:
            values["encrypted_refresh_token"] = self._seal(
                "encrypted_refresh_token", token_set.refresh_token
            )
            values["encrypted_spare_refresh_token"] = None
        if token_set.refresh_token_expires_in is not None:
            values["refresh_token_expires_at"] = _after(sent_at, token_set.refresh_token_expires_in)
        if token_set.id_token:
            values["encrypted_id_token"] = self._seal("encrypted_id_token", token_set.id_token)
        if token_set.scope is not None:
            values["scope"] = " ".join(sorted(token_set.scope))
        if token_set.extra:
            values["extra"] = {**self.extra, **token_set.extra}
        values["refresh_at"] = next_refresh(
            get_provider(self.provider),
            issued_at=sent_at,
            expires_at=values["expires_at"],
            refresh_token_expires_at=values.get(
                "refresh_token_expires_at", self.refresh_token_expires_at
            ),
            has_refresh_token=bool(token_set.refresh_token or self.encrypted_refresh_token),
        )
        return values

    def _give_back(self, token_set: TokenSet, *, ends: bool = False) -> None:
        """Have the provider revoke ``token_set``, now or, if that fails, later.

        Arguments:
            ends: whether nothing of this connection is to stay.
        """
        pending = PendingRevocation.of(
            token_set,
            provider=self.provider,
            client_id=self.client_id,
            using=self.database,
            now=self.now(),
            user_id=None if ends else self.user_id,
            ends=ends,
            variables=self.url_variables,
        )
        if pending is not None:
            self._later(lambda: pending.attempt(self.now()))

    def _event(self, kind: str, **values: Any) -> TokenEvent:
        values["detail"] = values.get("detail", "")[:255]
        return TokenEvent(
            **{"token_id": self.pk, **values},
            user_id=self.user_id,
            actor_id=self.actor_id,
            provider=self.provider,
            kind=kind,
            created_at=self.now(),
        )

    def _log(self, kind: str, **values: Any) -> None:
        self._event(kind, **values).save(using=self.database, force_insert=True)


@cache
def _site(*database: object) -> str:
    """Names this site's database, the same from wherever it is reached: it may have failed over."""
    return salted_hmac("oauth_tokens.key", repr(database), algorithm="sha256").hexdigest()[:12]


UNCLAIMED: dict[str, Any] = {
    "attempt_id": None,
    "attempt_started_at": None,
    "attempt_expires_at": None,
}
CALM: dict[str, Any] = {
    "error_code": "",
    "error_description": "",
    "failure_count": 0,
    "failing_since": None,
    "retry_at": None,
}


def _after(start: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else start + timedelta(seconds=seconds)
