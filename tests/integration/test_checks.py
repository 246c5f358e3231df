"""System checks about the pages and the keys, and that every check is documented."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings

from oauth_tokens import answers
from oauth_tokens.checks import check_pages, check_settings
from oauth_tokens.decorators import token_required
from tests.support.site import serve

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
ROOT = Path(__file__).parents[2]
MIDDLEWARE = "oauth_tokens.middleware.OAuthTokenMiddleware"


def one_key() -> str:
    return KEY


@pytest.fixture(autouse=True)
def _nobody_leads_to_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have decorated in this process does not count."""
    monkeypatch.setattr(answers, "leads_to_pages", set())
    monkeypatch.setattr("oauth_tokens.decorators.leads_to_pages", answers.leads_to_pages)


def found() -> list[str | None]:
    return [message.id for message in check_pages()]


def test_a_site_as_it_should_be(settings: Settings) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    assert found() == []


def test_a_site_that_only_stores_needs_no_pages(settings: Settings) -> None:
    serve(settings, pages=False)
    assert found() == []


def test_a_decorator_needs_the_pages(settings: Settings) -> None:
    token_required("acme")
    assert found() == []
    serve(settings, pages=False)
    (warning,) = check_pages()
    assert warning.id == "oauth_tokens.W002"
    assert "@token_required('acme')" in warning.msg
    assert 'include("oauth_tokens.urls")' in str(warning.hint)


def test_a_permission_needs_the_pages(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from oauth_tokens.contrib import drf

    monkeypatch.setattr(drf, "leads_to_pages", answers.leads_to_pages)
    drf.HasOAuthToken("acme")
    serve(settings, pages=False)
    assert found() == ["oauth_tokens.W002"]


def test_the_middleware_needs_the_pages(settings: Settings) -> None:
    serve(settings, pages=False)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    (warning,) = check_pages()
    assert warning.id == "oauth_tokens.W002"
    assert MIDDLEWARE in warning.msg


@pytest.mark.parametrize("value", ["Strict", "strict"])
def test_a_strict_session_cookie_does_not_come_back(settings: Settings, value: str) -> None:
    settings.SESSION_COOKIE_SAMESITE = value
    (warning,) = check_pages()
    assert warning.id == "oauth_tokens.W003"
    assert "'Lax'" in str(warning.hint)
    serve(settings, pages=False)
    assert found() == []


@pytest.mark.parametrize("value", ["Lax", "None", False])
def test_other_session_cookies_do(settings: Settings, value: Any) -> None:
    settings.SESSION_COOKIE_SAMESITE = value
    assert found() == []


def test_a_project_without_urls(settings: Settings) -> None:
    del settings.ROOT_URLCONF
    assert found() == []


@pytest.mark.parametrize(
    ("keys", "message", "hint"),
    [
        (KEY, "is a str that is no dotted path", "put it in a list"),
        (f"{KEY},{KEY}", "is a str that is no dotted path", "put it in a list"),
        (KEY[:-1], "is a str that is no dotted path", "put it in a list"),
        ("", "has no key", "Put back the whole key"),
        ([], "has no key", "oauth_tokens_generate_key"),
        (None, "has no key", "oauth_tokens_generate_key"),
        ([""], "key number 1 is empty", "environment variable"),
        ([None], "key number 1 is empty", "environment variable"),
        ([KEY[:-1]], "key number 1 is not url-safe base64 of 32 bytes", "all 44 characters"),
        ([KEY, KEY[:40]], "key number 2 is not url-safe base64", "Put back the whole key"),
        (KEY.encode(), "is no list of keys", "put it in a list"),
        ({KEY: KEY}, "is no list of keys", "put it in a list"),
        (f"{__name__}.one_key", "is no list of keys", "callable that returns a list"),
        ("nowhere.keys", "failed: ModuleNotFoundError", "callable that returns a list"),
    ],
)
def test_keys_that_are_none(
    configure: Callable[..., None], keys: object, message: str, hint: str
) -> None:
    configure(ENCRYPTION_KEYS=keys)
    (error,) = (found for found in check_settings() if "ENCRYPTION_KEYS" in found.msg)
    assert error.id == "oauth_tokens.E004"
    assert message in error.msg
    assert hint in str(error.hint)
    assert KEY[:20] not in f"{error.msg}{error.hint}"


def test_django_runs_it() -> None:
    assert check_pages in checks.registry.registry.get_checks()


def test_every_check_is_documented_and_nothing_else() -> None:
    named = re.compile(r"\boauth_tokens\.([EW]\d{3})\b")
    sources = (path.read_text() for path in (ROOT / "oauth_tokens").rglob("*.py"))
    raised = {name for source in sources for name in named.findall(source)}
    documented = re.findall(
        r"^\| `oauth_tokens\.([EW]\d{3})`", (ROOT / "docs/checks.md").read_text(), re.M
    )
    assert raised, "the package is somewhere else"
    assert documented == sorted(raised)
