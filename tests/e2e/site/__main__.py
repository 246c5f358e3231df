"""``python -m tests.e2e.site`` and which process: the site by wsgi or asgi, or one around it."""

from __future__ import annotations

import sys

from tests.e2e.site import api, authserver, issuer, serving

if __name__ == "__main__":
    {
        "wsgi": serving.serve_wsgi,
        "asgi": serving.serve_asgi,
        "api": api.main,
        "authserver": authserver.main,
        "issuer": issuer.main,
    }[sys.argv[1]]()
