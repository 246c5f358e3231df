"""Prints a new key for ``OAUTH_TOKENS["ENCRYPTION_KEYS"]``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from oauth_tokens.encryption import generate_key


class Command(BaseCommand):
    help = "Print a new key for OAUTH_TOKENS['ENCRYPTION_KEYS']: put it first in the list."
    # There may be no usable settings before the first key is in them.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(generate_key())
