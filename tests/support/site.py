"""A site of views that a test brings along."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.contrib import admin
from django.urls import include, path
from pytest_django import Settings


def serve(settings: Settings, *patterns: Any, pages: bool = True) -> None:
    """Make ``patterns`` the site's URLs, next to those of the app unless ``pages`` is False."""
    urlconf = ModuleType("site_of_a_test")
    urlconf.urlpatterns = [path("admin/", admin.site.urls), *patterns]
    if pages:
        urlconf.urlpatterns.append(path("oauth/", include("oauth_tokens.urls")))
    settings.ROOT_URLCONF = urlconf
