"""The user's connections in the user's words. Nothing here decrypts."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..exceptions import OAuthTokenError
from ..providers.registry import get_provider, provider_names
from ..reader import without_secrets
from ..scope_words import in_words
from ..words import can_be_refreshed, display_name, is_over, reason_in_words, state_for_user, when


class ListedConnection:
    """One connection: ``state``, ``sentences`` about it, ``account`` and ``scopes``.

    Arguments:
        row: read by :func:`~oauth_tokens.reader.without_secrets`.
    """

    def __init__(self, row: Any) -> None:
        self.row = row
        self.account: str = row.account_label or row.account_id
        self.scopes = in_words(row.provider, row.scopes)
        self.leaving: bool = row.status == row.Status.REVOKING
        self.state = state_for_user(row)
        self.sentences = self._sentences()

    @property
    def needs_user(self) -> bool:
        """Whether only connecting again can help."""
        return self.state.tone == "bad"

    def _sentences(self) -> list[str]:
        row = self.row
        if self.leaving:
            return [_("It is no longer used. Telling the provider is tried again by itself.")]
        if self.needs_user:
            reason = reason_in_words(self._cause()) or _("access has ended")
            return [_("Please connect again: %(reason)s.") % {"reason": reason}]
        if row.failure_count:
            text = _("The provider is not answering as it should.")
            if row.retry_at and row.retry_at > timezone.now():
                text = _(
                    "The provider is not answering as it should. It is tried again %(when)s; there "
                    "is nothing that you have to do."
                ) % {"when": when(row.retry_at)}
            return [text]
        return self._end()

    def _cause(self) -> str:
        if not is_over(self.row):
            return str(self.row.error_code)
        return "refresh_token_expired" if self.row.renewable else "no_refresh_token"

    def _end(self) -> list[str]:
        end = self.row.expires_at
        if end is None or can_be_refreshed(self.row):
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
