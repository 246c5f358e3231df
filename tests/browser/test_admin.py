"""What an operator does in the admin, and what they cannot do without the permission for it."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.mail import EmailMessage
from selenium.webdriver.common.keys import Keys

from oauth_tokens import OAuthToken
from oauth_tokens.notices import send_notices
from project.accounts import ADMIN, ALICE
from tests.browser.chromium import Browser
from tests.browser.conftest import Site, connect, signed_in
from tests.browser.population import CONNECTIONS, populate

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REFRESH, ASK = "Refresh now", "Ask user to reconnect"
MARK, REVOKE = "Mark for re-authentication", "Revoke"
ROWS = "#result_list tbody"


@pytest.fixture
def row(browser: Browser, site: Site, acme: Site) -> OAuthToken:
    """Alice has connected her account at Acme; now the admin is signed in."""
    signed_in(browser, site, ALICE.username)
    token = connect(browser, site)
    signed_in(browser, site, ADMIN.username)
    return token


def open_token(browser: Browser, site: Site, row: OAuthToken) -> None:
    browser.open(f"{site.url}/admin/oauth_tokens/oauthtoken/{row.pk}/change/")


def test_refreshing_now(browser: Browser, site: Site, row: OAuthToken) -> None:
    browser.open(f"{site.url}/admin/oauth_tokens/oauthtoken/")
    browser.press("acme", within=ROWS)
    browser.press(REFRESH)
    assert "was refreshed: version 1 is now 2." in browser.text
    assert OAuthToken.objects.get().version == 2
    assert "by admin" in browser.text
    assert LogEntry.objects.get().user.username == ADMIN.username


def test_revoking_asks_first(browser: Browser, site: Site, acme: Site, row: OAuthToken) -> None:
    open_token(browser, site, row)
    browser.press(REVOKE)
    assert browser.heading == "Revoke this token?"
    browser.press("No, take me back")
    assert OAuthToken.objects.get().status == "active"
    browser.press(REVOKE)
    browser.press("Yes, revoke")
    assert "was revoked." in browser.text
    assert not OAuthToken.objects.exists()
    browser.open(f"{acme.url}/")
    assert "No application can use your account." in browser.text


def test_what_is_marked_the_user_has_to_mend(browser: Browser, site: Site, row: OAuthToken) -> None:
    open_token(browser, site, row)
    browser.press(MARK)
    browser.press("Yes, mark")
    assert "was marked: the user has to connect again." in browser.text
    assert not browser.offers(REFRESH)
    assert not browser.offers(MARK)
    signed_in(browser, site, ALICE.username)
    browser.open(f"{site.url}/oauth/")
    browser.press("Reconnect", within="main")
    browser.press("Allow")
    assert OAuthToken.objects.get().status == "active"


def test_asking_the_user_to_reconnect(
    browser: Browser, site: Site, row: OAuthToken, mailoutbox: list[EmailMessage]
) -> None:
    """The mail's link leads through the login to the provider, and back to what works again."""
    open_token(browser, site, row)
    browser.press(ASK)
    browser.press("Yes, send the e-mail")
    assert "the user is asked by e-mail to connect again" in browser.text
    assert send_notices() == 1
    (mail,) = mailoutbox
    assert mail.to == ["alice@example.com"]
    (link,) = set(re.findall(rf"{site.url}\S*/reconnect/\S+", mail.body))
    browser.begin()
    browser.open(link)
    browser.sign_in(ALICE.username, ALICE.password)
    browser.sign_in(ALICE.username, "alice-at-acme")
    browser.press("Allow")
    assert "Acme is connected." in browser.text
    assert OAuthToken.objects.get().grant_id != row.grant_id


def test_the_link_of_a_mail_connects_nobody_else(
    browser: Browser, site: Site, row: OAuthToken, mailoutbox: list[EmailMessage]
) -> None:
    open_token(browser, site, row)
    browser.press(ASK)
    browser.press("Yes, send the e-mail")
    send_notices()
    (link,) = set(re.findall(rf"{site.url}\S*/reconnect/\S+", mailoutbox[0].body))
    signed_in(browser, site, "bob")
    browser.open(link)
    assert browser.url.startswith(site.url)
    assert browser.heading == "This link is for another user"
    assert OAuthToken.objects.get().user.username == ALICE.username


def test_an_action_on_some_of_the_list(browser: Browser, site: Site, row: OAuthToken) -> None:
    browser.open(f"{site.url}/admin/oauth_tokens/oauthtoken/")
    browser.tick(f"Select this object for an action - {row}")
    browser.choose("Action:", MARK)
    browser.press("Go")
    assert browser.heading == "Mark this token for re-authentication?"
    browser.press("Yes, mark")
    assert OAuthToken.objects.get().status == "reauth_required"


@pytest.mark.parametrize(
    ("codenames", "offered"),
    [
        ([], set()),
        (["refresh_oauthtoken"], {REFRESH}),
        (["revoke_oauthtoken"], {REVOKE}),
        (["reauthenticate_oauthtoken"], {ASK, MARK}),
    ],
)
def test_buttons_go_by_permission(
    browser: Browser, site: Site, codenames: list[str], offered: set[str]
) -> None:
    rows = populate()
    clerk = User.objects.create_user("clerk", is_staff=True)
    names = ["view_oauthtoken", *codenames]
    clerk.user_permissions.set(Permission.objects.filter(codename__in=names))
    signed_in(browser, site, clerk.username)
    open_token(browser, site, rows["acme"])
    everything = (REFRESH, ASK, MARK, REVOKE)
    assert {name for name in everything if browser.offers(name)} == offered
    browser.open(f"{site.url}/admin/oauth_tokens/oauthtoken/")
    options = {option.text for option in browser.all("#changelist-form select option")}
    assert options.intersection(everything) == offered


def test_filters(browser: Browser, site: Site) -> None:
    populate()
    signed_in(browser, site, ADMIN.username)
    browser.open(f"{site.url}/admin/oauth_tokens/oauthtoken/")
    browser.press("needs re-authentication", within="#changelist-filter")
    dead = [
        name for name, _, _, changes in CONNECTIONS if changes.get("status") == "reauth_required"
    ]
    assert len(browser.all(f"{ROWS} tr")) == len(dead)
    for name in dead:
        assert name in browser.text


def test_from_the_overview_to_what_is_behind_a_figure(browser: Browser, site: Site) -> None:
    populate()
    signed_in(browser, site, ADMIN.username)
    browser.open(f"{site.url}/admin/oauth_tokens/")
    browser.press("Overview", within="#content")
    assert "The sweep has not run for 12 minutes" in browser.text
    links = [(str(it.get_attribute("href")), it.accessible_name) for it in browser.all("main a")]
    figures = [(url, name.split()[0]) for url, name in links if "/oauthtoken/?" in url]
    assert any("failing=1" in url for url, _ in figures)
    for url, number in figures:
        browser.open(url)
        assert len(browser.all(f"{ROWS} tr")) == int(number), url


def test_refreshing_without_a_mouse(browser: Browser, site: Site, row: OAuthToken) -> None:
    open_token(browser, site, row)
    browser.tab_to(REFRESH)
    with browser.page_change():
        browser.keys(Keys.ENTER)
    assert "was refreshed: version 1 is now 2." in browser.text
