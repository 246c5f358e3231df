"""Migrate the demo site's database and put it where the story begins."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command

from oauth_tokens.models import OAuthToken, TokenEvent
from project.accounts import SITE_USERS, ensure_users


class Command(BaseCommand):
    """Idempotent. Touches no data but the demo users' connections and their history."""

    help = "Migrate, create alice, bob and admin, and forget what they connected."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        ensure_users(get_user_model(), SITE_USERS)
        usernames = [account.username for account in SITE_USERS]
        for model in (TokenEvent, OAuthToken):
            model.objects.filter(user__username__in=usernames).delete()
        self.stdout.write("The demo site is ready.")
