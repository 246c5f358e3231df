"""A user's browser on the way to the provider and back, and ID tokens."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from django.http import HttpResponse
from django.test import Client

from tests.support.provider import Provider
from tests.support.token_endpoint import CLIENT_ID

CALLBACK = "/oauth/acme/callback/"


def begin(client: Client, query: str = "") -> str:
    """Start connecting; returns the URL at the provider."""
    answer = client.get(f"/oauth/acme/connect/{query}")
    assert answer.status_code == 302, answer.content.decode()
    return str(answer["Location"])


def consent(url: str) -> str:
    """What the provider sends the user's browser back to."""
    answer = requests.get(url, allow_redirects=False, timeout=5)
    assert answer.status_code == 302
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


def parameters(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def changed(url: str, **changes: str | None) -> str:
    """``url`` with other query parameters; None leaves one out."""
    query = {**parameters(url), **changes}
    kept = {name: value for name, value in query.items() if value is not None}
    return f"{urlsplit(url).path}?{urlencode(kept)}"


def connect(client: Client, query: str = "") -> HttpResponse:
    response: HttpResponse = client.get(consent(begin(client, query)))
    return response


def exchanges(provider: Provider) -> int:
    return len(provider.requests("authorization_code"))


def id_token(provider: Provider, **claims: Any) -> str:
    """An ID token as the provider would issue it, unsigned."""
    payload = {
        "iss": provider.url,
        "aud": CLIENT_ID,
        "sub": "alice-7",
        "email": "alice@acme.example",
        "exp": time.time() + 600,
        **claims,
    }
    parts = (json.dumps({"alg": "none"}), json.dumps(payload), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
