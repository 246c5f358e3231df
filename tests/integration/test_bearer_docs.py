"""The snippets of docs/bearer.md do what the page says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client, RequestFactory
from django.urls import path
from pytest_django import Settings

from oauth_tokens import jwks
from oauth_tokens.bearer import Validator
from oauth_tokens.bearer.errors import STATUSES
from tests.support import jwt_fixtures
from tests.support.jwt_server import Issuer

PAGE = (Path(__file__).parents[2] / "docs" / "bearer.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

issuer_process, issuer = jwt_fixtures.issuer_process, jwt_fixtures.issuer


@pytest.fixture
def page(issuer: Issuer, settings: Settings) -> dict[str, Any]:
    """The names that the snippets define, one after the other; its views are served."""
    names: dict[str, Any] = {"__name__": "docs"}
    for snippet in SNIPPETS:
        exec(snippet.replace("https://id.example", issuer.url), names)  # noqa: S102

    class Urls:
        urlpatterns = [
            path("projects/", names["projects"]),
            path("report/", names["report"]),
            path("class/", names["Projects"].as_view()),
            path("opaque/", names["opaque"]),
            path("drf/", names["ProjectList"].as_view()),
        ]

    settings.ROOT_URLCONF = Urls
    return names


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_views(page: dict[str, Any], issuer: Issuer) -> None:
    client = Client(enforce_csrf_checks=True)
    headers = bearing(issuer.token("read write"))
    assert client.get("/projects/", headers=headers).json() == {"subject": "reporter"}
    assert client.get("/report/", headers=headers).json() == {"client": "reporter"}
    assert client.post("/class/", headers=headers).json() == {"scopes": ["read", "write"]}
    assert client.get("/drf/", headers=headers).json() == {"subject": "reporter"}
    for url in ("/projects/", "/report/", "/class/", "/drf/", "/opaque/"):
        assert client.get(url).status_code == 401
    reading = bearing(issuer.token("read"))
    assert client.post("/class/", headers=reading).status_code == 403
    issuer.introspect(active=True, sub="alice")
    for _ in range(2):
        assert client.get("/opaque/", headers=bearing("x")).json() == {"subject": "alice"}
    assert len(issuer.requests("introspect")) == 1


def test_a_user_of_the_site(page: dict[str, Any], issuer: Issuer, user: AbstractUser) -> None:
    view = page["ProjectList"].as_view(authentication_classes=[page["UserAuthentication"]])
    headers = bearing(issuer.token())
    request = RequestFactory().get("/", headers=headers)
    assert view(request).data == {"detail": "Nobody of this site."}
    user.username = "reporter"
    user.save()
    assert view(request).data == {"subject": "reporter"}


def test_the_table_of_arguments() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.split("## What it takes")[1], re.MULTILINE)
    parameters = inspect.signature(Validator).parameters
    told = {name: default for name, default in rows if name in parameters}
    elsewhere = {"issuer", "audience", "client_id", "client_secret"}
    introspection = {"introspection_endpoint", "introspection_cache"}
    assert told.keys() | elsewhere | introspection == parameters.keys()
    assert all(f"{name}=" in PAGE for name in elsewhere | introspection)
    for name in ("require_at_jwt", "leeway", "timeout", "realm"):
        assert told[name].strip('`"') == str(parameters[name].default)
    assert re.findall(r"\w+", told["algorithms"]) == list(parameters["algorithms"].default)


def test_the_table_of_answers() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (?:`(\w+)`)? ?\|", PAGE, re.MULTILINE)
    assert {error: int(status) for status, error in rows} == STATUSES


def test_the_numbers_in_the_text() -> None:
    assert (jwks.FRESH_FOR, jwks.ATTEMPT_EVERY, jwks.KEEP_FOR) == (600, 10, 86400)
    for words in ("kept for ten minutes", "every ten seconds", "serve for a day"):
        assert words in " ".join(PAGE.split())
