"""The transitions at both ends of a grant: a user connects, a user disconnects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import IntegrityError, transaction
from django.db.models import F

from ..conf import get_settings
from ..exceptions import DecryptionError
from ..refresh import backoff
from .columns import new_grant_id
from .event import TokenEvent
from .transitions import CALM, UNCLAIMED, Transitions

if TYPE_CHECKING:
    from ..providers.base import Provider
    from ..token_set import TokenSet


class Grants(Transitions):
    """Storing and revoking, on the caller's connection: what the user did may be rolled back."""

    @classmethod
    def store_grant(
        cls,
        *,
        using: str,
        user: Any,
        provider: Provider,
        token_set: TokenSet,
        account_id: str,
        account_label: str,
        requested_scope: Iterable[str] | None,
        extra: Mapping[str, Any] | None,
        sent_at: datetime,
    ) -> tuple[Self, bool]:
        """Insert or replace the row of (user, provider, account); see ``OAuthTokenManager.store``.

        Returns:
            The row and whether it is new.
        """
        row = cls(
            user=user,
            provider=provider.name,
            account_id=account_id,
            encrypted_access_token=b"",
            issued_at=sent_at,
            created_at=sent_at,
            updated_at=sent_at,
            version=0,
        )
        with transaction.atomic(using=using):
            created = True
            try:
                # The id is part of the associated data, so the row comes before its secrets.
                with transaction.atomic(using=using):
                    row.save(using=using, force_insert=True)
            except IntegrityError:
                created = False
                row = (
                    cls._base_manager.using(using)
                    .select_for_update()
                    .get(user=user, provider=provider.name, account_id=account_id)
                )
                row.user = user
            row._replace_grant(
                provider,
                token_set,
                account_label=account_label,
                requested_scope=requested_scope,
                extra=extra or {},
                sent_at=sent_at,
            )
            row._log(TokenEvent.Kind.STORED, code="created" if created else "replaced")
        return row, created

    def _replace_grant(
        self,
        provider: Provider,
        token_set: TokenSet,
        *,
        account_label: str,
        requested_scope: Iterable[str] | None,
        extra: Mapping[str, Any],
        sent_at: datetime,
    ) -> None:
        leaving = self.status == self.Status.REVOKING
        if leaving:
            self.give_back_stored()
        if leaving or self.version == 0:
            self.encrypted_refresh_token = None
            self.refresh_token_expires_at = None
        asked = set(provider.scope if requested_scope is None else requested_scope)
        values = self._token_values(token_set, sent_at)
        values.setdefault("scope", " ".join(sorted(asked)))
        if token_set.refresh_token or not self.encrypted_refresh_token:
            # Where the old refresh token stays in use, a refresh under way is still ours to keep.
            values["grant_id"] = new_grant_id()
            values["encrypted_spare_refresh_token"] = None
            values.setdefault("refresh_token_expires_at", None)
            values.setdefault("encrypted_refresh_token", None)
            values.update(UNCLAIMED)
        values.update(
            CALM,
            status=self.Status.ACTIVE,
            requested_scope=" ".join(sorted(asked)),
            client_id=provider.client_id,
            extra={**self.extra, **token_set.extra, **extra},
            version=self.version + 1,
            updated_at=sent_at,
        )
        if account_label:
            values["account_label"] = account_label[:255]
        self._rows().filter(pk=self.pk).update(**values)
        for name, value in values.items():
            setattr(self, name, value)

    def give_back_stored(self, *, ends: bool = False) -> None:
        """Have the provider revoke what this row holds, which is about to be replaced or deleted.

        Arguments:
            ends: whether nothing of this connection is to stay.
        """
        from ..token_set import TokenSet

        try:
            old = TokenSet(access_token=self.access_token, refresh_token=self.refresh_token)
        except DecryptionError:
            return
        self._give_back(old, ends=ends)

    def start_revoking(self, detail: str = "") -> bool:
        """Take the row out of use; False where it already is."""
        now = self.now()
        with transaction.atomic(using=self.database):
            rows = self._rows().filter(pk=self.pk).exclude(status=self.Status.REVOKING)
            started = rows.update(
                status=self.Status.REVOKING,
                version=F("version") + 1,
                # The caller tells the provider now; the sweep does if this process dies first.
                refresh_at=now + timedelta(seconds=get_settings().LOCK_TIMEOUT),
                updated_at=now,
                **{**CALM, **UNCLAIMED},
            )
            if not started:
                return False
            self.reload()
            self._log(TokenEvent.Kind.DISCONNECTED, detail=detail)
        return True

    def finish_revoking(self) -> None:
        """The provider has taken the tokens back: delete the row, unless it is in use again."""
        with transaction.atomic(using=self.database):
            # Not with delete(), which gives back what a row holds.
            gone = self._guarded(status=self.Status.REVOKING)._raw_delete(self.database)
            if gone:
                events = TokenEvent._base_manager.using(self.database)
                events.filter(token_id=self.pk).update(token_id=None)
                self._log(TokenEvent.Kind.REVOKED, token_id=None)

    def postpone_revocation(self, code: str) -> None:
        """The provider could not be told: try again later."""
        again = self.now() + timedelta(seconds=backoff(self.failure_count))
        with transaction.atomic(using=self.database):
            waiting = self._guarded(status=self.Status.REVOKING).update(
                failure_count=F("failure_count") + 1, error_code=code, refresh_at=again
            )
            if waiting:
                self._log(TokenEvent.Kind.REVOCATION_FAILED, code=code)
