"""A user's way through the connect pages, with a provider that is only a recorder."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.http import HttpResponse
from django.test import Client

CONNECT = "/oauth/acme/connect/"


def come_back(client: Client, authorization_url: str, **more: str) -> HttpResponse:
    state = parse_qs(urlsplit(authorization_url).query)["state"][0]
    response: HttpResponse = client.get(
        "/oauth/acme/callback/", {"code": "c", "state": state, **more}
    )
    return response


def submit(client: Client, page: HttpResponse, **values: str) -> HttpResponse:
    """Fill in the form that asks for what an address needs."""
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.content.decode()))
    response: HttpResponse = client.get(CONNECT, {**fields, **values})
    return response


def connect(client: Client, form: dict[str, str] | None = None, **more: str) -> HttpResponse:
    answer: HttpResponse = client.get(CONNECT, form)
    if form:
        answer = submit(client, answer)
    assert answer.status_code == 302, answer.content.decode()
    return come_back(client, answer["Location"], **more)


def tokens(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "access_token": f"at-{number}",
        "refresh_token": f"rt-{number}",
        "expires_in": 60,
        **more,
    }
