"""Settings of the site: those of the tests, and everything that leads users to connect."""

from __future__ import annotations

from typing import Any

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE

ROOT_URLCONF = "tests.e2e.site.urls"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/ping/"
INSTALLED_APPS = [*INSTALLED_APPS, "rest_framework"]
MIDDLEWARE = [*MIDDLEWARE, "oauth_tokens.middleware.OAuthTokenMiddleware"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "oauth_tokens.contrib.drf.exception_handler",
}
FORM = '<form method="post" action="{}">{{% csrf_token %}}{{{{ form }}}}<button>Go</button></form>'
PAGES = {
    "login.html": FORM.format(""),
    "page.html": FORM.format("/logout/")
    + '{% load oauth_tokens %}<p>{% oauth_connection "acme" scopes="read" %}</p>',
}
LOADERS: list[Any] = [
    ("django.template.loaders.locmem.Loader", PAGES),
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": LOADERS,
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "loggers": {"django.request": {"handlers": ["console"]}},
}
