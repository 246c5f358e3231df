"""Settings of the tests; the servers' addresses come from the environment.

``DATABASE_URL`` and ``REDIS_URL`` are set by ``tests.support.plugin``, which starts the servers,
and are inherited by the processes that tests start. ``TEST_DATABASE=sqlite`` runs on a SQLite file.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import environ

env = environ.Env()

SECRET_KEY = "for the tests only"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
USE_TZ = True
USE_I18N = True
ROOT_URLCONF = "tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
LOGIN_URL = "/admin/login/"
# Hashing passwords slowly would test Django.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "oauth_tokens",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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

_scratch = Path(os.environ.get("TEST_SCRATCH", tempfile.gettempdir()))
SQLITE = f"sqlite:///{_scratch / 'oauth-tokens-tests.sqlite3'}"
DATABASES = {"default": env.db_url("DATABASE_URL", default=SQLITE)}
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    # A driver without a compiler; Django asks it for the version of the one it stands in for.
    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()
    DATABASES["default"]["OPTIONS"] = {"charset": "utf8mb4"}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: threads and processes have to meet in one database.
    DATABASES["default"]["TEST"] = {"NAME": _scratch / "oauth-tokens-tests.sqlite3"}
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

REDIS_URL = env.str("REDIS_URL", default="")
CELERY_BROKER_URL = REDIS_URL

# Processes that a test starts get the values of that test.
OAUTH_TOKENS = env.json(
    "OAUTH_TOKENS_JSON",
    default={
        "ENCRYPTION_KEYS": ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
        "REDIS_URL": REDIS_URL,
        "PROVIDERS": {},
        "HTTP_TIMEOUT": 6,
        "LOCK_TIMEOUT": 20,
        "WAIT_TIMEOUT": 10,
    },
)
