"""Import the tokens that django-allauth or social-auth have stored."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from oauth_tokens.contrib.importing import Source, Tally, import_batch
from oauth_tokens.contrib.takeover import names_elsewhere

from .oauth_tokens_rotate_keys import bar

if TYPE_CHECKING:
    from oauth_tokens.providers.base import Provider

#: What can be imported from: the module that reads it, and the app that it needs.
SOURCES = {
    "allauth": ("oauth_tokens.contrib.allauth.rows", "allauth.socialaccount"),
    "social_auth": ("oauth_tokens.contrib.social_auth", "social_django"),
}
ONE_REFRESHES = (
    "From now on, let nobody but oauth_tokens refresh them: where a provider rotates refresh "
    "tokens, a refresh by the other package ends the connection. --move removes its copies."
)


class Command(BaseCommand):
    """``manage.py oauth_tokens_import allauth``"""

    help = (
        "Imports the tokens that django-allauth (SocialToken) or social-auth (UserSocialAuth) have "
        "stored, for the providers in OAUTH_TOKENS. Can be run again: a newer token is never "
        "replaced by an older one, and what users disconnected stays disconnected."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("package", choices=sorted(SOURCES))
        parser.add_argument("--provider", help="only this one, by its name in OAUTH_TOKENS")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen")
        parser.add_argument(
            "--move",
            action="store_true",
            help="remove the refresh tokens where they came from, as they are imported",
        )
        parser.add_argument("--batch-size", type=int, default=200, help="rows per transaction")
        parser.add_argument("--no-progress", action="store_true", help="no progress bar")

    def handle(self, *args: Any, package: str, **options: Any) -> None:
        if options["batch_size"] < 1:
            raise CommandError("--batch-size must be at least 1.")
        source = _source(package)
        counts = source.counts()
        providers = _wanted(counts, options["provider"])
        total = sum(counts[name] for name in providers)
        show = not options["no_progress"] and sys.stderr.isatty()
        tally, told = Tally(), 0
        while import_batch(
            source,
            providers,
            tally,
            options["batch_size"],
            move=options["move"],
            dry_run=options["dry_run"],
        ):
            for pk, reason in tally.errors[told:]:
                self.stderr.write(f"Row {pk}: {reason}")
            told = len(tally.errors)
            if show:
                self.stderr.write(bar(tally.read, total), ending="")
        if show:
            self.stderr.write("")
        for name in sorted(counts.keys() - providers.keys()):
            if not options["provider"]:
                self.stdout.write(
                    f"{name}: {counts[name]} left out, for OAUTH_TOKENS['PROVIDERS'] has no such "
                    "provider, nor one with it among its aliases."
                )
        self._sum_up(tally, dry_run=options["dry_run"], move=options["move"])

    def _sum_up(self, tally: Tally, *, dry_run: bool, move: bool) -> None:
        would = "would be " if dry_run else ""
        self.stdout.write(
            f"{tally.imported} tokens {would}imported, {tally.kept} were here already, "
            f"{len(tally.errors)} could not be."
        )
        if move:
            self.stdout.write(f"{tally.moved} refresh tokens {would}removed where they were.")
        elif tally.imported:
            self.stdout.write(ONE_REFRESHES)
        if tally.errors:
            raise CommandError("Some rows could not be imported; the reasons are above.")


def _source(package: str) -> Source:
    from django.apps import apps

    module, app = SOURCES[package]
    if not apps.is_installed(app):
        raise CommandError(f"{app} is not in INSTALLED_APPS. Import while it still is.")
    source: Any = import_module(module)
    return source  # type: ignore[no-any-return]


def _wanted(counts: dict[str, int], only: str | None) -> dict[str, Provider]:
    """Our providers by the other package's names, those of which there are rows."""
    elsewhere = names_elsewhere()
    if only and only not in {provider.name for provider in elsewhere.values()}:
        raise CommandError(f"OAUTH_TOKENS['PROVIDERS'] has no provider {only!r}.")
    return {
        name: provider
        for name, provider in elsewhere.items()
        if name in counts and only in (None, provider.name)
    }
