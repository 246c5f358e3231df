"""Nobody but this site and its users chooses which scopes users are sent to the provider with."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from oauth_tokens import OAuthToken
from oauth_tokens.connect import SESSION_KEY
from oauth_tokens.exceptions import connect_url
from tests.support.consent import begin, changed, connect, parameters
from tests.support.provider import Provider

CONNECT = "/oauth/acme/connect/"
CROSS_SITE = {"Sec-Fetch-Site": "cross-site"}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser, provider: Provider) -> None:
    client.force_login(user)


def hrefs(page: str) -> list[str]:
    return [unescape(href) for href in re.findall(r'href="(/oauth/[^"]+)"', page)]


def links(client: Client, url: str, headers: dict[str, str] = SAME_ORIGIN) -> list[str]:
    """Where the page that asks leads to, first of all to the provider; no page, no links."""
    answer = client.get(url, headers=headers)
    if answer.status_code == 302:
        return []
    page = answer.content.decode()
    assert "Allow more at Acme?" in page
    return hrefs(page)


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site", "cross-site"])
def test_the_user_is_asked_about_scopes_in_a_link(client: Client, site: str) -> None:
    headers = {"Sec-Fetch-Site": site}
    link, *_ = links(client, f"{CONNECT}?scope=drive,mail&next=/x/&tenant=evil", headers)
    assert "tenant" not in link
    assert SESSION_KEY not in client.session
    sent = client.get(link, headers=headers)
    assert parameters(sent["Location"])["scope"].split() == ["drive", "email", "mail", "profile"]


def test_where_no_browser_is_led_astray_the_scope_is_taken_as_it_is(client: Client) -> None:
    sent = client.get(f"{CONNECT}?scope=drive")
    assert parameters(sent["Location"])["scope"].split() == ["drive", "email", "profile"]


def test_after_the_question_the_user_comes_back_where_they_wanted(client: Client) -> None:
    link, *_ = links(client, f"{CONNECT}?scope=drive&next=/x/")
    assert connect(client, "?" + urlsplit(link).query)["Location"] == "/x/"
    assert OAuthToken.objects.get().scopes == {"drive", "email", "profile"}


def test_the_sites_own_links_lead_straight_on(client: Client, user: AbstractUser) -> None:
    link = connect_url("acme", ["mail", "drive"]) or ""
    assert links(client, link, SAME_ORIGIN) == []
    # An API client or an e-mail may have opened it for somebody who had to log in first.
    there = Client().get(link)["Location"]
    assert there.startswith("/admin/login/?next=")
    assert links(client, parameters(there)["next"]) == []


def test_the_sites_own_links_on_another_site_lead_to_the_question(client: Client) -> None:
    link = connect_url("acme", ["drive"]) or ""
    further, *_ = links(client, link, CROSS_SITE)
    assert links(client, further, CROSS_SITE) == []


def test_a_login_on_the_way_does_not_make_a_strangers_link_ours(user: AbstractUser) -> None:
    browser = Client()
    there = browser.get(f"{CONNECT}?scope=drive", headers=CROSS_SITE)["Location"]
    browser.force_login(user)
    assert links(browser, parameters(there)["next"], SAME_ORIGIN)


def test_a_signature_is_good_for_one_user_one_provider_and_these_scopes(
    client: Client, django_user_model: type[AbstractUser]
) -> None:
    other = Client()
    other.force_login(django_user_model.objects.create_user("mallory"))
    theirs, *_ = links(other, f"{CONNECT}?scope=drive")
    assert links(other, theirs) == []
    assert links(client, theirs)
    ours = connect_url("acme", ["drive"]) or ""
    assert links(client, ours) == []
    for link in (
        changed(ours, scope="drive delete"),
        changed(ours, signature=""),
        changed(ours, signature="\u00e9"),
        changed(connect_url("other", ["drive"]) or "").replace("/other/", "/acme/"),
    ):
        assert links(client, link)


def test_trying_again_asks_for_the_same_without_a_question(client: Client) -> None:
    link, *_ = links(client, f"{CONNECT}?scope=drive&next=/x/")
    state = parameters(begin(client, "?" + urlsplit(link).query))["state"]
    page = client.get(f"/oauth/acme/callback/?state={state}&error=access_denied").content.decode()
    again, *_ = hrefs(page)
    assert parameters(again)["scope"] == "drive"
    assert connect(client, "?" + urlsplit(again).query)["Location"] == "/x/"


@pytest.mark.parametrize("path", ["/oauth/none/connect/?scope=a", f'{CONNECT}?scope=a"b'])
def test_nobody_is_asked_about_what_cannot_be(client: Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code in (400, 404)
    assert "Allow more" not in page.content.decode()
