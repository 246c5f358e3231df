"""Where the requests of one client get their access token from."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.core.exceptions import SynchronousOnlyOperation
from django.views.decorators.debug import sensitive_variables

from ..exceptions import OAuthTokenError
from ..providers.registry import get_provider
from .decisions import Refusal

#: Seconds for which a token set that was refused right after its refresh is not refreshed again.
HOPELESS_FOR = 60.0
#: Refused token sets of one grant that a process has refreshed within ``HOPELESS_FOR``. An API that
#: refuses each once and takes the repetition would cause a refresh with every request.
MAX_RENEWALS = 3
#: Seconds for which a row is used without looking whether the user has disconnected meanwhile.
HELD_FOR = 60.0
_GRANTS_KEPT = 1024


class Row(Protocol):
    """What a client needs of a stored token set."""

    provider: str
    status: str
    version: int
    grant_id: UUID
    last_refreshed_at: datetime | None

    def now(self) -> datetime: ...
    @property
    def needs_refresh(self) -> bool: ...
    @property
    def has_refresh_token(self) -> bool: ...
    @property
    def authorization(self) -> str: ...
    def report_unauthorized(self, version: int | None = None) -> Any: ...
    async def areport_unauthorized(self, version: int | None = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Credential:
    """What one request carries, and which generation of which grant it is of."""

    grant_id: UUID
    version: int
    authorization: str = field(repr=False)

    def is_in(self, headers: Any) -> bool:
        """Whether a request was sent with it: a redirect to another host has lost it."""
        return bool(headers.get("Authorization") == self.authorization)


#: Grants whose token set of that version was refused although a refresh had just brought it, and
#: until when (monotonic). The API has something else against these requests.
_hopeless: dict[UUID, tuple[int, float]] = {}
#: When (monotonic) which versions of a grant were refreshed because an API had refused them.
_renewals: dict[UUID, dict[int, float]] = {}


class Source:
    """The token set that a client's requests carry: found with the first one, held while fresh.

    An instance that is held is never changed, so threads and coroutines may share a source.

    Arguments:
        get_valid: gives a row whose access token is valid, refreshed where necessary.
        aget_valid: the same for coroutines.
        held_for: seconds for which what they gave is used without asking them again.
    """

    def __init__(
        self,
        get_valid: Callable[[], Row],
        aget_valid: Callable[[], Awaitable[Row]],
        held_for: float = HELD_FOR,
    ) -> None:
        self._get_valid = get_valid
        self._aget_valid = aget_valid
        self._held_for = held_for
        self._held: Row | None = None
        self._held_until = 0.0

    def row(self) -> Row:
        """The row held, or a valid one: no query for ``HELD_FOR`` while it is fresh.

        Raises: as get_valid().
        """
        held = self._usable()
        if held is None:
            try:
                held = self._hold(self._get_valid())
            except SynchronousOnlyOperation:
                raise SynchronousOnlyOperation(
                    "The token has to be read or refreshed, which blocks. In async code use "
                    "user.oauth_tokens.async_client(), or an AsyncClient with auth=token.auth."
                ) from None
        return held

    async def arow(self) -> Row:
        """See row()."""
        return self._usable() or self._hold(await self._aget_valid())

    def _usable(self) -> Row | None:
        held = self._held
        timely = time.monotonic() < self._held_until
        return held if held is not None and timely and is_fresh(held) else None

    def _hold(self, row: Row) -> Row:
        self._held, self._held_until = row, time.monotonic() + self._held_for
        return row

    def credential(self) -> Credential:
        """What the next request is to carry. Raises: as get_valid()."""
        return _credential(self.row())

    async def acredential(self) -> Credential:
        """See credential()."""
        return _credential(await self.arow())

    def renewed(self, refused: Credential, refusal: Refusal) -> Credential | None:
        """What to carry instead of what an API has refused; None where nothing else would help.

        Refreshes if nobody has since, and so at most once for all who were refused the same.

        Raises:
            ReauthenticationRequired, TokenNotConnected, RefreshFailed, ProviderMisconfigured.
        """
        if self._is_futile(refused, refusal):
            return None
        row = self._get_valid()
        if _is_of(row, refused):
            if _is_enough(row, refused, refusal):
                return None
            row.report_unauthorized(refused.version)
        return _credential(self._hold(row))

    async def arenewed(self, refused: Credential, refusal: Refusal) -> Credential | None:
        """See renewed()."""
        if self._is_futile(refused, refusal):
            return None
        row = await self._aget_valid()
        if _is_of(row, refused):
            if _is_enough(row, refused, refusal):
                return None
            await row.areport_unauthorized(refused.version)
        return _credential(self._hold(row))

    def refused_again(self, renewed: Credential) -> None:
        """What :meth:`renewed` brought was refused as well: its next refusals are left alone."""
        if len(_hopeless) >= _GRANTS_KEPT:
            _hopeless.clear()
        _hopeless[renewed.grant_id] = (renewed.version, time.monotonic() + HOPELESS_FOR)

    def _is_futile(self, refused: Credential, refusal: Refusal) -> bool:
        version, until = _hopeless.get(refused.grant_id, (0, 0.0))
        if version == refused.version and time.monotonic() < until:
            return True
        # To report it would ask the user back, which takes more than a 401 that says nothing.
        row = self._held
        return refusal is Refusal.MAYBE and row is not None and not row.has_refresh_token

    @property
    def unauthorized_statuses(self) -> tuple[int, ...]:
        """What the provider's APIs answer to an access token that is expired or invalid."""
        try:
            return get_provider(self._held.provider if self._held else "").unauthorized_statuses
        except OAuthTokenError:
            # The provider has left the settings; its token lives on for a while.
            return (401,)


def is_fresh(row: Row) -> bool:
    """Whether the row's access token can be used without looking at the database."""
    return row.status == "active" and not row.needs_refresh


def is_recent(read_at: float) -> bool:
    """Whether a disconnect since ``read_at`` (monotonic) may be overlooked."""
    return time.monotonic() - read_at < HELD_FOR


@sensitive_variables()
def _credential(row: Row) -> Credential:
    # The version first: a thread that refreshes this instance writes it last. A token taken for
    # older than it is gets refreshed once too often; one taken for newer, never.
    version = row.version
    return Credential(row.grant_id, version, row.authorization)


def _is_of(row: Row, refused: Credential) -> bool:
    return row.grant_id == refused.grant_id and row.version <= refused.version


def _is_enough(row: Row, refused: Credential, refusal: Refusal) -> bool:
    """Whether the grant has been refreshed often enough of late; else one more is counted."""
    last = row.last_refreshed_at
    recently = last is not None and (row.now() - last).total_seconds() < HOPELESS_FOR
    if refusal is Refusal.MAYBE and recently:
        # By another process perhaps. An API that does not name the token has something else
        # against these requests.
        return True
    now = time.monotonic()
    known = _renewals.get(refused.grant_id, {})
    recent = {version: at for version, at in known.items() if now - at < HOPELESS_FOR}
    if refused.version not in recent and len(recent) >= MAX_RENEWALS:
        return True
    if len(_renewals) >= _GRANTS_KEPT:
        _renewals.clear()
    _renewals[refused.grant_id] = {**recent, refused.version: now}
    return False
