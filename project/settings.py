"""Settings of the demo site, from the environment and ``.env`` (see ``.env.example``)."""

from pathlib import Path

import environ

from oauth_tokens.schedule import BEAT_SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")

PORT = env.int("PORT", default=8000)
AUTH_PORT = env.int("AUTH_PORT", default=9000)
REDIS_PORT = env.int("REDIS_PORT", default=6380)
REDIS_URL = env.str("REDIS_URL", default=f"redis://127.0.0.1:{REDIS_PORT}/0")
ACME_URL = f"http://127.0.0.1:{AUTH_PORT}"

SECRET_KEY = env.str("SECRET_KEY", default="")
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

INSTALLED_APPS = [
    "project",
    "oauth_tokens",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'var' / 'demo.sqlite3'}"),
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Web, worker and beat write to one file: WAL lets readers go on, and IMMEDIATE makes a writer
    # wait for its turn instead of failing in the middle of a transaction.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "home"
# Cookies know no ports: under one name, the two sites would sign each other's users out.
SESSION_COOKIE_NAME = "daylight_sessionid"
CSRF_COOKIE_NAME = "daylight_csrftoken"

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "oauth_tokens_demo"
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# The demo's tokens live for seconds, so beat looks for due ones every two seconds.
CELERY_BEAT_SCHEDULE = {
    **BEAT_SCHEDULE,
    "refresh_due_tokens": {
        **BEAT_SCHEDULE["refresh_due_tokens"],
        "schedule": 2.0,
        "options": {"expires": 2.0},
    },
}

OAUTH_TOKENS = {
    "ENCRYPTION_KEYS": env.list("ENCRYPTION_KEYS", default=[]),
    "REDIS_URL": REDIS_URL,
    "PROVIDERS": {
        "acme": {
            "issuer": f"{ACME_URL}/o",
            "authorization_response_iss_parameter_supported": True,
            "authorization_endpoint": f"{ACME_URL}/o/authorize/",
            "token_endpoint": f"{ACME_URL}/o/token/",
            "revocation_endpoint": f"{ACME_URL}/o/revoke_token/",
            "client_id": env.str("ACME_CLIENT_ID", default=""),
            "client_secret": env.str("ACME_CLIENT_SECRET", default=""),
            "token_endpoint_auth_method": "client_secret_basic",
            "scope": ["profile", "projects"],
            "refresh_token_rotation": "strict",
        },
    },
    "EXPIRY_LEEWAY": 2,
    "HTTP_TIMEOUT": 5,
    "LOCK_TIMEOUT": 20,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},
        # Its request lines hold authorization codes; django.request logs failures without them.
        "django.server": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
