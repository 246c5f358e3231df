"""Writing e-mails by templates, and handing them to the site's e-mail backend."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Self
from urllib.parse import urlsplit

from django.core import mail
from django.template.loader import render_to_string

from ..conf import get_settings

logger = logging.getLogger("oauth_tokens")

#: What the history says of an attempt to send a mail; UNKNOWN until its sender says how it went.
UNKNOWN, SENT, FAILED = "mail_outcome_unknown", "mail_sent", "mail_failed"
GIVEN_UP, NO_ADDRESS = "mail_given_up", "no_address"


def message(name: str, to: Iterable[str], context: dict[str, Any]) -> mail.EmailMultiAlternatives:
    """A mail of the templates ``name``; site owners may override each of the three."""
    site = get_settings().SITE_URL
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
        if not self.is_ready():
            return FAILED
        try:
            composed = compose()
            composed.message()
        except Exception:
            logger.exception("An e-mail could not be written")
            return FAILED
        try:
            self._backend.send_messages([composed])
        except Exception as error:
            logger.exception("An e-mail could not be sent")
            # One that a failed conversation has left in doubt is of no use.
            self._close()
            return UNKNOWN if _may_have_left(error) else FAILED
        return SENT

    def _close(self) -> None:
        backend, self._backend = self._backend, None
        if backend is not None:
            with contextlib.suppress(Exception):
                backend.close()


def _may_have_left(error: Exception) -> bool:
    """Not where a mail server has refused the mail, or was not given it yet. What the errors of
    other backends mean, nobody knows."""
    import smtplib

    from django.core.mail.backends.smtp import EmailBackend

    if isinstance(error, (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused)):
        return False
    ran = {frame.f_code for frame, _line in traceback.walk_tb(error.__traceback__)}
    by_smtp = EmailBackend.send_messages.__code__ in ran
    return not by_smtp or smtplib.SMTP.data.__code__ in ran


def _new_backend() -> Any:
    # Django 6.1 has several mailers, and deprecates the function that knew of one.
    mailers = getattr(mail, "mailers", None)
    return mail.get_connection() if mailers is None else mailers.default
