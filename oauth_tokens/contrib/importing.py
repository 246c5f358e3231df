"""Importing the tokens that another package has stored, batch by batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from django.db import Error as DatabaseErrors
from django.db import router, transaction
from django.views.decorators.debug import sensitive_variables

from ..connection import after_commit
from ..exceptions import OAuthTokenError
from ..models import OAuthToken
from ..reader import database_now
from ..signals import token_stored
from .takeover import account_of, as_token_set, default_lifetime, is_wider, seconds_until

if TYPE_CHECKING:
    from ..providers.base import Provider

#: Primary key of a user, name of a provider, account id.
_Key = tuple[Any, str, str]


@dataclass(frozen=True, slots=True)
class ForeignToken:
    """A token set as another package has stored it.

    Arguments:
        name: what that package calls the provider.
        uid: the account's id at the provider, as that package has it.
        told: what else it knows of the account, see :func:`.takeover.account_of`.
        expires_at: of the access token; None where it is not known, or never.
        asked: scopes that the user was asked for, None where nobody knows.
        scope: those granted, where it was kept.
    """

    pk: Any
    user: Any
    name: str
    uid: str
    access_token: object = field(repr=False)
    refresh_token: object = field(repr=False)
    expires_at: datetime | None
    asked: Collection[str] | None
    told: Mapping[str, Any] = field(repr=False)
    scope: frozenset[str] | None = None
    id_token: object = field(default=None, repr=False)


class Source(Protocol):
    """A module that reads another package's tokens."""

    model: Any

    def counts(self) -> dict[str, int]:
        """How many tokens there are of each provider, by the package's names."""

    def read(
        self, names: Collection[str], after: Any, size: int, *, lock: bool
    ) -> list[ForeignToken]:
        """The next ``size`` of them in the order of their primary keys."""

    def forget_refresh_tokens(self, pks: Sequence[Any]) -> None:
        """Remove the refresh tokens of these rows."""


@dataclass(slots=True)
class Tally:
    """What became of the rows that were read.

    Arguments:
        kept: rows whose token is here already, in this version or a newer one.
        moved: rows from which the refresh token was removed.
        errors: primary key and reason of each row that could not be imported.
    """

    last_pk: Any = None
    read: int = 0
    imported: int = 0
    kept: int = 0
    moved: int = 0
    errors: list[tuple[Any, str]] = field(default_factory=list)


@sensitive_variables()
def import_batch(
    source: Source,
    providers: Mapping[str, Provider],
    tally: Tally,
    size: int,
    *,
    move: bool = False,
    dry_run: bool = False,
) -> bool:
    """Import the next ``size`` rows after ``tally.last_pk``, all in one transaction.

    Running it again does no harm: a newer token set is never replaced by an older one.

    Arguments:
        providers: ours by the package's names; others are not read.
        move: remove the refresh token where it came from, in the same transaction.

    Returns:
        Whether there was anything left to read.
    """
    theirs = router.db_for_write(source.model)
    ours = router.db_for_write(OAuthToken)
    # Ours is committed first: a refresh token may be in two places for a moment, never in none.
    with transaction.atomic(using=theirs), transaction.atomic(using=ours):
        batch = source.read(list(providers), tally.last_pk, size, lock=move and not dry_run)
        if not batch:
            return False
        now = database_now(ours)
        existing = _existing(batch, providers, ours, lock=not dry_run)
        moved = []
        for foreign in batch:
            tally.read += 1
            tally.last_pk = foreign.pk
            provider = providers[foreign.name]
            account_id = account_of(provider, foreign.uid, foreign.told)
            key = (foreign.user.pk, provider.name, account_id)
            try:
                row = _import(
                    foreign,
                    provider,
                    account_id,
                    existing.get(key),
                    now=now,
                    using=ours,
                    dry_run=dry_run,
                )
            except (OAuthTokenError, DatabaseErrors) as error:
                # What a database says may hold values.
                ours_to_tell = isinstance(error, OAuthTokenError)
                tally.errors.append(
                    (foreign.pk, str(error) if ours_to_tell else type(error).__name__)
                )
                continue
            if row is None:
                tally.kept += 1
            else:
                tally.imported += 1
                existing[key] = row
            here = existing.get(key)
            if foreign.refresh_token and here is not None and _serves(here):
                moved.append(foreign.pk)
        if move:
            tally.moved += len(moved)
            if not dry_run:
                source.forget_refresh_tokens(moved)
    return True


def _existing(
    batch: list[ForeignToken], providers: Mapping[str, Provider], using: str, *, lock: bool
) -> dict[_Key, OAuthToken]:
    names = {provider.name for provider in providers.values()}
    rows = OAuthToken._base_manager.using(using).filter(
        user__in={foreign.user.pk for foreign in batch}, provider__in=names
    )
    if lock:
        rows = rows.order_by("pk").select_for_update()
    return {(row.user_id, row.provider, row.account_id): row for row in rows}


@sensitive_variables()
def _import(
    foreign: ForeignToken,
    provider: Provider,
    account_id: str,
    row: OAuthToken | None,
    *,
    now: datetime,
    using: str,
    dry_run: bool,
) -> OAuthToken | None:
    """The row as stored, or None where the one that is here stays."""
    if row is not None and not _is_newer(foreign, provider, row):
        return None
    lifetime = seconds_until(foreign.expires_at, now)
    if lifetime is None:
        lifetime = default_lifetime(provider)
        if lifetime is not None and foreign.refresh_token:
            # Of unknown age: the first use finds out.
            lifetime = 0.0
    token_set = as_token_set(
        provider,
        foreign.access_token,
        foreign.refresh_token,
        lifetime,
        scope=foreign.scope,
        id_token=foreign.id_token,
    )
    if dry_run:
        return OAuthToken(encrypted_refresh_token=token_set.refresh_token and b"dry run")
    with transaction.atomic(using=using):
        stored, created = OAuthToken.store_grant(
            using=using,
            user=foreign.user,
            provider=provider,
            token_set=token_set,
            account_id=account_id,
            account_label="",
            requested_scope=foreign.asked,
            extra=None,
            sent_at=now,
        )
        if not created and row is None:
            raise OAuthTokenError(
                "A login has just stored a newer token. Run the import again.",
                code="overtaken",
                provider=provider.name,
            )
    after_commit(
        lambda: token_stored.send_robust(sender=OAuthToken, token=stored, created=created), using
    )
    return stored


def _serves(row: OAuthToken) -> bool:
    return row.has_refresh_token and row.status == row.Status.ACTIVE


def _is_newer(foreign: ForeignToken, provider: Provider, row: OAuthToken) -> bool:
    """Whether ``foreign`` was issued after what is here: a provider's tokens live equally long.

    What a user disconnected stays disconnected.
    """
    if row.status == row.Status.REVOKING or is_wider(row, provider, foreign.asked):
        return False
    if foreign.expires_at is None or row.expires_at is None:
        return False
    return (foreign.expires_at - row.expires_at).total_seconds() > 1
