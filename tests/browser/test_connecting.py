"""What a user does with a connection, on the demo site and at its authorization server."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from oauth_tokens import OAuthToken
from project.accounts import ACME_ALICE, ALICE
from tests.browser.chromium import Browser
from tests.browser.conftest import Site, connect, signed_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def alice(browser: Browser, site: Site) -> None:
    """Is signed in at the demo site."""
    signed_in(browser, site, ALICE.username)


def test_connecting_from_the_login_to_an_answer_of_the_api(
    browser: Browser, site: Site, acme: Site
) -> None:
    browser.open(f"{site.url}/dashboard/")
    browser.sign_in(ALICE.username, ALICE.password)
    browser.press("Connect Acme")
    assert browser.url.startswith(f"{acme.url}/login/")
    browser.sign_in(ACME_ALICE.username, ACME_ALICE.password)
    assert "code_challenge_method=S256" in browser.url
    assert "See your name and e-mail address" in browser.text
    browser.press("Allow")
    assert browser.url.startswith(site.url)
    assert "Acme is connected." in browser.text
    assert OAuthToken.objects.get().status == "active"
    browser.press("Dashboard")
    assert "alice@example.com" in browser.text
    assert "Looking glass" in browser.text


def test_saying_no_at_the_provider(browser: Browser, site: Site, acme: Site, alice: None) -> None:
    browser.open(f"{site.url}/oauth/acme/connect/")
    browser.sign_in(ACME_ALICE.username, ACME_ALICE.password)
    browser.press("Cancel")
    assert browser.heading == "Acme was not connected"
    assert "Nothing has changed." in browser.text
    assert "access_denied" in browser.text
    assert not OAuthToken.objects.exists()
    browser.press("Try again")
    assert browser.url.startswith(f"{acme.url}/o/authorize/")
    browser.press("Allow")
    assert "Acme is connected." in browser.text


def test_disconnecting_asks_first(browser: Browser, site: Site, acme: Site, alice: None) -> None:
    connect(browser, site)
    browser.press("Disconnect", within="main")
    assert browser.heading == "Disconnect Acme?"
    browser.press("Cancel")
    assert OAuthToken.objects.get().status == "active"
    browser.press("Disconnect", within="main")
    browser.press("Disconnect", within="main")
    assert "Acme is disconnected." in browser.text
    assert not OAuthToken.objects.exists()
    browser.open(f"{acme.url}/")
    assert "No application can use your account." in browser.text


def test_reconnecting_after_the_provider_has_ended_it(
    browser: Browser, site: Site, acme: Site, alice: None
) -> None:
    row = connect(browser, site)
    browser.open(f"{acme.url}/")
    browser.press("Withdraw access")
    browser.open(f"{site.url}/dashboard/")
    assert "needs re-authentication" in browser.text
    browser.open(f"{site.url}/oauth/")
    assert "Please connect again: the provider no longer accepts it." in browser.text
    browser.press("Reconnect", within="main")
    assert browser.url.startswith(f"{acme.url}/o/authorize/")
    browser.press("Allow")
    assert "Acme is connected." in browser.text
    browser.press("Dashboard")
    assert "alice@example.com" in browser.text
    assert OAuthToken.objects.get().pk == row.pk


def test_the_way_back_leads_to_the_page_that_was_wanted(
    browser: Browser, site: Site, acme: Site, alice: None
) -> None:
    browser.open(f"{site.url}/oauth/acme/connect/?next=/dashboard/")
    browser.sign_in(ACME_ALICE.username, ACME_ALICE.password)
    browser.press("Allow")
    assert browser.url == f"{site.url}/dashboard/"


def test_connecting_and_disconnecting_without_a_mouse(
    browser: Browser, site: Site, acme: Site
) -> None:
    def press(name: str) -> None:
        browser.tab_to(name)
        with browser.page_change():
            browser.keys(Keys.ENTER)

    def sign_in(username: str, password: str) -> None:
        assert browser.focused.accessible_name == "User name"
        browser.keys(username, Keys.TAB, password)
        with browser.page_change():
            browser.keys(Keys.ENTER)

    browser.open(f"{site.url}/oauth/")
    sign_in(ALICE.username, ALICE.password)
    press("Connect")
    assert browser.url.startswith(f"{acme.url}/login/")
    sign_in(ACME_ALICE.username, ACME_ALICE.password)
    press("Allow")
    assert "Acme is connected." in browser.text
    press("Disconnect")
    press("Disconnect")
    assert "Acme is disconnected." in browser.text
    assert not OAuthToken.objects.exists()
