"""Connections in words, for the users' pages and the admin. Nothing here decrypts."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.timesince import timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, npgettext

from .exceptions import REAUTHENTICATION_CODES, OAuthTokenError
from .models import OAuthToken
from .providers.registry import get_provider, provider_names

#: Codes of errors, in an operator's words.
ERRORS = {
    "connect_timeout": gettext_noop("the provider could not be reached in time"),
    "connection_failed": gettext_noop("the provider could not be reached"),
    "connection_reset": gettext_noop("the connection to the provider broke"),
    "read_timeout": gettext_noop("the provider did not answer in time"),
    "tls_error": gettext_noop("no secure connection to the provider"),
    "response_too_large": gettext_noop("the provider's answer was too large to be a token"),
    "invalid_token_response": gettext_noop("the provider's answer held no token"),
    "server_error": gettext_noop("the provider reported an error of its own"),
    "temporarily_unavailable": gettext_noop("the provider is overloaded or in maintenance"),
    "provider_unavailable": gettext_noop("the provider is failing as a whole"),
    "discovery_failed": gettext_noop("the provider's metadata could not be fetched"),
    "issuer_mismatch": gettext_noop("the provider's metadata names another issuer"),
    "insecure_endpoint": gettext_noop("the provider's metadata names an address without TLS"),
    "invalid_client": gettext_noop("the provider refused this site's credentials"),
    "unauthorized_client": gettext_noop("the provider does not allow this site to refresh"),
    "unsupported_grant_type": gettext_noop("the provider refreshes no tokens"),
    "invalid_request": gettext_noop("the provider found this site's request malformed"),
    "unknown_provider": gettext_noop("the settings have no such provider"),
    "bad_settings": gettext_noop("the settings of the provider are wrong"),
    "missing_endpoint": gettext_noop("the settings lack the address to ask at"),
    "url_variable": gettext_noop("a part of the provider's address is not known"),
    "no_client": gettext_noop("the settings lack the provider's client_id"),
    "provider_misconfigured": gettext_noop("the settings of the provider are wrong"),
    "unknown_key": gettext_noop("the key that encrypted it is not configured"),
    "not_connected": gettext_noop("it is no longer connected"),
    "refresh_failed": gettext_noop("it could not be refreshed this time"),
    "refresh_timeout": gettext_noop("another refresh of it is taking too long"),
    "backing_off": gettext_noop("the provider is failing; it is tried again later"),
    "lease_lost": gettext_noop("it took longer than LOCK_TIMEOUT allows"),
    "uncommitted": gettext_noop("it was stored or disconnected at this very moment"),
    "database_locked": gettext_noop("the database was locked"),
}
#: Codes of events that are no errors.
TRIGGERS = {
    "created": gettext_noop("for the first time"),
    "replaced": gettext_noop("again"),
    "lazy": gettext_noop("when it was needed"),
    "sweep": gettext_noop("ahead of time"),
    "forced": gettext_noop("on demand"),
    "unauthorized": gettext_noop("after the API refused it"),
    "restored": gettext_noop("from the rescue store"),
    "late": gettext_noop("by an answer that came late"),
    "mail_sent": gettext_noop("by e-mail"),
    "mail_outcome_unknown": gettext_noop("by e-mail; whether it left is not known"),
    "mail_failed": gettext_noop("the e-mail could not be sent, and is tried again"),
    "mail_given_up": gettext_noop("the e-mail could not be sent"),
    "no_address": gettext_noop("nobody: the user has no e-mail address"),
}
#: Why the user has to connect again, in the user's words.
REASONS = {
    "refresh_token_expired": gettext_noop("it was given for a limited time, which is over"),
    "refresh_token_invalid": gettext_noop("the provider no longer accepts it"),
    "no_refresh_token": gettext_noop("it has expired, and it was given for that time only"),
    "outcome_unknown": gettext_noop("renewing it was interrupted"),
    "refresh_exhausted": gettext_noop("the provider could not renew it for too long"),
    "undecryptable": gettext_noop("what was stored can no longer be read"),
    "provider_reported": gettext_noop("the provider reported that access has ended"),
}


TONES = {
    OAuthToken.Status.ACTIVE: "good",
    OAuthToken.Status.REAUTH_REQUIRED: "bad",
    OAuthToken.Status.REVOKING: "warn",
}


class State(NamedTuple):
    """The state of a connection: ``tone`` is "good", "warn" or "bad", ``label`` a word or two."""

    tone: str
    label: str


def state_of(row: Any) -> State:
    """The state of ``row`` for an operator.

    Arguments:
        row: read by :func:`~oauth_tokens.reader.without_secrets`.
    """
    if is_over(row):
        return State("bad", _("expired"))
    if row.status == row.Status.ACTIVE and row.failure_count:
        return State("warn", _("failing"))
    return State(TONES[row.status], row.get_status_display())


def state_for_user(row: Any) -> State:
    """The same for its user."""
    if row.status == row.Status.REVOKING:
        return State("warn", _("being disconnected"))
    if row.status == row.Status.REAUTH_REQUIRED or is_over(row):
        return State("bad", _("reconnect needed"))
    if row.failure_count:
        return State("warn", _("not answering"))
    return State("good", _("connected"))


def is_over(row: Any) -> bool:
    """Whether ``row`` is active, but has expired and cannot be refreshed.

    The next sweep will see to it, where the provider is asked at all. See also
    :func:`oauth_tokens.models.conditions.over`.
    """
    end = row.expires_at
    ended = end is not None and end <= row.now() and not can_be_refreshed(row)
    return bool(row.status == row.Status.ACTIVE and ended)


def can_be_refreshed(row: Any) -> bool:
    """Whether ``row`` has a refresh token, as far as is known a living one."""
    dies = row.refresh_token_expires_at
    return bool(row.renewable and not (dies is not None and dies <= row.now()))


def code_in_words(code: str) -> str:
    """What ``code`` of an error or event means, for an operator; the code where nobody knows."""
    if code in REAUTHENTICATION_CODES:
        return _(REAUTHENTICATION_CODES[code])
    if code.startswith("http_"):
        return _("the provider answered with HTTP status %(status)s") % {"status": code[5:]}
    known = ERRORS.get(code) or TRIGGERS.get(code)
    return _(known) if known else code


def reason_in_words(code: str) -> str:
    """Why the user has to connect again, for the user; "" where nobody knows."""
    return _(REASONS[code]) if code in REASONS else ""


def distance(moment: datetime) -> str:
    """How far away ``moment`` is, before or after now: "12 seconds", "3 hours"."""
    now = timezone.now()
    apart = abs(moment - now)
    if apart >= timedelta(seconds=60):
        # Making them takes as long as importing this module.
        from .distances import TIME_STRINGS

        return timeuntil(now + apart, now, time_strings=TIME_STRINGS, depth=1)  # type: ignore[arg-type]
    number = math.ceil(apart.total_seconds())
    text = npgettext("in, for, ago", "%(number)d second", "%(number)d seconds", number)
    return text % {"number": number}


def when(moment: datetime) -> str:
    """How far away ``moment`` is: "in 12 seconds", "in 3 hours", "5 minutes ago"."""
    if moment < timezone.now():
        return _("%(distance)s ago") % {"distance": distance(moment)}
    return _("in %(distance)s") % {"distance": distance(moment)}


def next_step(row: Any, since: datetime | None = None) -> str:
    """What happens to ``row`` next, in a sentence for an operator.

    Arguments:
        row: read by :func:`~oauth_tokens.reader.without_secrets`.
        since: when it began to need its user, where that is known.
    """
    if row.status == row.Status.REVOKING:
        return _revocation_step(row)
    if row.status == row.Status.REAUTH_REQUIRED:
        if since is None:
            return _("Waiting for the user to connect again.")
        return _("Waiting for the user to connect again, for %(distance)s now.") % {
            "distance": distance(since)
        }
    if row.has_live_claim:
        return _("It is being refreshed right now.")
    return _ending_step(row) or _obstacle(row) or _refresh_step(row)


def _revocation_step(row: Any) -> str:
    if row.refresh_at is None or row.refresh_at <= row.now():
        return _("The provider is told to revoke it with the next sweep.")
    if row.failure_count:
        return _("The revocation will be tried again %(when)s.") % {"when": when(row.refresh_at)}
    return _("The provider is being told to revoke it.")


def _ending_step(row: Any) -> str:
    """Where there is nothing left to refresh with."""
    if can_be_refreshed(row):
        return ""
    if row.expires_at is None:
        return _("Nothing: it does not expire.")
    if is_over(row):
        return _("It has expired and cannot be refreshed: the user has to connect again.")
    return _("It expires %(when)s and cannot be refreshed: the user has to connect again then.") % {
        "when": when(row.expires_at)
    }


def _obstacle(row: Any) -> str:
    """What keeps the provider of ``row`` from being asked when the row is due."""
    if row.provider not in provider_names():
        return _("Nothing: the settings have no such provider.")
    verdict = row.circuit.verdict(probe=False)
    again = row.now() + timedelta(seconds=verdict.retry_after)
    due = row.retry_at or row.refresh_at
    if verdict.allowed or due is None or due > again:
        return ""
    if verdict.operator:
        return _(
            "Nothing, until the settings of the provider are mended: it refuses this site. It is "
            "asked again %(when)s."
        ) % {"when": when(again)}
    return _("The provider is failing as a whole. It is asked again %(when)s.") % {
        "when": when(again)
    }


def _refresh_step(row: Any) -> str:
    due = row.retry_at or row.refresh_at
    if due is None:
        return _("It will be refreshed when it is needed.")
    if row.has_lapsed_claim and not row.is_expired and row.expires_at is not None:
        return _(
            "The last refresh was interrupted, and nobody knows how it ended. It is tried again "
            "%(when)s at the latest."
        ) % {"when": when(row.expires_at)}
    if due <= row.now():
        return _("It is due: the next sweep refreshes it.")
    if row.failure_count:
        return _("The next attempt is %(when)s.") % {"when": when(due)}
    return _("It will be refreshed %(when)s.") % {"when": when(due)}


def display_name(provider: str) -> str:
    """What users read; the bare name where the settings have no such provider."""
    try:
        return get_provider(provider).display_name
    except OAuthTokenError:
        return provider
