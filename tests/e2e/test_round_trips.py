"""Not connected, needs re-authentication, lacks a scope: to the provider, through its consent, and
back to where the user was; or JSON that says how. Over real HTTP between real processes."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from oauth_tokens import OAuthToken
from project.browser import Page
from tests.e2e.site.fixtures import Alice, Cast
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = ["function", "async-function", "class", "async-class", "raised", "async-raised"]


def end_grant(cast: Cast) -> None:
    """The user withdraws their consent at the provider; the site learns of it by a refresh."""
    row = age(OAuthToken.objects.get(), EXPIRED)
    cast.provider.revoke(row.access_token)


def arrived(page: Page, url: str) -> bool:
    return (page.status, page.url) == (200, url)


@pytest.mark.parametrize(
    "kind",
    [PAGES[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in PAGES[1:])],
)
def test_a_page_leads_to_the_provider_and_back(kind: str, alice: Alice, cast: Cast) -> None:
    here = f"/read/{kind}/?tab=2"
    page = alice.allow(alice.go(here))
    assert arrived(page, alice.url + here)
    assert alice.go(here).text == page.text == '{"scopes": ["openid", "read"]}'
    end_grant(cast)
    assert arrived(alice.allow(alice.go(here)), alice.url + here)
    # And where a scope is missing, it is asked for on top of those granted.
    here = f"/write/{kind}/?tab=3"
    page = alice.allow(alice.go(here))
    assert arrived(page, alice.url + here)
    assert page.text == '{"scopes": ["openid", "read", "write"]}'
    assert OAuthToken.objects.get().status == "active"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*PAGES, "drf-permission", "drf-handler"])
def test_an_api_client_is_told_where_to_go(kind: str, alice: Alice, cast: Cast) -> None:
    shown = f"{alice.url}/page/?tab=2"
    headers = {"Accept": "application/json", "Referer": shown}

    def ask(scope: str) -> tuple[int, dict[str, Any], str]:
        answer = alice.session.get(f"{alice.url}/{scope}/{kind}/", headers=headers, timeout=30)
        return answer.status_code, answer.json(), answer.headers.get("WWW-Authenticate", "")

    status, told, challenge = ask("read")
    assert (status, told["code"], challenge) == (401, "not_connected", "Connect")
    assert arrived(alice.allow(alice.open(told["connect_url"])), shown)
    assert ask("read")[:2] == (200, {"scopes": ["openid", "read"]})
    end_grant(cast)
    status, told, _ = ask("read")
    assert (status, told["code"]) == (401, "refresh_token_invalid")
    assert arrived(alice.allow(alice.open(told["connect_url"])), shown)
    status, told, challenge = ask("write")
    assert (status, told["code"], challenge) == (403, "insufficient_scope", "")
    assert arrived(alice.allow(alice.open(told["connect_url"])), shown)
    assert ask("write")[:2] == (200, {"scopes": ["openid", "read", "write"]})


@pytest.mark.slow
def test_the_template_tag_leads_there_and_back(alice: Alice, cast: Cast) -> None:
    here = "/page/?tab=2"

    def follow(page: Page) -> Page:
        link = re.search(r'<p><a href="([^"]+)">', page.text)
        assert link, page.text
        return alice.allow(alice.go(html.unescape(link[1])))

    page = follow(alice.go(here))
    assert arrived(page, alice.url + here)
    assert "connected" in page.text
    end_grant(cast)
    # Rows tell by themselves once a refresh has failed.
    assert alice.go("/read/function/").url.startswith(cast.provider.url)
    page = follow(alice.go(here))
    assert arrived(page, alice.url + here)
    assert "connected" in page.text


@pytest.mark.slow
def test_who_refuses_consent_is_told_so_and_can_try_again(alice: Alice, cast: Cast) -> None:
    page = alice.go("/read/function/")
    page = alice.submit(page, page.form("allow"))
    assert page.url.startswith(f"{alice.url}/oauth/acme/callback/")
    assert not OAuthToken.objects.exists()
    link = re.search(r'href="([^"]*/connect/[^"]*)"', page.text)
    assert link, page.text
    page = alice.allow(alice.go(html.unescape(link[1])))
    assert arrived(page, f"{alice.url}/read/function/")
