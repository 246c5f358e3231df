"""django-oauth-toolkit's authorization server with rotation, reuse protection and PKCE required."""

from __future__ import annotations

from tests.e2e.credentials import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI
from tests.support import toolkit_server

STRICT = {
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
    "PKCE_REQUIRED": True,
}


def main() -> None:
    toolkit_server.CLIENT = (CLIENT_ID, CLIENT_SECRET)
    toolkit_server.REDIRECT_URI = REDIRECT_URI
    configure = toolkit_server.configure

    def strictly(folder: str) -> None:
        configure(folder)
        from django.conf import settings

        settings.OAUTH2_PROVIDER.update(STRICT)

    toolkit_server.configure = strictly
    toolkit_server.main()


if __name__ == "__main__":
    main()
