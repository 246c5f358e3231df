"""Connections in words, for the users' pages and the admin. Nothing here decrypts."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .exceptions import REAUTHENTICATION_CODES, OAuthTokenError
from .models import OAuthToken
from .providers.registry import get_provider

#: Never loaded where tokens are listed.
SECRET_COLUMNS = (
    "encrypted_access_token",
    "encrypted_refresh_token",
    "encrypted_id_token",
    "encrypted_spare_refresh_token",
)
#: Codes of errors and events, in an operator's words.
CODES = {
    "connect_timeout": gettext_lazy("the provider could not be reached in time"),
    "connection_failed": gettext_lazy("the provider could not be reached"),
    "connection_reset": gettext_lazy("the connection to the provider broke"),
    "read_timeout": gettext_lazy("the provider did not answer in time"),
    "tls_error": gettext_lazy("no secure connection to the provider"),
    "response_too_large": gettext_lazy("the provider's answer was too large to be a token"),
    "invalid_token_response": gettext_lazy("the provider's answer held no token"),
    "invalid_client": gettext_lazy("the provider refused this site's credentials"),
    "unknown_provider": gettext_lazy("the settings have no such provider"),
    "unknown_key": gettext_lazy("the key that encrypted it is not configured"),
    "not_connected": gettext_lazy("it is no longer connected"),
    "created": gettext_lazy("for the first time"),
    "replaced": gettext_lazy("again"),
    "lazy": gettext_lazy("when it was needed"),
    "sweep": gettext_lazy("ahead of time"),
    "forced": gettext_lazy("on demand"),
    "unauthorized": gettext_lazy("after the API refused it"),
    "restored": gettext_lazy("from the rescue store"),
}
#: Why the user has to connect again, in the user's words.
REASONS = {
    "refresh_token_expired": gettext_lazy("it was given for a limited time, which is over"),
    "refresh_token_invalid": gettext_lazy("the provider no longer accepts it"),
    "no_refresh_token": gettext_lazy("it has expired, and it was given for that time only"),
    "outcome_unknown": gettext_lazy("renewing it was interrupted"),
    "refresh_exhausted": gettext_lazy("the provider could not renew it for too long"),
    "undecryptable": gettext_lazy("what was stored can no longer be read"),
    "provider_reported": gettext_lazy("the provider reported that access has ended"),
}


class State(NamedTuple):
    """The state of a connection: ``tone`` is "good", "warn" or "bad", ``label`` a word or two."""

    tone: str
    label: str


def state_of(row: OAuthToken) -> State:
    """The state of ``row``, without decrypting anything."""
    if row.status == OAuthToken.Status.REVOKING:
        return State("warn", _("being revoked"))
    if row.status == OAuthToken.Status.REAUTH_REQUIRED:
        return State("bad", _("needs re-authentication"))
    if row.failure_count:
        return State("warn", _("failing"))
    return State("good", _("connected"))


def code_in_words(code: str) -> str:
    """What ``code`` of an error or event means, for an operator; the code where nobody knows."""
    if code in REAUTHENTICATION_CODES:
        return _(REAUTHENTICATION_CODES[code])
    if code.startswith("http_"):
        return _("the provider answered with HTTP status %(status)s") % {"status": code[5:]}
    return str(CODES.get(code, code))


def when(moment: datetime) -> str:
    """How far away ``moment`` is: "in 12 seconds", "in 3 hours", "5 minutes ago"."""
    now = timezone.now()
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 60:
        number = math.ceil(abs(seconds))
        distance = ngettext("%(number)d second", "%(number)d seconds", number) % {"number": number}
    else:
        distance = timeuntil(now + abs(moment - now), now, depth=1)
    if seconds < 0:
        return _("%(distance)s ago") % {"distance": distance}
    return _("in %(distance)s") % {"distance": distance}


def without_secrets(rows: QuerySet[OAuthToken]) -> QuerySet[OAuthToken]:
    """``rows`` with the secret columns not loaded, and ``renewable``: is there a refresh token?"""
    has_refresh_token = Q(encrypted_refresh_token__isnull=False)
    return rows.defer(*SECRET_COLUMNS).annotate(
        renewable=ExpressionWrapper(has_refresh_token, output_field=BooleanField())
    )


class Connection:
    """One connection as the page shows it."""

    def __init__(self, row: Any) -> None:
        self.row = row
        self.state = state_of(row)
        self.scopes = sorted(row.scopes)
        self.account = row.account_label or row.account_id

    @property
    def sentences(self) -> list[str]:
        """What there is to say about its state."""
        row = self.row
        if row.status == row.Status.REVOKING:
            return [_("It is out of use. Telling the provider is tried again by itself.")]
        if row.status == row.Status.REAUTH_REQUIRED:
            reason = REASONS.get(row.error_code, _("access has ended"))
            return [_("Please connect again: %(reason)s.") % {"reason": reason}]
        found = [self._validity()]
        if row.failure_count and row.retry_at and row.retry_at > timezone.now():
            found.insert(
                0,
                _("The provider is not answering as it should. It is tried again %(when)s.")
                % {"when": when(row.retry_at)},
            )
        return found

    def _validity(self) -> str:
        end = self.row.expires_at
        if end is None:
            return _("Valid until it is disconnected.")
        if self.row.renewable:
            return (
                _("Renewed automatically; the current token expires %(when)s.")
                % {"when": when(end)}
                if end > timezone.now()
                else _("Renewed automatically when it is next used.")
            )
        if end > timezone.now():
            return _("Valid until %(date)s (%(when)s).") % {
                "date": date_format(timezone.localtime(end), "DATETIME_FORMAT"),
                "when": when(end),
            }
        return _("It has expired and cannot be renewed. Please connect again.")


def display_name(provider: str) -> str:
    """What users read; the bare name where the settings have no such provider."""
    try:
        return get_provider(provider).display_name
    except OAuthTokenError:
        return provider
