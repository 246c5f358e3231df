"""Writing e-mails by templates, and handing them to the site's e-mail backend."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Self
from urllib.parse import urlsplit

from django.core import mail
from django.template.loader import render_to_string

from ..conf import get_settings

logger = logging.getLogger("oauth_tokens")

#: What the history says of an attempt to send a mail; that it was interrupted until it has ended.
INTERRUPTED, SENT, FAILED = "mail_interrupted", "mail_sent", "mail_failed"
UNKNOWN, GIVEN_UP, NO_ADDRESS = "mail_outcome_unknown", "mail_given_up", "no_address"


def message(
    name: str, site: str, to: Iterable[str], context: dict[str, Any]
) -> mail.EmailMultiAlternatives:
    """A mail of the templates ``name``; site owners may override each of the three."""
    context |= {"site_url": site, "site": urlsplit(site).netloc}
    subject = render_to_string(f"oauth_tokens/mail/{name}_subject.txt", context)
    composed = mail.EmailMultiAlternatives(
        " ".join(subject.split()),
        render_to_string(f"oauth_tokens/mail/{name}.txt", context).strip() + "\n",
        get_settings().NOTIFY_FROM or None,
        list(to),
        # RFC 3834: nobody's holiday responder is to answer.
        headers={"Auto-Submitted": "auto-generated"},
    )
    html = render_to_string(f"oauth_tokens/mail/{name}.html", context)
    composed.attach_alternative(html, "text/html")
    return composed


class Mailer:
    """The site's e-mail backend, open for as long as mails are sent."""

    def __init__(self) -> None:
        self._backend: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def is_ready(self) -> bool:
        """Whether a mail can be sent; why not is logged. No mail is claimed for nothing."""
        if self._backend is None:
            try:
                backend = _new_backend()
                backend.open()
            except Exception:
                logger.exception("No e-mail can be sent: they wait")
                return False
            self._backend = backend
        return True

    def send(self, compose: Callable[[], mail.EmailMultiAlternatives]) -> str:
        """Compose a mail and send it: SENT, FAILED if it has not left for certain, or UNKNOWN."""
        from smtplib import SMTPServerDisconnected

        if not self.is_ready():
            return FAILED
        try:
            self._backend.send_messages([compose()])
        except Exception as error:
            logger.exception("An e-mail could not be sent")
            # One that a failed conversation has left in doubt is of no use.
            self._close()
            lost = isinstance(error, (SMTPServerDisconnected, TimeoutError))
            return UNKNOWN if lost else FAILED
        return SENT

    def _close(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            with contextlib.suppress(Exception):
                backend.close()


def _new_backend() -> Any:
    # Django 6.1 has several mailers, and deprecates the function that knew of one.
    mailers = getattr(mail, "mailers", None)
    return mail.get_connection() if mailers is None else mailers.default
