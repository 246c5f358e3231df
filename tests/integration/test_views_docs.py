"""Every snippet of docs/views.md, executed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import AbstractUser
from django.template import RequestContext, Template
from django.test import Client, RequestFactory
from django.urls import path
from pytest_django import Settings

from oauth_tokens import OAuthToken
from tests.support.consent import consent
from tests.support.provider import Provider
from tests.support.site import serve

DOCUMENT = Path(__file__).parents[2] / "docs/views.md"
#: Heading of a section -> its snippets, each as (language, code).
SECTIONS: dict[str, list[tuple[str, str]]] = {
    part.partition("\n")[0]: re.findall(r"^```(\w+)\n(.*?)^```$", part, re.M | re.S)
    for part in re.split(r"^##? (?=[A-Z])", DOCUMENT.read_text(), flags=re.M)[1:]
}


def test_no_snippet_is_forgotten() -> None:
    """Whoever adds one adds a test of it below, and counts it here."""
    assert {name: len(found) for name, found in SECTIONS.items() if found} == {
        "Views that need a token": 1,
        "A function": 2,
        "A class": 1,
        "What API clients get": 1,
        "Wherever it is raised": 2,
        "Django REST framework": 3,
        "Templates": 2,
        "Logging out": 1,
    }


def run(section: str, number: int = 0, **names: Any) -> dict[str, Any]:
    """Execute a Python snippet; returns what it defines."""
    language, code = SECTIONS[section][number]
    assert language == "python"
    # REST framework asks functions for their module.
    names["__name__"] = __name__
    exec(compile(code, f"{DOCUMENT}: {section}", "exec"), names)  # noqa: S102
    return names


@pytest.fixture(autouse=True)
def google(provider: Provider, configure: Callable[..., None]) -> Provider:
    """The provider, under the name that the document uses."""
    configure(PROVIDERS={"google": provider.settings()})
    return provider


@pytest.fixture
def browser(client: Client, user: AbstractUser) -> Client:
    client.force_login(user)
    return client


@pytest.fixture
def connected(user: AbstractUser, google: Provider) -> OAuthToken:
    """Alice's connection, with every scope that the document speaks of."""
    scope = "profile email calendar https://www.googleapis.com/auth/calendar.readonly"
    token: OAuthToken = user.oauth_tokens.store("google", google.issue(scope=scope))
    return token


def test_the_pages(browser: Client, settings: Settings) -> None:
    urlconf = ModuleType("urls")
    urlconf.urlpatterns = run("Views that need a token")["urlpatterns"]
    settings.ROOT_URLCONF = urlconf
    assert "Google" in browser.get("/oauth/").content.decode()


def test_a_function(
    browser: Client, user: AbstractUser, google: Provider, settings: Settings
) -> None:
    names = run("A function")
    names["CALENDARS"] = f"{google.url}/userinfo"
    names["calendars"].__globals__["CALENDARS"] = names["CALENDARS"]
    serve(settings, path("calendars/", names["calendars"]))
    there = browser.get("/calendars/")["Location"]
    assert there.startswith("/oauth/google/connect/?scope=https%3A%2F%2Fwww.googleapis.com")
    back = browser.get(consent(browser.get(there)["Location"]))["Location"]
    assert back == "/calendars/"
    assert browser.get(back).json()["sub"] == "alice"


@pytest.mark.usefixtures("connected")
def test_an_async_function(browser: Client, settings: Settings) -> None:
    expiry = run("A function", 1)["expiry"]
    assert iscoroutinefunction(expiry)
    serve(settings, path("expiry/", expiry))
    assert "good until 20" in browser.get("/expiry/").content.decode()


