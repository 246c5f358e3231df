"""How each provider speaks: what its documentation says, or what was seen, as data.

``dialects/*.toml`` have one table a provider. They are written from the providers' own pages
(``source``) and know nothing of the presets, which the tests compare with them. In every answer
ACCESS-1 and REFRESH-1 stand for the first tokens, ACCESS-2 and REFRESH-2 for those of a refresh,
SHORT for a token that is only good for being exchanged, ID-TOKEN for a signed ID token of
``claims``, IN-30-DAYS for that date, IN-AN-HOUR for that Unix time.
"""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

CLIENT_ID = "the-client"
#: With characters that form-encoding changes.
CLIENT_SECRET = "s3cret+/="
CODE = "the-code"
VERIFIER = "the-code-verifier-of-forty-three-characters"
REDIRECT_URI = "http://testserver/oauth/{name}/callback/"

Answer = tuple[int, str]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One provider. Parameters are those beyond RFC 6749; "" leaves one of its out, "*" is any."""

    name: str
    source: str
    assumed: tuple[str, ...] = ()
    """Answers that the source does not show: they are as RFC 6749 section 5.2 has them."""
    seen: dict[str, str] = field(default_factory=dict)
    """Where answers were found that the source does not show: another page of the provider's, its
    own source code, or somebody's report."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What the operator adds to the preset."""
    variables: dict[str, str] = field(default_factory=dict)
    """What users give at connect."""

    authorize: str
    scope: str = "one two"
    """How the scopes "one" and "two" are asked for."""
    scope_name: str = "scope"
    asks: dict[str, str] = field(default_factory=dict)
    pkce: bool = True
    redirect: dict[str, str] = field(default_factory=dict)
    """What comes back with the code."""

    token: str
    auth: str
    """"post", "none", "bearer", "basic", "basic, as it is" or "basic, the secret alone"."""
    body: str = "form"
    headers: dict[str, str] = field(default_factory=dict)
    exchange: dict[str, str] = field(default_factory=dict)
    short: str = ""
    """The answer to the code where the token has to be exchanged for a long-lived one."""
    long_lived: dict[str, str] = field(default_factory=dict)
    """All parameters of that exchange but the client's own."""
    long_lived_at: str = ""
    granted: str

    refreshed: str = ""
    """"" where there is nothing to refresh with."""
    refresh: dict[str, str] = field(default_factory=dict)
    refresh_at: str = ""
    refresh_method: str = "POST"
    renews: str = "refresh_token"
    """What a refresh is paid with."""
    rotation: str = ""
    idle_days: float = 0
    """A refresh token dies when it has not been used for so long."""
    dead: tuple[int, str] | None = None
    wrong_client: tuple[int, str] | None = None
    """None where a refresh carries no secret, or nothing is known."""
    revoke: dict[str, Any] = field(default_factory=dict)
    revoking_ends_all: bool = False
    """Revoking one token ends all that user and client share."""

    lifetime: float | None = None
    """Seconds the access token lives; None: until further notice."""
    refresh_lifetime: float | None = None
    scopes: list[str] | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    userinfo: tuple[str, str] | None = None
    metadata: str = ""
    issuer: str = ""
    jwks: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    account: tuple[str, str]
    """Id and label."""

    @property
    def redirect_uri(self) -> str:
        return str(next(iter(self.settings.get("redirect_uris", ())), REDIRECT_URI)).format(
            name=self.name
        )

    def description(self, **changes: Any) -> dict[str, Any]:
        """What an operator writes for this provider."""
        secret = {} if self.auth == "none" else {"client_secret": CLIENT_SECRET}
        own = {"preset": self.name, "client_id": CLIENT_ID, **secret}
        return {**own, **self.settings, **changes}

    def credentials(self, auth: str, token: str = "") -> tuple[dict[str, str], str | None]:
        """Parameters and ``Authorization`` header of a request that may be answered."""
        pairs = {
            "basic": f"{quote_plus(CLIENT_ID)}:{quote_plus(CLIENT_SECRET)}",
            "basic, as it is": f"{CLIENT_ID}:{CLIENT_SECRET}",
            "basic, the secret alone": f"{CLIENT_SECRET}:",
        }
        if auth in pairs:
            return {}, "Basic " + base64.b64encode(pairs[auth].encode()).decode()
        if auth == "bearer":
            return {}, f"Bearer {token}"
        secret = {"client_secret": CLIENT_SECRET} if auth == "post" else {}
        return {"client_id": CLIENT_ID, **secret}, None

    def expected(self, *parts: dict[str, str]) -> dict[str, str]:
        """Parameters of a request to the token endpoint, its client's own included."""
        return merged(self.credentials(self.auth)[0], *parts)


def merged(*parts: dict[str, str]) -> dict[str, str]:
    """All of ``parts``, later over earlier, without those that are ""."""
    params: dict[str, str] = {}
    for part in parts:
        params.update(part)
    return {key: value for key, value in params.items() if value != ""}


def read() -> Iterator[Dialect]:
    for path in sorted((Path(__file__).parent / "dialects").glob("*.toml")):
        for name, table in tomllib.loads(path.read_text()).items():
            yield Dialect(name=name, **{key: _flat(value) for key, value in table.items()})


def _flat(value: Any) -> Any:
    """Answers are broken over several lines for reading only."""
    if isinstance(value, str):
        return " ".join(value.split())
    return tuple(map(_flat, value)) if isinstance(value, list) else value


DIALECTS = {dialect.name: dialect for dialect in read()}
REFRESHING = [name for name, dialect in DIALECTS.items() if dialect.refreshed]
