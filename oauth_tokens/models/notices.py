"""Notices of transitions, sent from the history, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .. import signals
from .event import TokenEvent

if TYPE_CHECKING:
    from .transitions import Transitions

#: Seconds after which a notice whose sender died is sent by the next one who looks.
NOTICE_LEASE = timedelta(seconds=60)


def send_notice(event: TokenEvent, token: Transitions) -> bool:
    """Send the signal of a transition, once: whoever claims the event sends it.

    The claim is a lease, so that a crash between commit and send delays the notice, not more.
    """
    rows = TokenEvent._base_manager.using(token.database).filter(pk=event.pk)
    due = event.notice_at
    # On a connection of its own: in the caller's transaction a rollback would send it twice.
    with token.own_connection():
        mine = due and rows.filter(notice_at=due).update(notice_at=due + NOTICE_LEASE)
    if not mine:
        return False
    signals.reauth_required.send_robust(sender=type(token), token=token, code=event.code)
    with token.own_connection():
        rows.update(notice_at=None)
    return True
