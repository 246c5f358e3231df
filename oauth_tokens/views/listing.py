"""The user's connections in the user's words. Nothing here decrypts."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..exceptions import OAuthTokenError
from ..providers.registry import get_provider, provider_names
from ..scope_words import in_words
from ..words import REASONS, State, display_name, when, without_secrets


class ListedConnection:
    """One connection: ``state``, ``sentences`` about it, ``account`` and ``scopes``.

    Arguments:
        row: read by :func:`~oauth_tokens.words.without_secrets`.
    """

    def __init__(self, row: Any) -> None:
        self.row = row
        self.account: str = row.account_label or row.account_id
        self.scopes = in_words(row.provider, row.scopes)
        self.leaving: bool = row.status == row.Status.REVOKING
        self.state, self.sentences = self._standing()

    @property
    def needs_user(self) -> bool:
        """Whether only connecting again can help."""
        return self.state.tone == "bad"

    def _standing(self) -> tuple[State, list[str]]:
        row, now = self.row, timezone.now()
        if self.leaving:
            text = _("It is no longer used. Telling the provider is tried again by itself.")
            return State("warn", _("being disconnected")), [text]
        over = row.expires_at is not None and row.expires_at <= now and not row.renewable
        if over or row.status == row.Status.REAUTH_REQUIRED:
            code = "no_refresh_token" if over else row.error_code
            reason = REASONS.get(code, _("access has ended"))
            text = _("Please connect again: %(reason)s.") % {"reason": reason}
            return State("bad", _("reconnect needed")), [text]
        if row.failure_count:
            text = _("The provider is not answering as it should.")
            if row.retry_at and row.retry_at > now:
                text = _(
                    "The provider is not answering as it should. It is tried again %(when)s; there "
                    "is nothing that you have to do."
                ) % {"when": when(row.retry_at)}
            return State("warn", _("not answering")), [text]
        return State("good", _("connected")), self._end()

    def _end(self) -> list[str]:
        end = self.row.expires_at
        if end is None or self.row.renewable:
            return []
        date = date_format(timezone.localtime(end), "DATETIME_FORMAT")
        return [
            _("It ends %(when)s (%(date)s); connect again then.")
            % {"when": when(end), "date": date}
        ]


class ListedProvider:
    """A provider, and what the user has connected there.

    Arguments:
        name: in the settings; that of a connection may no longer be there.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.label = display_name(name)
        self.connections: list[ListedConnection] = []
        try:
            provider = get_provider(name)
        except OAuthTokenError:
            self.offered = self.tells_accounts = False
        else:
            self.offered = True
            self.tells_accounts = bool(provider.account_id_from)


def list_providers(user: Any) -> list[ListedProvider]:
    """All providers, in the order of the settings, then those that are connected nevertheless."""
    found = {name: ListedProvider(name) for name in provider_names()}
    for connection in list_connections(user.oauth_tokens.order_by("provider", "pk")):
        name = connection.row.provider
        found.setdefault(name, ListedProvider(name)).connections.append(connection)
    return list(found.values())


def list_connections(rows: Any) -> list[ListedConnection]:
    """``rows``, a queryset, as users see them."""
    return [ListedConnection(row) for row in without_secrets(rows)]
