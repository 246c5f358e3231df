"""The outbox: signals and e-mails about what stands in the history, each sent once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F, Q

from .. import signals
from ..conf import get_settings
from .event import TokenEvent

if TYPE_CHECKING:
    from .transitions import Transitions

#: Seconds after which a notice whose sender died is sent by the next one who looks.
NOTICE_LEASE = timedelta(seconds=60)
#: Who is led to the provider at once, and comes back connected, needs no e-mail.
MAIL_GRACE = timedelta(minutes=5)


def send_notice(event: TokenEvent, token: Transitions) -> bool:
    """Send the signal of a transition, once: whoever claims the event sends it.

    The claim is a lease, so that a crash between commit and send delays the notice, not more.
    """
    rows = TokenEvent._base_manager.using(token.database).filter(pk=event.pk)
    due = event.notice_at
    # On a connection of its own: in the caller's transaction a rollback would send it twice.
    with token.own_connection():
        mine = due and rows.filter(notice_at=due).update(notice_at=due + NOTICE_LEASE)
    if not mine or due is None:
        return False
    signals.reauth_required.send_robust(sender=type(token), token=token, code=event.code)
    mail_at = due + MAIL_GRACE if get_settings().NOTIFY_USERS else None
    with token.own_connection():
        # Under the claim, which one of those who send holds at the end: one mail a transition.
        rows.filter(notice_at=due + NOTICE_LEASE).update(notice_at=None, mail_at=mail_at)
    return True


def ask(
    row: Transitions, kind: str, *, unless: Q, mail_at: datetime, detail: str = "", **seen: Any
) -> bool:
    """Note in the history that the user is to connect again, with the mail that tells them.

    Arguments:
        unless: the events of this row that speak against it.
        seen: columns of the row, as they still have to be.

    Returns:
        Whether it was noted. Of two who try at once, one does.
    """
    with transaction.atomic(using=row.database):
        # A write that changes nothing: unlike SELECT FOR UPDATE, it locks on every database.
        if not row._rows().filter(pk=row.pk, **seen).update(provider=F("provider")):
            return False
        events = TokenEvent._base_manager.using(row.database)
        if events.filter(unless, token_id=row.pk).exists():
            return False
        row._log(kind, detail=detail, mail_at=mail_at)
    return True


def claim_mail(event: TokenEvent, row: Transitions, code: str) -> TokenEvent | None:
    """Take the right to send the mail of ``event``; None where somebody else has.

    No lease: where the sender dies, nobody knows whether the mail has left, and it is not sent
    again.

    Arguments:
        code: what the history says of the mail until its sender says how it went.

    Returns:
        The entry of the history about this attempt.
    """
    attempt = row._event(TokenEvent.Kind.NOTICE_SENT, code=code, detail=event.kind)
    with transaction.atomic(using=row.database):
        if not drop_mail(event, row.database):
            return None
        attempt.save(using=row.database, force_insert=True)
    return attempt


def drop_mail(event: TokenEvent, using: str) -> bool:
    """Take the mail of ``event`` from the outbox; False where it is there no more."""
    events = TokenEvent._base_manager.using(using)
    return bool(events.filter(pk=event.pk, mail_at=event.mail_at).update(mail_at=None))


def settle_mail(
    attempt: TokenEvent, code: str, event: TokenEvent, again_at: datetime | None = None
) -> None:
    """Note how an attempt went, and when there is to be another one."""
    events = TokenEvent._base_manager.using(attempt._state.db)
    with transaction.atomic(using=events.db):
        events.filter(pk=attempt.pk).update(code=code)
        if again_at is not None:
            events.filter(pk=event.pk).update(mail_at=again_at)
