"""The history of tokens, which is also the outbox of notices."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class TokenEvent(models.Model):
    """One entry of the append-only history, written in the transaction that it records.

    Its foreign keys have no database constraint: the history outlives what it is about, and writing
    it must not take a lock on the user's row, which the caller's transaction may hold.
    """

    class Kind(models.TextChoices):
        STORED = "stored", _("connected")
        REFRESHED = "refreshed", _("refreshed")
        REFRESH_FAILED = "refresh_failed", _("refresh failed")
        REAUTH_REQUIRED = "reauth_required", _("re-authentication required")
        SPARE_KEPT = "spare_kept", _("late answer kept as spare")
        SPARE_USED = "spare_used", _("spare refresh token tried")
        DISCONNECTED = "disconnected", _("disconnected")
        REVOKED = "revoked", _("revoked at the provider")
        REVOCATION_FAILED = "revocation_failed", _("revocation failed, will be tried again")
        EXPIRING = "refresh_token_expiring", _("refresh token about to die")
        RECONNECT_ASKED = "reconnect_asked", _("user asked to reconnect")
        NOTICE_SENT = "notice_sent", _("notice sent")

    token = models.ForeignKey(
        "oauth_tokens.OAuthToken",
        verbose_name=_("token"),
        on_delete=models.SET_NULL,
        null=True,
        db_constraint=False,
        related_name="events",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.SET_NULL,
        null=True,
        db_constraint=False,
        related_name="+",
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("by"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text=_("Who did it by hand; empty for what happened by itself."),
    )
    provider = models.CharField(_("provider"), max_length=64)
    kind = models.CharField(_("what"), max_length=32, choices=Kind.choices)
    code = models.CharField(_("code"), max_length=64, blank=True)
    detail = models.CharField(_("detail"), max_length=255, blank=True)
    duration = models.FloatField(_("duration (s)"), null=True, blank=True)
    created_at = models.DateTimeField(_("when"))
    #: When the notice of this event is to be sent; None once it was, or where there is none.
    notice_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: When the user is to be told by e-mail; None once they were, or where they are not to be.
    mail_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("token event")
        verbose_name_plural = _("token events")
        ordering = ("-created_at", "-pk")
        indexes = [
            models.Index(fields=["created_at"], name="oauth_tokens_event_created"),
            models.Index(
                fields=["notice_at"],
                name="oauth_tokens_event_notice",
                condition=models.Q(notice_at__isnull=False),
            ),
            models.Index(
                fields=["mail_at"],
                name="oauth_tokens_event_mail",
                condition=models.Q(mail_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.get_kind_display()}"
