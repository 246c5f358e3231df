"""Notices by e-mail: to users who have to connect again, and to operators.

The history is the outbox: ``mail_at`` of an event is when its mail is due. A mail is claimed, and
that is committed, before it is sent: should the process die in between, it is never sent, and the
history says so. Twice would be worse: users learn to distrust such mails.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings as django_settings
from django.core import mail, signing
from django.db.models import Exists, OuterRef, Q
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from ..conf import get_settings
from ..connection import own_connection
from ..models import OAuthToken, TaskRun, TokenEvent
from ..models.notices import ask, claim_mail, drop_mail, settle_mail
from ..providers.registry import provider_names
from ..reader import database_now, without_secrets
from ..upkeep import database
from ..words import display_name, reason_in_words
from .digest import send_digest
from .mailer import FAILED, GIVEN_UP, NO_ADDRESS, SENT, UNKNOWN, Mailer, message

Kind, Status = TokenEvent.Kind, OAuthToken.Status

#: Mails looked at, and seconds for which one run sends: whoever runs it has more to do.
BATCH, SEND_FOR = 500, 30.0
#: Seconds until a mail that could not be sent is tried again, after each try.
DELAYS = (60.0, 300.0, 1800.0, 7200.0, 21600.0)
#: Between two looks for what is about to end or needs an operator, and what they are called.
LOOK_EVERY, LOOK = timedelta(hours=1), "look_for_notices"
#: Some providers give a refresh token new life whenever it is used; by then it has been.
SETTLED_AFTER = timedelta(hours=1)
#: By how much a death may differ that answers tell anew, in whole seconds from now on.
SAME_DEATH = timedelta(minutes=1)
#: Between two requests of operators to one user, about one connection.
ASK_EVERY = timedelta(hours=1)
#: How long a link works: until after the holidays, and only for the user whom it was sent to.
LINK_MAX_AGE = timedelta(days=30)


class CannotAsk(ValueError):
    """The user cannot be asked to reconnect; the message says why, without a full stop."""


def send_notices() -> int:
    """Send the e-mails that are due, and once an hour look what else there is to tell.

    Run by beat every minute. Errors are logged.

    Returns:
        How many mails were sent.
    """
    using = database()
    settings = get_settings()
    # Whatever transaction the caller may be in: a mail that has left cannot be rolled back.
    with own_connection(using):
        looks = settings.NOTIFY_USERS or settings.NOTIFY_OPERATORS
        if looks and TaskRun.take_turn(LOOK, LOOK_EVERY, database_now(using), using):
            if settings.NOTIFY_USERS:
                note_expiring(using)
            if settings.NOTIFY_OPERATORS:
                send_digest(using)
        return _send_due(using)


def ask_to_reconnect(row: OAuthToken, *, actor: Any) -> None:
    """Ask the user by e-mail to connect again, whatever NOTIFY_USERS says.

    The mail goes to the outbox and is sent within a minute or so.

    Arguments:
        actor: the user who asks; noted in the history.

    Raises:
        CannotAsk: there is nobody to ask, or a mail is waiting to be sent already.
    """
    if row.status == OAuthToken.Status.REVOKING:
        raise CannotAsk(_("it is being revoked already"))
    if row.provider not in provider_names():
        raise CannotAsk(_("the settings have no such provider, so nobody can connect it"))
    if not _address(row.user):
        raise CannotAsk(_("the user has no e-mail address, or is not active"))
    if not get_settings().SITE_URL:
        raise CannotAsk(_("the setting SITE_URL is empty, so there is no link"))
    try:
        reconnect_url(row)
    except NoReverseMatch:
        raise CannotAsk(_("oauth_tokens.urls is not included, so there is no link")) from None
    row.actor_id = actor.pk
    now = database_now(row.database)
    lately = Q(mail_at__isnull=False) | Q(created_at__gt=now - ASK_EVERY)
    asked = Q(kind=Kind.RECONNECT_ASKED) & lately
    if not ask(row, Kind.RECONNECT_ASKED, unless=asked, mail_at=now):
        raise CannotAsk(_("the user was asked within the last hour, or is about to be"))


def note_expiring(using: str) -> int:
    """Note which refresh tokens die within NOTIFY_AHEAD, each once. Returns how many.

    Their users are told when it is certain that using the refresh token gives it no new life. Who
    has connected no longer ago than NOTIFY_AHEAD knows how long it was for.
    """
    now = database_now(using)
    ahead = timedelta(seconds=get_settings().NOTIFY_AHEAD)
    told = Q(kind__in=(Kind.EXPIRING, Kind.STORED), created_at__gt=now - ahead)
    events = TokenEvent._base_manager.using(using)
    dying = without_secrets(OAuthToken._base_manager.using(using)).filter(
        ~Exists(events.filter(told, token_id=OuterRef("pk"))),
        status=OAuthToken.Status.ACTIVE,
        refresh_token_expires_at__gt=now + SETTLED_AFTER,
        refresh_token_expires_at__lte=now + ahead,
        provider__in=provider_names(),
    )
    noted = 0
    for row in dying:
        dies = row.refresh_token_expires_at or now
        refreshed_at = row.refresh_at if row.refresh_at and row.refresh_at < dies else now
        noted += ask(
            row,
            Kind.EXPIRING,
            unless=told,
            mail_at=max(now, refreshed_at) + SETTLED_AFTER,
            detail=_iso(dies),
            refresh_token_expires_at=dies,
        )
    return noted


def reconnect_url(row: OAuthToken) -> str:
    """The address at which the user of ``row`` connects it again, once logged in.

    Raises:
        NoReverseMatch: ``oauth_tokens.urls`` is not included.
    """
    link = _signer().sign_object([str(row.user_id), row.provider])
    site = get_settings().SITE_URL.rstrip("/")
    return site + reverse("oauth_tokens:reconnect", kwargs={"link": link})


def read_link(link: str) -> tuple[str, str]:
    """User's primary key and provider of a link that :func:`reconnect_url` made.

    Raises:
        django.core.signing.SignatureExpired: it is older than LINK_MAX_AGE.
        django.core.signing.BadSignature: it is none, or was changed.
    """
    user, provider = _signer().unsign_object(link, max_age=LINK_MAX_AGE)
    return user, provider


def _signer() -> signing.TimestampSigner:
    # A colon would become %3A, which not every mail program leaves alone.
    return signing.TimestampSigner(salt="oauth_tokens.reconnect", sep="~")


def _send_due(using: str) -> int:
    """Send what the outbox holds, the oldest first. Returns how many mails were sent."""
    due = TokenEvent._base_manager.using(using).filter(mail_at__lte=database_now(using))
    until = time.monotonic() + SEND_FOR
    sent = 0
    with Mailer() as mailer:
        for event in due.order_by("mail_at")[:BATCH]:
            row = _row(event, using)
            if row is None or _is_moot(event, row):
                drop_mail(event, using)
                continue
            if time.monotonic() > until or not mailer.is_ready():
                break
            sent += _send(event, row, mailer)
    return sent


def _send(event: TokenEvent, row: OAuthToken, mailer: Mailer) -> bool:
    """Send the mail of ``event``, if it is ours to send."""
    address = _address(row.user)
    attempt = claim_mail(event, row, UNKNOWN if address else NO_ADDRESS)
    if attempt is None or not address:
        return False
    outcome = mailer.send(lambda: _notice(event, row, address))
    if outcome != FAILED:
        settle_mail(attempt, outcome, event)
        return outcome == SENT
    failures = TokenEvent._base_manager.using(row.database).filter(
        token_id=row.pk, kind=Kind.NOTICE_SENT, code=FAILED, detail=event.kind, pk__gt=event.pk
    )
    tries = failures.count()
    if tries < len(DELAYS):
        later = database_now(row.database) + timedelta(seconds=DELAYS[tries])
        settle_mail(attempt, FAILED, event, later)
    else:
        settle_mail(attempt, GIVEN_UP, event)
    return False


def _row(event: TokenEvent, using: str) -> OAuthToken | None:
    rows = without_secrets(OAuthToken._base_manager.using(using)).select_related("user")
    return rows.filter(events=event).first()


def _is_moot(event: TokenEvent, row: OAuthToken) -> bool:
    """Whether there is nothing to tell any more: above all, the user has connected meanwhile."""
    asked = event.kind == Kind.RECONNECT_ASKED
    if row.provider not in provider_names() or not (asked or get_settings().NOTIFY_USERS):
        return True
    since = TokenEvent._base_manager.using(row.database).filter(token_id=row.pk, pk__gt=event.pk)
    if event.kind == Kind.EXPIRING:
        dies, told = row.refresh_token_expires_at, datetime.fromisoformat(event.detail)
        is_near = dies is not None and row.now() < dies < told + SAME_DEATH
        return row.status != Status.ACTIVE or not is_near
    if asked:
        return row.status == Status.REVOKING or since.filter(kind=Kind.STORED).exists()
    # A late answer may have revived it, and it may have ended anew since: that is another mail.
    # An operator who asks says it, too.
    revived = since.filter(kind__in=(Kind.STORED, Kind.REFRESHED, Kind.RECONNECT_ASKED))
    return row.status != Status.REAUTH_REQUIRED or revived.exists()


def _notice(event: TokenEvent, row: OAuthToken, address: str) -> mail.EmailMultiAlternatives:
    dies = row.refresh_token_expires_at
    with translation.override(_language(row.user)):
        context = {
            "kind": event.kind,
            "user": row.user,
            "provider": display_name(row.provider),
            "account": _account(row),
            "reason": reason_in_words(event.code),
            "dies": date_format(timezone.localtime(dies), "DATE_FORMAT") if dies else "",
            "url": reconnect_url(row),
        }
        return message("notice", [address], context)


def _account(row: OAuthToken) -> str:
    """What the provider calls the account, or "": whoever chose that name chose the address that
    the mail goes to as well, so it has no room for a message or a link."""
    text = row.account_label or row.account_id
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "" if len(plain) > 64 or "/" in plain else plain


def _address(user: Any) -> str:
    """Where ``user`` gets e-mails, or ""."""
    if not getattr(user, "is_active", True):
        return ""
    return str(getattr(user, user.get_email_field_name(), "") or "")


def _language(user: Any) -> str:
    path = get_settings().NOTIFY_LANGUAGE
    return (import_string(path)(user) if path else "") or django_settings.LANGUAGE_CODE


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
