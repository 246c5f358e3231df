"""Migrate the authorization server's database and put users and the client into it."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command
from oauth2_provider.models import Application

from project.accounts import ACME_USERS, ensure_users


class Command(BaseCommand):
    """Idempotent; run with ``--settings project.authserver.settings``."""

    help = "Migrate, create alice and bob, and register the demo site as a client."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        ensure_users(get_user_model(), ACME_USERS)
        Application.objects.update_or_create(
            client_id=settings.CLIENT_ID,
            defaults={
                "name": "Daylight",
                "client_secret": settings.CLIENT_SECRET,
                "client_type": Application.CLIENT_CONFIDENTIAL,
                "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE,
                "redirect_uris": " ".join(settings.REDIRECT_URIS),
            },
        )
        self.stdout.write("Acme ID is ready.")
