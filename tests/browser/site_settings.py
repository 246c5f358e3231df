"""The demo site on the database of the tests, with more providers than the demo has."""

from __future__ import annotations

from project.settings import *  # noqa: F403
from project.settings import OAUTH_TOKENS, env
from tests.settings import DATABASES, PASSWORD_HASHERS, SECRET_KEY  # noqa: F401

# For the links of the mails that operators have sent.
OAUTH_TOKENS["SITE_URL"] = f"http://127.0.0.1:{env.int('PORT')}"

_ACME = OAUTH_TOKENS["PROVIDERS"]["acme"]
OAUTH_TOKENS["PROVIDERS"] |= {
    # Nobody goes there: their names, scopes and rows fill the pages.
    **{
        name: {"preset": name, "client_id": "daylight", "client_secret": "unused"}
        for name in ("google", "slack", "hubspot", "github")
    },
    "globex": {
        "authorization_endpoint": "https://{company}.globex.example/authorize",
        "token_endpoint": "https://{company}.globex.example/token",
        "url_variables": {"company": {"label": "Your company's address at Globex"}},
        "client_id": "daylight",
        "client_secret": "unused",
        "scope": ["contacts"],
    },
    # Refuses the site: a wrong secret.
    "initech": {**_ACME, "client_secret": "outdated"},
    # Consents, and then does not answer: nobody listens on port 9.
    "umbrella": {**_ACME, "token_endpoint": "http://127.0.0.1:9/token"},
}
