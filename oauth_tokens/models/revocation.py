"""Tokens that are nobody's any more and have to be given back to their provider."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ..encryption import associated_data, get_keyring
from ..exceptions import DecryptionError
from ..providers.registry import get_provider
from ..refresh import backoff
from ..revocation import can_revoke, revoke

if TYPE_CHECKING:
    from ..token_set import TokenSet


class PendingRevocation(models.Model):
    """A token that came too late: its user had reconnected or disconnected meanwhile."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_constraint=False,
    )
    provider = models.CharField(_("provider"), max_length=64)
    client_id = models.CharField(_("client id"), max_length=255)
    url_variables = models.JSONField(_("variables in its addresses"), default=dict)
    token_type_hint = models.CharField(max_length=32)
    encrypted_token = models.BinaryField()
    failure_count = models.PositiveIntegerField(_("failures in a row"), default=0)
    retry_at = models.DateTimeField(_("next attempt"), db_index=True)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("pending revocation")
        verbose_name_plural = _("pending revocations")

    def __str__(self) -> str:
        return self.provider

    @classmethod
    @sensitive_variables()
    def of(
        cls,
        token_set: TokenSet,
        *,
        provider: str,
        client_id: str,
        using: str,
        now: datetime,
        user_id: Any = None,
        ends: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> PendingRevocation | None:
        """Keep what revokes ``token_set``: its refresh token, or else its access token.

        Arguments:
            variables: values of the variables in the provider's addresses.
            ends: whether nothing of this connection is to stay. Where it is not, and the provider
                revokes all that user and client share, revoking would end the grant that stands.

        Returns:
            None where there is nothing to be done.
        """
        if not can_revoke(provider):
            return None
        description = get_provider(provider)
        if description.revocation_revokes_siblings and not ends:
            return None
        token, hint = description.token_to_revoke(token_set.access_token, token_set.refresh_token)
        return cls.enqueue(
            using=using,
            now=now,
            user_id=user_id,
            provider=provider,
            client_id=client_id,
            variables=variables,
            token=token,
            token_type_hint=hint,
        )

    @classmethod
    @sensitive_variables()
    def enqueue(
        cls,
        *,
        using: str,
        now: datetime,
        user_id: Any,
        provider: str,
        client_id: str,
        token: str,
        token_type_hint: str,
        variables: Mapping[str, str] | None = None,
    ) -> PendingRevocation:
        """Keep ``token``, encrypted, until the provider has taken it back."""
        with transaction.atomic(using=using):
            row = cls(
                user_id=user_id,
                provider=provider,
                client_id=client_id,
                url_variables=dict(variables or {}),
                token_type_hint=token_type_hint,
                encrypted_token=b"",
                retry_at=now,
                created_at=now,
            )
            row.save(using=using, force_insert=True)
            # The associated data has the row's id, which the insert gave.
            row.encrypted_token = get_keyring().encrypt(token, row.associated_data())
            row.save(using=using, update_fields=["encrypted_token"])
        return row

    @property
    def token(self) -> str:
        """Decrypted. Raises: DecryptionError."""
        return get_keyring().decrypt(bytes(self.encrypted_token), self.associated_data())

    def attempt(self, now: datetime) -> bool:
        """Ask the provider once: True once it is done and the row gone, else try again later."""
        try:
            code = revoke(
                self.provider,
                self.token,
                self.token_type_hint,
                client_id=self.client_id,
                variables=self.url_variables,
            )
        except DecryptionError as error:
            # A missing key may come back; what was altered never opens again.
            code = error.code if error.code == "unknown_key" else ""
        if not code:
            self.delete()
            return True
        self.failure_count += 1
        self.retry_at = now + timedelta(seconds=backoff(self.failure_count - 1))
        # Not save(), which raises where another sweep has just been done with it.
        type(self)._base_manager.using(self._state.db).filter(pk=self.pk).update(
            failure_count=self.failure_count, retry_at=self.retry_at
        )
        return False

    def associated_data(self, column: str = "encrypted_token") -> bytes:
        """Binds a ciphertext to this row."""
        return associated_data("pending_revocation", self.pk, self.provider, column)
