"""The protected API (``oauth_tokens.bearer``) over real HTTP: what it answers to JWTs of Authlib's
issuer and to opaque tokens of django-oauth-toolkit, good and bad."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import pytest
import requests

from tests.e2e.site.fixtures import Alice, Cast

pytestmark = pytest.mark.django_db(transaction=True)


def get(cast: Cast, path: str, token: str | None, **more: Any) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.get(cast.api.url + path, headers=headers, timeout=10, **more)


def error_of(answer: requests.Response) -> dict[str, str]:
    """The body, which says the same as the challenge (RFC 6750 section 3)."""
    body: dict[str, str] = answer.json()
    quoted = [f'{name}="{value}"' for name, value in {"realm": "api", **body}.items()]
    assert answer.headers["WWW-Authenticate"] == f"Bearer {', '.join(quoted)}"
    assert answer.headers["Cache-Control"] == "no-store"
    return body


def changed(token: str, **header: str) -> str:
    """``token`` with another header."""
    first, payload, signature = token.split(".")
    padded = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
    text = json.dumps({**json.loads(padded), **header}).encode()
    return f"{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{payload}.{signature}"


def test_jwts(cast: Cast) -> None:
    token = cast.issuer.token("read")
    for path in ("/jwt/read/", "/jwt/async/"):
        answer = get(cast, path, token)
        assert (answer.status_code, answer.json()["subject"]) == (200, "reporter")
        assert answer.headers["Vary"] == "Authorization"
    # No token: a challenge, and no word of an error.
    answer = get(cast, "/jwt/read/", None)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    answer = get(cast, "/jwt/write/", token)
    assert (answer.status_code, error_of(answer)["error"]) == (403, "insufficient_scope")
    assert answer.json()["scope"] == "write"
    answer = get(cast, "/jwt/other/", token)
    assert answer.status_code == 401
    assert error_of(answer)["error_description"] == "The token is for another audience."
    answer = get(cast, "/jwt/read/", "two words")
    assert (answer.status_code, error_of(answer)["error"]) == (400, "invalid_request")
    answer = get(cast, "/jwt/read/", token, params={"access_token": token})
    assert (answer.status_code, error_of(answer)["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(("lifetime", "status"), [(-20, 200), (-40, 401)])
def test_a_jwt_that_has_expired(lifetime: int, status: int, cast: Cast) -> None:
    answer = get(cast, "/jwt/read/", cast.issuer.token(lifetime=lifetime))
    assert answer.status_code == status
    if status == 401:
        body = error_of(answer)
        assert body["error"] == "invalid_token"
        assert datetime.fromisoformat(body["expired_at"]) < datetime.now().astimezone()


def test_forgeries(cast: Cast) -> None:
    token = cast.issuer.token()
    header, payload, signature = token.split(".")
    for forged in (
        changed(token, alg="none"),
        changed(token, alg="none").rpartition(".")[0] + ".",
        changed(token, alg="HS256"),
        changed(token, kid="unknown"),
        f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
        f"{header}.{payload}.",
        "nonsense",
    ):
        answer = get(cast, "/jwt/read/", forged)
        assert (answer.status_code, error_of(answer)["error"]) == (401, "invalid_token")
        assert forged not in answer.text


def test_opaque_tokens(alice: Alice, cast: Cast) -> None:
    token = alice.connect().access_token
    answer = get(cast, "/read/", token)
    assert answer.json() == {"subject": "alice", "scopes": ["openid", "read"], "body": ""}
    answer = get(cast, "/write/", token)
    assert (answer.status_code, error_of(answer)["scope"]) == (403, "write")
    # A JWT of another issuer is not known to the one that is asked.
    for bad in ("made-up", cast.issuer.token()):
        answer = get(cast, "/read/", bad)
        assert (answer.status_code, error_of(answer)["error"]) == (401, "invalid_token")
    cast.provider.expire(token)
    answer = get(cast, "/read/", token)
    assert (answer.status_code, error_of(answer)["error"]) == (401, "invalid_token")
