"""Django as the benchmarks use it; where the servers are comes from the environment."""

from __future__ import annotations

import os

SECRET_KEY = "for the benchmarks only"
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
ROOT_URLCONF = "benchmarks.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "social_django",
    "benchmarks.plain",
    "oauth_tokens",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": os.environ["BENCH_PG_HOST"],
        "PORT": os.environ["BENCH_PG_PORT"],
        "CONN_MAX_AGE": None,
    }
}
LOGGING_CONFIG = None

TOKEN_ENDPOINT = os.environ["BENCH_TOKEN_ENDPOINT"]
CLIENT_ID, CLIENT_SECRET = "client", "client-secret-value"

OAUTH_TOKENS = {
    "ENCRYPTION_KEYS": ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
    "REDIS_URL": os.environ["REDIS_URL"],
    "PROVIDERS": {
        "acme": {
            "authorization_endpoint": TOKEN_ENDPOINT,
            "token_endpoint": TOKEN_ENDPOINT,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token_rotation": "strict",
        }
    },
}

AUTHENTICATION_BACKENDS = [
    "benchmarks.contestants.AcmeOAuth2",
    "django.contrib.auth.backends.ModelBackend",
]
SOCIAL_AUTH_ACME_KEY, SOCIAL_AUTH_ACME_SECRET = CLIENT_ID, CLIENT_SECRET
SOCIALACCOUNT_STORE_TOKENS = True
