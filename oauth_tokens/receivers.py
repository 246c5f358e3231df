"""What the app itself does upon signals: log them, and revoke on logout where wanted."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_out
from django.core.signals import request_finished
from django.db import router
from django.db.models.signals import pre_delete

from . import signals, usage
from .conf import get_settings
from .connection import after_commit

if TYPE_CHECKING:
    from .models import OAuthToken

logger = logging.getLogger("oauth_tokens")

#: Seconds for which a user who logs out waits for providers, all together.
LOGOUT_WAIT = 2.0


def log_stored(token: OAuthToken, created: bool, **kwargs: Any) -> None:
    logger.info("%r %s", token, "connected" if created else "connected again")


def log_refreshed(token: OAuthToken, trigger: str, duration: float, **kwargs: Any) -> None:
    logger.info("%r refreshed (%s) in %.3f s", token, trigger, duration)


def log_failed(token: OAuthToken, code: str, retryable: bool, **kwargs: Any) -> None:
    logger.warning("%r could not be refreshed: %s", token, code)


def log_reauth_required(token: OAuthToken, code: str, **kwargs: Any) -> None:
    logger.warning("%r needs its user to connect again: %s", token, code)


def log_disconnected(token: OAuthToken, **kwargs: Any) -> None:
    logger.info("%r disconnected", token)


def log_provider_failing(sender: str, code: str, **kwargs: Any) -> None:
    logger.error("Provider %s is failing: %s", sender, code)


def revoke_on_logout(user: Any, request: Any = None, **kwargs: Any) -> None:
    """Disconnect everything of a user who logs out, if REVOKE_ON_LOGOUT says so.

    Django sends this signal before it ends the session: no error may keep a user logged in.
    """
    try:
        if user is not None and get_settings().REVOKE_ON_LOGOUT:
            # A callback under way is to find the login session gone before rows are looked for.
            if request is not None and request.session.session_key:
                request.session.delete()
            _disconnect_all(user)
    except Exception:
        logger.exception("Tokens of a user who logged out could not be disconnected")


def _disconnect_all(user: Any) -> None:
    """Everything is out of use at once. Providers are told after the commit, for LOGOUT_WAIT
    seconds; whom that leaves out, the next sweep tells."""
    manager = user.oauth_tokens
    using = router.db_for_write(manager.model, instance=user)
    connected = manager.using(using).exclude(status="revoking")
    rows = [row for row in connected if row.start_revoking("logout")]

    def tell() -> None:
        until = time.monotonic() + LOGOUT_WAIT
        for row in rows:
            row.user = user
            signals.token_disconnected.send_robust(
                sender=manager.model, token=row, user=user, provider=row.provider
            )
        for row in rows:
            left = until - time.monotonic()
            if left > 0:
                manager.revoke_row(row, timeout=left)

    after_commit(tell, using)


def revoke_deleted(instance: OAuthToken, using: str, **kwargs: Any) -> None:
    """A row goes, with its user or alone: what it holds is to be given back all the same."""
    instance.give_back_stored(ends=True)


def connect_all() -> None:
    """Called once, when Django is ready."""
    for signal, receiver in (
        (signals.token_stored, log_stored),
        (signals.token_refreshed, log_refreshed),
        (signals.refresh_failed, log_failed),
        (signals.reauth_required, log_reauth_required),
        (signals.token_disconnected, log_disconnected),
        (signals.provider_failing, log_provider_failing),
        (user_logged_out, revoke_on_logout),
        (request_finished, usage.flush),
    ):
        signal.connect(receiver, dispatch_uid=f"oauth_tokens.{receiver.__name__}")
    pre_delete.connect(
        revoke_deleted, sender="oauth_tokens.OAuthToken", dispatch_uid="oauth_tokens.revoke_deleted"
    )
