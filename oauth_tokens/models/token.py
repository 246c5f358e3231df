"""One user's token set at one provider."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Self

from asgiref.sync import sync_to_async
from django.db import models
from django.utils.translation import gettext_lazy as _

from .. import refresh
from ..managers import OAuthTokenManager
from .columns import StoredTokenSet
from .grants import Grants

if TYPE_CHECKING:
    from ..clients.source import Source
    from ..refresh import Need


class OAuthToken(Grants, StoredTokenSet):
    """A stored token set, usable as the ``auth=`` of a request.

    The secret columns hold ciphertext and are read through ``access_token``, ``refresh_token`` and
    ``id_token``, each decrypted on access; nothing else of this class decrypts.
    """

    objects: ClassVar[OAuthTokenManager[Self]] = OAuthTokenManager()
    #: Templates call what is callable, and this is so for the sake of ``requests``.
    do_not_call_in_templates: ClassVar[bool] = True

    class Meta:
        verbose_name = _("OAuth token")
        verbose_name_plural = _("OAuth tokens")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "provider", "account_id"], name="oauth_tokens_one_per_account"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "refresh_at"], name="oauth_tokens_due"),
        ]
        permissions = [
            ("refresh_oauthtoken", "Can refresh OAuth tokens"),
            ("revoke_oauthtoken", "Can revoke OAuth tokens"),
            ("reauthenticate_oauthtoken", "Can ask users to connect OAuth tokens again"),
        ]

    def __str__(self) -> str:
        whose = self.account_label or self.account_id or f"user {self.user_id}"
        return f"{self.provider} ({whose})"

    def __repr__(self) -> str:
        return f"<OAuthToken {self.pk}: {self.provider} of user {self.user_id}, {self.status}>"

    def __call__(self, request: Any) -> Any:
        """``auth=token`` of ``requests``; see :class:`oauth_tokens.clients.auth.TokenAuth`.

        ``httpx`` takes it as well, without the repetition after a 401: :attr:`auth` is for that.
        """
        from ..clients.auth import TokenAuth

        return TokenAuth(self._source)(request)

    @property
    def auth(self) -> Any:
        """An ``auth=`` for clients of ``requests``, ``httpx`` and ``httpx2``, sync and async.

        Each request carries a fresh access token, and is repeated once after a 401 that means an
        expired or invalid one.
        """
        from ..clients.auth import make_auth

        return make_auth(self._source)

    @property
    def _source(self) -> Source:
        from ..clients.source import Source, is_fresh, is_recent

        lazily = refresh.Need("lazy", min_ttl=self.leeway)

        def usable() -> bool:
            return is_fresh(self) and is_recent(self._known_since)

        def looked() -> bool:
            # An instance that somebody keeps must not outlive a disconnect for long.
            if is_fresh(self):
                type(self).objects.reload(self)
            return is_fresh(self)

        def valid() -> OAuthToken:
            return self if usable() or looked() else refresh.ensure(self, lazily)

        async def avalid() -> OAuthToken:
            done = usable() or await sync_to_async(looked)()
            return self if done else await refresh.aensure(self, lazily)

        return Source(valid, avalid, held_for=0.0)

    @property
    def _known_since(self) -> float:
        """When (monotonic) it was read, or first used where that is unknown."""
        if self._read_at is not None:
            return self._read_at[1]
        since: float = self.__dict__.setdefault("_used_since", time.monotonic())
        return since

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As Django's, but of an existing row only what ``EDITABLE`` or ``update_fields`` names: an
        instance read earlier never writes older tokens over newer ones.

        Raises:
            ValueError: ``update_fields`` names a column that only a refresh may write.
        """
        if not self._state.adding and not kwargs.get("force_insert"):
            wanted = kwargs.get("update_fields")
            protected = self.PROTECTED.intersection(wanted or ())
            if protected:
                raise ValueError(
                    f"{', '.join(sorted(protected))} cannot be saved by hand: a refresh may have "
                    "stored newer ones. Use user.oauth_tokens.store()."
                )
            if wanted is None:
                deferred = self.get_deferred_fields()
                kwargs["update_fields"] = [name for name in self.EDITABLE if name not in deferred]
        super().save(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for name in ("_notices", "_read_at", "_used_since"):
            state.pop(name, None)
        return state

    # Use

    def refresh(self) -> OAuthToken:
        """Refresh now, through the same locked entry point as everyone, and return this instance.

        Raises: see :func:`oauth_tokens.refresh.ensure`.
        """
        return refresh.ensure(self, self._beyond("forced"))

    async def arefresh(self) -> OAuthToken:
        """See refresh()."""
        return await refresh.aensure(self, self._beyond("forced"))

    def report_unauthorized(self, version: int | None = None) -> OAuthToken:
        """The API answered 401: refresh once, if nobody has since.

        Arguments:
            version: of the token set whose access token was refused, where this instance may have
                been refreshed since.
        """
        return refresh.ensure(self, self._beyond("unauthorized", version))

    async def areport_unauthorized(self, version: int | None = None) -> OAuthToken:
        """See report_unauthorized()."""
        return await refresh.aensure(self, self._beyond("unauthorized", version))

    def _beyond(self, trigger: str, version: int | None = None) -> Need:
        return refresh.Need(trigger, beyond_version=self.version if version is None else version)

    async def adisconnect(self) -> None:
        """See disconnect()."""
        await sync_to_async(self.disconnect)()

    def disconnect(self) -> None:
        """Revoke at the provider (RFC 7009) and forget; see ``user.oauth_tokens.disconnect``."""
        type(self).objects.disconnect_row(self)
