"""``user.oauth_tokens``: get a valid token, store one, disconnect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import models, router
from django.views.decorators.debug import sensitive_variables

from . import refresh, signals, usage
from .clients import TIMEOUT
from .connection import after_commit
from .exceptions import (
    DecryptionError,
    InsufficientScope,
    InvalidTokenResponse,
    OAuthTokenError,
    TokenNotConnected,
)
from .providers.registry import get_provider
from .reader import database_now, read_rows
from .revocation import revoke, token_to_revoke
from .spellings import parse_seconds, scope_tokens

if TYPE_CHECKING:
    from httpx2 import AsyncClient

    from .clients.session import TokenSession
    from .clients.source import Source
    from .models import OAuthToken
    from .token_set import TokenSet

T = TypeVar("T", bound="OAuthToken")


class OAuthTokenManager(models.Manager[T], Generic[T]):
    """The manager behind ``OAuthToken.objects`` and ``user.oauth_tokens``."""

    def reload(self, row: T) -> None:
        """Read ``row`` anew from the primary, in place.

        Raises:
            TokenNotConnected: it is gone.
        """
        found = read_rows(self.model, row.database, {"id": row.pk})
        if not found:
            raise refresh.not_connected(row.provider)
        row.take(found[0])

    def get_valid(
        self,
        provider: str | None = None,
        *,
        scopes: Iterable[str] = (),
        account: str | None = None,
        min_ttl: float | None = None,
    ) -> T:
        """A token whose access token is valid now, refreshed first where necessary.

        One query and one decryption while the token is fresh. Stale: a refresh is tried without
        waiting for anybody. Expired: refreshed, or waited for, at most WAIT_TIMEOUT seconds.

        Arguments:
            provider: its name in the settings; None where the user has connected just one.
            scopes: what the token must have been granted.
            account: ``account_id``, where the user has connected several at this provider.
            min_ttl: seconds for which it must at least be valid, instead of EXPIRY_LEEWAY.

        Raises:
            TokenNotConnected, ReauthenticationRequired, InsufficientScope: the user can mend it,
                at ``.connect_url``.
            RefreshFailed: transient; ProviderMisconfigured: the operator has to act.
            TypeError: called on no user's manager.
        """
        try:
            row, need = self._look(provider, scopes, account, min_ttl)
        except SynchronousOnlyOperation:
            message = "In async code: await user.oauth_tokens.aget_valid()."
            raise SynchronousOnlyOperation(message) from None
        return row if need is None else refresh.ensure(row, need)

    async def aget_valid(
        self,
        provider: str | None = None,
        *,
        scopes: Iterable[str] = (),
        account: str | None = None,
        min_ttl: float | None = None,
    ) -> T:
        """See get_valid()."""
        row, need = await sync_to_async(self._look)(provider, scopes, account, min_ttl)
        return row if need is None else await refresh.aensure(row, need)

    # Clients

    def session(
        self,
        provider: str | None = None,
        *,
        base_url: str = "",
        account: str | None = None,
        scopes: Iterable[str] = (),
        allowed_hosts: Collection[str] = (),
        timeout: Any = TIMEOUT,
    ) -> TokenSession:
        """A ``requests_oauthlib.OAuth2Session`` for the provider's API.

        Every request carries a fresh access token and is repeated once after a 401 that means an
        expired or invalid one. No query until the first request, nor while the token is fresh.

        Arguments:
            provider, account, scopes: see :meth:`get_valid`.
            base_url: what relative addresses are below; absolute ones must then be on its host.
            allowed_hosts: more hosts that may receive the access token.
            timeout: seconds for a connection and for the next byte, or a tuple of both.

        Raises:
            OAuthTokenError: ``base_url`` is neither https nor on this machine. What requests raise
                beside the errors of ``requests`` is that of :meth:`get_valid`.
        """
        from .clients.session import TokenSession

        source = self._source(provider, account, scopes)
        return TokenSession(source, base_url, allowed_hosts, timeout)

    def async_client(
        self,
        provider: str | None = None,
        *,
        base_url: str = "",
        account: str | None = None,
        scopes: Iterable[str] = (),
        allowed_hosts: Collection[str] = (),
        **options: Any,
    ) -> AsyncClient:
        """An ``httpx2.AsyncClient`` that does what :meth:`session` does.

        Arguments:
            options: more for ``httpx2.AsyncClient``, e.g. ``timeout`` in seconds.

        Raises:
            ImportError: the extra httpx2 is not installed.
        """
        from .clients.async_client import make_async_client

        source = self._source(provider, account, scopes)
        return make_async_client(source, base_url, allowed_hosts, **options)

    #: The twin of session(), by the name that twins have.
    asession = async_client

    def _source(self, provider: str | None, account: str | None, scopes: Iterable[str]) -> Source:
        from .clients.source import Source

        self._user("session")
        wanted = scope_tokens(scopes)
        given: Any = {"provider": provider, "account": account, "scopes": wanted}
        return Source(partial(self.get_valid, **given), partial(self.aget_valid, **given))

    def _look(
        self,
        provider: str | None,
        scopes: Iterable[str],
        account: str | None,
        min_ttl: float | None,
    ) -> tuple[T, refresh.Need | None]:
        """The row as it is, and what is to be done about it; None where it is fresh."""
        row = self._find(provider, account)
        missing = frozenset(scope_tokens(scopes)) - row.scopes
        if missing:
            raise InsufficientScope(
                f"The token of {row.provider} was not granted {', '.join(sorted(missing))}. Send "
                "the user to .connect_url to ask for it.",
                missing=missing,
                provider=row.provider,
            )
        usage.note(row)
        ttl = row.leeway if min_ttl is None else row.attainable(min_ttl)
        if row.status == "active" and row.seconds_left > max(ttl, row.threshold):
            self._check_opens(row)
            return row, None
        return row, refresh.Need("lazy", min_ttl=ttl)

    def _check_opens(self, row: T) -> None:
        try:
            row.access_token  # noqa: B018 - a token that does not open is not valid
        except DecryptionError as error:
            with row.own_connection():
                mended = refresh.undecryptable(row, error)
            row.send_notices()
            raise mended from None

    def _find(self, provider: str | None, account: str | None) -> T:
        user = self._user("get_valid")
        where: dict[str, object] = {"user": user.pk}
        if provider is not None:
            where["provider"] = provider
        if account is not None:
            where["account_id"] = account
        found: list[T] = read_rows(self.model, self.db, where)
        primary = router.db_for_write(self.model, instance=user)
        if not found and primary != self.db:
            # A replica may not know yet that the user has just connected.
            found = read_rows(self.model, primary, where)
        # Of several accounts, those that need their user stand back.
        rows = [row for row in found if row.status == "active"]
        rows = rows or [row for row in found if row.status == "reauth_required"][-1:]
        if len(rows) == 1:
            return rows[0]
        if rows:
            names = sorted({row.provider for row in rows})
            what = "provider" if len(names) > 1 else "account"
            call = "provider" if len(names) > 1 else "provider, account=account_id"
            raise OAuthTokenError(
                f"The user has {len(rows)} connections ({', '.join(names)}): say which, with "
                f"get_valid({call}).",
                code=f"ambiguous_{what}",
                provider=names[0] if len(names) == 1 else "",
            )
        if provider is not None:
            get_provider(provider)  # a name that does not exist is not the user's fault
            raise refresh.not_connected(provider)
        raise TokenNotConnected(
            "The user has connected no provider. Send them to .connect_url.", provider=""
        )

    def _user(self, method: str) -> Any:
        user = getattr(self, "instance", None)
        if user is None:
            raise TypeError(
                f"OAuthToken.objects.{method}() knows no user: call user.oauth_tokens.{method}()."
            )
        return user

    # Storing

    @sensitive_variables()
    def store(
        self,
        provider: str,
        token_response: Mapping[str, Any],
        *,
        account_id: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> T:
        """Validate and save a token response (RFC 6749 section 5.1) as the user's new grant.

        What is stored for the same account is replaced, whatever refresh may be under way; a
        response without a refresh token leaves the stored one in use.

        Arguments:
            token_response: the fields of the response. ``expires_at`` (Unix time), as clients that
                keep responses add it, counts more than ``expires_in``.
            extra: to keep with it.

        Raises:
            InvalidTokenResponse: it is no token response. The stored row is untouched.
            ProviderMisconfigured: there is no such provider.
        """
        description = get_provider(provider)
        if not isinstance(token_response, Mapping):
            raise InvalidTokenResponse(
                "store() takes the token response as a dict with an access_token.",
                provider=provider,
            )
        response = dict(token_response)
        if response.get("error"):
            raise InvalidTokenResponse(
                f"{provider} answered with an error, not with a token. Do not store it.",
                provider=provider,
            )
        token_set = description.parse_token_response(response)
        expires_at = parse_seconds(response.get("expires_at"))
        if expires_at is not None:
            using = router.db_for_write(self.model, instance=self._user("store"))
            left = max(expires_at - database_now(using).timestamp(), 0.0)
            token_set = replace(token_set, expires_in=left)
        return self.store_grant(provider, token_set, account_id=account_id, extra=extra)

    async def astore(
        self,
        provider: str,
        token_response: Mapping[str, Any],
        *,
        account_id: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> T:
        """See store()."""
        return await sync_to_async(self.store)(
            provider, token_response, account_id=account_id, extra=extra
        )

    def store_grant(
        self,
        provider: str,
        token_set: TokenSet,
        *,
        account_id: str = "",
        account_label: str = "",
        requested_scope: Iterable[str] | None = None,
        extra: Mapping[str, Any] | None = None,
        sent_at: datetime | None = None,
    ) -> T:
        """Save ``token_set`` as the user's new grant; see :meth:`store`.

        Arguments:
            requested_scope: what the user was asked for, and granted if the response is silent.
            sent_at: when it was asked for, by the database's clock.
        """
        user = self._user("store")
        using = router.db_for_write(self.model, instance=user)
        row, created = self.model.store_grant(
            using=using,
            user=user,
            provider=get_provider(provider),
            token_set=token_set,
            account_id=account_id,
            account_label=account_label,
            requested_scope=requested_scope,
            extra=extra,
            sent_at=sent_at or database_now(using),
        )
        self._on_commit(using, signals.token_stored, token=row, created=created)
        return row

    # Disconnecting

    def disconnect(self, provider: str, account: str | None = None) -> bool:
        """Revoke the user's tokens at ``provider`` (RFC 7009) and forget them.

        They are unusable at once, also while the provider is down: then the revocation is tried
        again until it succeeds. In a transaction the provider is told after the commit.

        Arguments:
            account: ``account_id``; None for all accounts at this provider.

        Returns:
            Whether there was anything to disconnect.
        """
        user = self._user("disconnect")
        primary = router.db_for_write(self.model, instance=user)
        rows = self.using(primary).filter(provider=provider).exclude(status="revoking")
        if account is not None:
            rows = rows.filter(account_id=account)
        found = list(rows)
        for row in found:
            row.user = user
            self.disconnect_row(row)
        return bool(found)

    async def adisconnect(self, provider: str, account: str | None = None) -> bool:
        """See disconnect()."""
        return await sync_to_async(self.disconnect)(provider, account)

    def disconnect_row(self, row: T, *, detail: str = "") -> None:
        """Disconnect one row; ``detail`` goes into its history."""
        using = row.database
        if not row.start_revoking(detail):
            return
        self._on_commit(
            using, signals.token_disconnected, token=row, user=row.user, provider=row.provider
        )
        after_commit(lambda: self.revoke_row(row), using)

    @sensitive_variables()
    def revoke_row(self, row: T, timeout: float | None = None) -> bool:
        """Tell the provider to revoke a row in state ``revoking``; True once that is done.

        Arguments:
            timeout: see :func:`oauth_tokens.revocation.revoke`.
        """
        try:
            token, hint = token_to_revoke(row.provider, row.access_token, row.refresh_token)
        except DecryptionError as error:
            if error.code == "unknown_key":
                row.postpone_revocation(error.code)
                return False
            token = hint = ""
        code = token and revoke(
            row.provider,
            token,
            hint,
            client_id=row.client_id,
            variables=row.url_variables,
            timeout=timeout,
        )
        if code:
            row.postpone_revocation(code)
            return False
        row.finish_revoking()
        return True

    def _on_commit(self, using: str, signal: Any, **arguments: Any) -> None:
        after_commit(lambda: signal.send_robust(sender=self.model, **arguments), using)