@pytest.mark.usefixtures("connected")
def test_a_class(browser: Client, settings: Settings) -> None:
    (template,) = settings.TEMPLATES
    page = {"dashboard.html": "{{ request.oauth_token.provider }}"}
    options = {"loaders": [("django.template.loaders.locmem.Loader", page)]}
    options["context_processors"] = template["OPTIONS"]["context_processors"]
    settings.TEMPLATES = [{**template, "APP_DIRS": False, "OPTIONS": options}]
    serve(settings, path("dashboard/", run("A class")["Dashboard"].as_view()))
    assert browser.get("/dashboard/").content == b"google"
    OAuthToken.objects.all()._raw_delete("default")
    assert browser.get("/dashboard/").status_code == 302


def test_what_api_clients_get(browser: Client, settings: Settings) -> None:
    (language, code), *_ = SECTIONS["What API clients get"]
    promised = json.loads(code)
    assert language == "json"
    serve(settings, path("calendars/", run("A function")["calendars"]))
    headers = {"accept": "application/json", "referer": "http://testserver/app/"}
    answer = browser.get("/calendars/", headers=headers)
    url = promised.pop("connect_url").replace("https://your.site", "http://testserver")
    before, after = url.split("...")
    told = answer.json().pop("connect_url")
    assert (told[: len(before)], told[-len(after) :]) == (before, after)
    assert {**answer.json(), "connect_url": told} == {**promised, "connect_url": told}


def test_the_middleware(browser: Client, user: AbstractUser, settings: Settings) -> None:
    settings.MIDDLEWARE = run("Wherever it is raised")["MIDDLEWARE"]
    serve(settings, path("profile/", run("Wherever it is raised", 1)["profile"]))
    assert browser.get("/profile/")["Location"] == "/oauth/google/connect/?next=%2Fprofile%2F"
    assert Client().get("/profile/")["Location"].startswith("/admin/login/")


def test_a_permission(
    browser: Client, user: AbstractUser, google: Provider, settings: Settings
) -> None:
    serve(settings, path("expiry/", run("Django REST framework")["Expiry"].as_view()))
    assert browser.get("/expiry/").json()["code"] == "not_connected"
    token = user.oauth_tokens.store("google", google.issue())
    expires_at = token.expires_at.isoformat().replace("+00:00", "Z")
    assert browser.get("/expiry/").json() == {"expires_at": expires_at}


@pytest.mark.parametrize(("number", "where"), [(1, ""), (2, "error")])
def test_an_exception_handler(
    browser: Client, settings: Settings, number: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Raising(APIView):
        def get(self, request: Any) -> Response:
            return Response(request.user.oauth_tokens.get_valid("google").scope)

    names = run("Django REST framework", number)
    if where:
        monkeypatch.setitem(globals(), "handler", names["handler"])
        settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": f"{__name__}.handler"}
    else:
        settings.REST_FRAMEWORK = names["REST_FRAMEWORK"]
    serve(settings, path("raising/", Raising.as_view()))
    answer = browser.get("/raising/")
    body = answer.json()[where] if where else answer.json()
    assert (answer.status_code, body["code"]) == (401, "not_connected")


@pytest.mark.parametrize(
    ("number", "without", "with_one"),
    [
        (0, ">Connect Google</a>", "Google: connected"),
        (1, ": not connected.", "Google: connected"),
    ],
)
def test_templates(
    user: AbstractUser, request: pytest.FixtureRequest, number: int, without: str, with_one: str
) -> None:
    language, code = SECTIONS["Templates"][number]
    assert language == "django"

    def rendered() -> str:
        http = RequestFactory().get("/page/")
        http.user = user
        return Template(code).render(RequestContext(http))

    assert without in rendered()
    assert "next=%2Fpage%2F" in rendered()
    request.getfixturevalue("connected")
    assert with_one in rendered()
    assert "<a" not in rendered()


@pytest.mark.usefixtures("connected")
def test_logging_out(browser: Client, google: Provider, configure: Callable[..., None]) -> None:
    configure(**run("Logging out")["OAUTH_TOKENS"])
    browser.logout()
    assert len(google.requests("revoke")) == 1
    assert OAuthToken.objects.count() == 0
