"""Connects the receivers to the signals of django-allauth."""

from __future__ import annotations

from django.apps import AppConfig


class AllauthConfig(AppConfig):
    """``INSTALLED_APPS += ["oauth_tokens.contrib.allauth"]``"""

    name = "oauth_tokens.contrib.allauth"
    label = "oauth_tokens_allauth"

    def ready(self) -> None:
        from . import receivers

        receivers.connect_all()
