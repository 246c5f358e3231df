"""The ``OAUTH_TOKENS`` setting as it is now.

Nothing is read at import time. :func:`get_settings` reads on first use and again after Django's
``setting_changed``, so ``override_settings`` works in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

if TYPE_CHECKING:
    from .options import Settings


@cache
def get_settings() -> Settings:
    """The validated settings.

    Raises:
        ImproperlyConfigured: naming the first mistake and its fix; ``manage.py check`` names all.
    """
    from .options import NAME, Settings, settings_problems

    for problem in settings_problems():
        raise ImproperlyConfigured(f"{problem.message} {problem.hint} ({problem.id})")
    return Settings(**getattr(django_settings, NAME))


def raw() -> Mapping[str, Any]:
    """The setting as it is written, mistakes included; empty where it is no dict."""
    from .options import NAME

    value = getattr(django_settings, NAME, None)
    return value if isinstance(value, Mapping) else {}


_resets: list[Callable[[], object]] = [get_settings.cache_clear]


def on_change(reset: Callable[[], object]) -> None:
    """Call ``reset`` whenever ``OAUTH_TOKENS`` changes (only tests change it at run time)."""
    _resets.append(reset)


def _setting_changed(*, setting: str, **kwargs: Any) -> None:
    from .options import NAME

    if setting == NAME:
        for reset in _resets:
            reset()


setting_changed.connect(_setting_changed, dispatch_uid="oauth_tokens.conf")
