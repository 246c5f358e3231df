"""A provider as its settings describe it, and what the requests to it say."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.wire import Request

CALLBACK = "https://site.example/cb"


def provider(**differences: Any) -> Provider:
    return Provider(
        **{
            "name": "acme",
            "client_id": "client:1",
            "client_secret": "s+c r%t",
            "authorization_endpoint": "https://acme.example/authorize?tenant=7",
            "token_endpoint": "https://acme.example/token",
            "revocation_endpoint": "https://acme.example/revoke",
            **differences,
        }
    )


def form(request: Request | None) -> dict[str, str]:
    assert request is not None
    return {name: value[0] for name, value in parse_qs(request.body or "").items()}
