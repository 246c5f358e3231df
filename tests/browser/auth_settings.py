"""Acme ID, the demo's authorization server, on a database of its own."""

from __future__ import annotations

from project.authserver.settings import *  # noqa: F403
from project.authserver.settings import DATABASES, REDIRECT_URIS, env
from tests.settings import PASSWORD_HASHERS  # noqa: F401

DATABASES["default"]["NAME"] = env.str("AUTH_DATABASE")
# The same client, under the names by which the site fails to use it.
REDIRECT_URIS += [
    uri.replace("/acme/", f"/{name}/") for uri in REDIRECT_URIS for name in ("initech", "umbrella")
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.server": {"level": "ERROR"}},
}
