"""Registers the app's system checks and receivers."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OAuthTokensConfig(AppConfig):
    """``INSTALLED_APPS += ["oauth_tokens"]``"""

    name = "oauth_tokens"
    label = "oauth_tokens"
    verbose_name = _("OAuth tokens")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, receivers

        checks.register_all()
        receivers.connect_all()
