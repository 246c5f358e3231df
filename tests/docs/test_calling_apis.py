"""Every snippet of docs/calling-apis.md, run against the tests' own API and provider.

A comment before a snippet says what is ``given``, and what is to be true ``then``; ``settings``
marks one that is a setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import AbstractUser
from django.core.management import call_command
from django.test import RequestFactory

from oauth_tokens import OAuthToken
from tests.support import api as handle
from tests.support.api import Api
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).parents[2] / "docs" / "calling-apis.md"


class Snippet(NamedTuple):
    line: int
    given: str
    then: str
    code: str


def snippets() -> Iterator[Snippet]:
    text = PAGE.read_text()
    pattern = r"((?:<!-- [^\n]+ -->\n)*)```python\n(.*?)```"
    for found in re.finditer(pattern, text, re.DOTALL):
        notes = dict(re.findall(r"<!-- (given|then|settings):? ?(.*?) ?-->", found[1]))
        given = "settings" if "settings" in notes else notes.get("given", "")
        line = text.count("\n", 0, found.start(2)) + 1
        yield Snippet(line, given, notes.get("then", ""), found[2])


SNIPPETS = {f"line {snippet.line}": snippet for snippet in snippets()}


api_process, api = handle.api_process, handle.api


@pytest.fixture
def namespace(
    user: AbstractUser, provider: Provider, api: Api, configure: Any, rf: RequestFactory
) -> dict[str, Any]:
    """What snippets may use and change: the user, connected, and a request of theirs."""

    class Unauthorized(Exception):
        pass

    def call_some_sdk(access_token: str) -> str:
        headers = {"Authorization": f"Bearer {access_token}"}
        if requests.get(api.url, headers=headers, timeout=10).status_code == 401:
            raise Unauthorized
        return "fine"

    async def auser() -> AbstractUser:
        return user

    request = rf.get("/calendar/")
    request.user, request.auser = user, auser
    return {
        "user": user,
        "request": request,
        "api": api,
        "provider": provider,
        "stored": OAuthToken.objects.get,
        "async_to_sync": async_to_sync,
        "Unauthorized": Unauthorized,
        "call_some_sdk": call_some_sdk,
        "OAUTH_TOKENS": django_settings.OAUTH_TOKENS,
    }


def at_home(code: str, api: Api) -> str:
    """The snippet with the addresses of the tests' API for those of the world."""
    for theirs, ours in {
        "https://www.googleapis.com": api.url,
        "WebClient(token": f'WebClient(base_url="{api.url}/api/", token',
        "Github(auth": f'Github(base_url="{api.url}", auth',
        "StripeClient(user": f'StripeClient(base_addresses={{"api": "{api.url}"}}, api_key=user',
    }.items():
        code = code.replace(theirs, ours)
    return code


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet(
    name: str, namespace: dict[str, Any], api: Api, provider: Provider, configure: Any
) -> None:
    snippet = SNIPPETS[name]
    if snippet.given == "settings":
        exec(snippet.code, namespace)  # noqa: S102
        configure(PROVIDERS=namespace["OAUTH_TOKENS"]["PROVIDERS"])
        call_command("check", "oauth_tokens", fail_level="ERROR")
        return
    used = re.search(r'"(slack|github|stripe)"', snippet.code)
    connected = used[1] if used else "google"
    configure(PROVIDERS={connected: provider.settings()})
    token = namespace["user"].oauth_tokens.store(connected, provider.issue())
    if snippet.given == "the API refuses the token":
        api.refuse(token.access_token)
    elif snippet.given == "the provider is down and the token has expired":
        age(token, EXPIRED)
        provider.misbehave("status", status=503)
    else:
        assert snippet.given == ""
    exec(compile(at_home(snippet.code, api), f"{PAGE.name}, {name}", "exec"), namespace)  # noqa: S102
    assert snippet.then, "a snippet says what is to be true then"
    assert eval(snippet.then, namespace), snippet.then  # noqa: S307


def test_the_page_has_its_snippets() -> None:
    assert len(SNIPPETS) == PAGE.read_text().count("```python") >= 15
