"""System checks: each mistake in the settings one error, whose hint is the fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.utils.module_loading import import_string

from . import conf
from .exceptions import connect_url
from .providers.registry import all_provider_problems

MIDDLEWARE = "oauth_tokens.middleware.OAuthTokenMiddleware"


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """E001 to E022: what keeps the app from working."""
    from .options import settings_problems

    problems = [*settings_problems(), *all_provider_problems()]
    found: list[checks.CheckMessage] = [
        checks.Error(problem.message, hint=problem.hint, id=problem.id) for problem in problems
    ]
    if not django_settings.USE_TZ:
        found.append(
            checks.Error(
                "oauth_tokens needs time zone support, and USE_TZ is False.",
                hint="Set USE_TZ = True.",
                id="oauth_tokens.E006",
            )
        )
    return found


def check_redis(**kwargs: Any) -> Sequence[checks.CheckMessage]:
    """W001: correct without Redis, but waiting then means polling the database."""
    raw = conf.raw()
    if not raw or raw.get("REDIS_URL"):
        return []
    return [
        checks.Warning(
            "OAUTH_TOKENS['REDIS_URL'] is not set: callers who wait for each other poll the "
            "database.",
            hint=(
                "Set REDIS_URL to the address of a Redis or Valkey server, or put "
                "'oauth_tokens.W001' into SILENCED_SYSTEM_CHECKS if polling is fine."
            ),
            id="oauth_tokens.W001",
        )
    ]


def check_pages(**kwargs: Any) -> Sequence[checks.CheckMessage]:
    """W002 and W003: users would be led to pages that are not there, or that do not know them."""
    from .answers import leads_to_pages

    if not getattr(django_settings, "ROOT_URLCONF", ""):
        return []
    # Loads the views, whose decorators say who leads there.
    included = connect_url("") is not None
    if included and str(django_settings.SESSION_COOKIE_SAMESITE).lower() == "strict":
        return [
            checks.Warning(
                "SESSION_COOKIE_SAMESITE is 'Strict': browsers send no session cookie when a "
                "provider sends a user back, so no provider can be connected.",
                hint="Set SESSION_COOKIE_SAMESITE = 'Lax', Django's default.",
                id="oauth_tokens.W003",
            )
        ]
    leading = [MIDDLEWARE] if MIDDLEWARE in django_settings.MIDDLEWARE else sorted(leads_to_pages)
    if included or not leading:
        return []
    return [
        checks.Warning(
            f"oauth_tokens.urls is not included, and {leading[0]} leads users to its pages: "
            "TokenNotConnected and the like propagate.",
            hint='Add path("oauth/", include("oauth_tokens.urls")) to urlpatterns.',
            id="oauth_tokens.W002",
        )
    ]


def check_notices(**kwargs: Any) -> Sequence[checks.CheckMessage]:
    """E023 and W004: e-mails to users that could not be written."""
    values = conf.raw()
    found: list[checks.CheckMessage] = []
    if hook := values.get("NOTIFY_LANGUAGE"):
        try:
            import_string(str(hook))
        except ImportError as error:
            found.append(
                checks.Error(
                    f"OAUTH_TOKENS['NOTIFY_LANGUAGE'] cannot be imported: {error}.",
                    hint="Give the dotted path of a callable that takes a user, or leave it out.",
                    id="oauth_tokens.E023",
                )
            )
    urls = getattr(django_settings, "ROOT_URLCONF", "")
    if values.get("NOTIFY_USERS") and urls and connect_url("") is None:
        found.append(
            checks.Warning(
                "NOTIFY_USERS is set, and oauth_tokens.urls is not included: e-mails to users have "
                "no page to lead to, and are not sent.",
                hint='Add path("oauth/", include("oauth_tokens.urls")) to urlpatterns.',
                id="oauth_tokens.W004",
            )
        )
    return found


def register_all() -> None:
    """Called once, when Django is ready."""
    checks.register(check_settings)
    checks.register(check_redis)
    checks.register(check_pages, checks.Tags.urls)
    checks.register(check_notices, checks.Tags.urls)
