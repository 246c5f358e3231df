"""Every page with people's eyes, ears and phones in mind.

axe-core finds nothing serious on it, in light and dark, and it need not be scrolled sideways on a
phone. With ``--screenshots``, pictures of some of them are put into ``docs/images``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model

from oauth_tokens import OAuthToken
from oauth_tokens.notices import reconnect_url
from project.accounts import ACME_ALICE, ADMIN, ALICE, BOB
from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.browser.conftest import Site, signed_in
from tests.browser.population import populate
from tests.support.processes import ROOT

# Looks are the same on every database.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.postgresql]

#: The pages that take no more than an address: name, who looks, path. The address may name a row
#: of Alice's by its provider.
ADMIN_TOKENS = "/admin/oauth_tokens/oauthtoken/"
PAGES: dict[str, tuple[str, str]] = {
    "home": ("", "/"),
    "login": ("", "/login/"),
    "dashboard": (ALICE.username, "/dashboard/"),
    "connections": (ALICE.username, "/oauth/"),
    "connections-empty": ("newcomer", "/oauth/"),
    "disconnect": (ALICE.username, "/oauth/acme/disconnect/"),
    "unknown-provider": (ALICE.username, "/oauth/acne/connect/"),
    "stale-callback": (ALICE.username, "/oauth/acme/callback/?state=x&code=y"),
    "more-scopes": (ALICE.username, "/oauth/google/connect/?scope=calendar"),
    "broken-link": (ALICE.username, "/oauth/reconnect/x/"),
    "address": (ALICE.username, "/oauth/globex/connect/"),
    "address-refused": (ALICE.username, "/oauth/globex/connect/?company=a/b"),
    "admin-login": ("", "/admin/login/"),
    "admin-index": (ADMIN.username, "/admin/"),
    "admin-app": (ADMIN.username, "/admin/oauth_tokens/"),
    "admin-tokens": (ADMIN.username, ADMIN_TOKENS),
    "admin-tokens-filtered": (ADMIN.username, f"{ADMIN_TOKENS}?status__exact=reauth_required"),
    "admin-tokens-none": (ADMIN.username, f"{ADMIN_TOKENS}?q=nobody"),
    "admin-token": (ADMIN.username, f"{ADMIN_TOKENS}{{google}}/change/"),
    "admin-token-dead": (ADMIN.username, f"{ADMIN_TOKENS}{{slack}}/change/"),
    "admin-token-failing": (ADMIN.username, f"{ADMIN_TOKENS}{{umbrella}}/change/"),
    "admin-token-revoking": (ADMIN.username, f"{ADMIN_TOKENS}{{hubspot}}/change/"),
    "admin-token-unknown": (ADMIN.username, f"{ADMIN_TOKENS}0/change/"),
    "admin-ask": (ADMIN.username, f"{ADMIN_TOKENS}{{google}}/ask/"),
    "admin-mark": (ADMIN.username, f"{ADMIN_TOKENS}{{google}}/mark/"),
    "admin-revoke": (ADMIN.username, f"{ADMIN_TOKENS}{{google}}/revoke/"),
    "admin-overview": (ADMIN.username, "/admin/oauth_tokens/taskrun/"),
    "admin-events": (ADMIN.username, "/admin/oauth_tokens/tokenevent/"),
    "admin-circuits": (ADMIN.username, "/admin/oauth_tokens/providercircuit/"),
    "admin-revocations": (ADMIN.username, "/admin/oauth_tokens/pendingrevocation/"),
}
#: Of the demo's pages, those that the app ships itself.
SHIPPED = [name for name, (_, path) in PAGES.items() if path.startswith("/oauth/")]


#: Kept for the docs: name of the picture, page.
PICTURES = {
    "admin": "admin-tokens",
    "admin-overview": "admin-overview",
    "admin-token": "admin-token-dead",
    "connections": "connections",
    "disconnect": "disconnect",
}
IMAGES = ROOT / "docs" / "images"


@pytest.fixture
def rows(site: Site) -> dict[str, OAuthToken]:
    return populate()


def visit(browser: Browser, site: Site, name: str, rows: dict[str, OAuthToken]) -> None:
    username, path = PAGES[name]
    if username:
        get_user_model().objects.get_or_create(username=username)
        signed_in(browser, site, username)
    browser.open(site.url + path.format(**{name: row.pk for name, row in rows.items()}))


def judge(browser: Browser) -> list[str]:
    """What is wrong with the page that the browser shows, on a desktop and a phone."""
    found = []
    for size in (DESKTOP, PHONE):
        browser.resize(size)
        found += [f"{size[0]} px: sticks out: {element}" for element in browser.overflow]
        found += [f"{size[0]} px: cut: {element}" for element in browser.cut]
        for scheme in (browser.light, browser.dark):
            scheme()
            found += [f"{size[0]} px, {scheme.__name__}: {finding}" for finding in browser.axe()]
    return found


@pytest.mark.parametrize("name", PAGES)
def test_page(
    browser: Browser, site: Site, acme: Site, name: str, rows: dict[str, OAuthToken]
) -> None:
    visit(browser, site, name, rows)
    found = judge(browser)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", SHIPPED)
def test_page_without_the_templates_of_a_site(
    browser: Browser, plain_site: Site, name: str, rows: dict[str, OAuthToken]
) -> None:
    visit(browser, plain_site, name, rows)
    found = judge(browser)
    assert not found, "\n".join(found)


def consent(browser: Browser, site: Site, provider: str = "acme") -> None:
    """On to the page on which Acme asks Alice."""
    signed_in(browser, site, ALICE.username)
    browser.open(f"{site.url}/oauth/{provider}/connect/")
    browser.sign_in(ACME_ALICE.username, ACME_ALICE.password)


def acme_login(browser: Browser, site: Site, acme: Site) -> None:
    browser.open(f"{acme.url}/login/")
    assert browser.heading == "Sign in to Acme"


def acme_consent(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site)
    assert browser.heading == "Daylight would like to use your Acme account"


def acme_apps(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site)
    browser.press("Allow")
    browser.open(f"{acme.url}/")
    assert "Withdraw access" in browser.text


def refused_login(browser: Browser, site: Site, acme: Site) -> None:
    browser.open(f"{site.url}/login/")
    browser.sign_in(ALICE.username, "wrong")
    assert "That user name and password do not match." in browser.text


def connected(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site)
    browser.press("Allow")
    assert "Acme is connected." in browser.text


def dashboard(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site)
    browser.press("Allow")
    browser.open(f"{site.url}/dashboard/")
    assert "Looking glass" in browser.text


def dashboard_of_a_dead_connection(browser: Browser, site: Site, acme: Site) -> None:
    acme_apps(browser, site, acme)
    browser.press("Withdraw access")
    browser.open(f"{site.url}/dashboard/")
    assert browser.offers("Reconnect Acme")


def denied(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site)
    browser.press("Cancel")
    assert browser.heading == "Acme was not connected"


def less_allowed_than_asked_for(browser: Browser, site: Site, acme: Site) -> None:
    signed_in(browser, site, ALICE.username)
    browser.open(f"{site.url}/oauth/acme/connect/?scope=projects")
    browser.press("Continue")
    browser.sign_in(ACME_ALICE.username, ACME_ALICE.password)
    browser.run("document.querySelector('[name=scope]').value = 'profile'")
    browser.press("Allow")
    assert browser.heading == "Acme is connected, but not everything was allowed"


def site_refused(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site, "initech")
    browser.press("Allow")
    assert browser.heading == "Initech cannot be connected at the moment"


def provider_silent(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site, "umbrella")
    browser.press("Allow")
    assert browser.heading == "Umbrella is not answering as it should"


def signed_in_as_another_user(browser: Browser, site: Site, acme: Site) -> None:
    consent(browser, site)
    browser.press("Allow")
    row = OAuthToken.objects.get()
    signed_in(browser, site, BOB.username)
    browser.open(site.url + urlsplit(reconnect_url(row)).path)
    assert browser.heading == "This link is for another user"


@pytest.mark.parametrize(
    "way",
    [
        acme_login,
        acme_consent,
        acme_apps,
        refused_login,
        connected,
        dashboard,
        dashboard_of_a_dead_connection,
        denied,
        less_allowed_than_asked_for,
        site_refused,
        provider_silent,
        signed_in_as_another_user,
    ],
)
def test_page_at_the_end_of_a_way(
    browser: Browser, site: Site, acme: Site, way: Callable[..., None]
) -> None:
    way(browser, site, acme)
    found = judge(browser)
    assert not found, "\n".join(found)


def test_what_is_wrong_is_found(browser: Browser) -> None:
    browser.open(
        "data:text/html,<!doctype html><html lang=en><title>Bad</title><meta name=viewport "
        "content='width=device-width'><main><h1>Bad</h1><input>"
        "<p style='width: 600px; color: %23bbb; background: %23fff'>Faint and wide</p>"
        "<div style='width: 99px; overflow-x: auto'><b style='width: 200px; float: left'>Cut</b>"
    )
    found = "\n".join(judge(browser))
    assert "390 px: sticks out: p." in found
    assert "1280 px: cut: div. 200 in 99" in found
    assert "390 px, dark: serious: color-contrast" in found
    assert "1280 px, light: critical: label" in found
    assert "1280 px: sticks out" not in found


@pytest.mark.parametrize("name", PICTURES)
def test_picture(
    browser: Browser,
    site: Site,
    acme: Site,
    name: str,
    rows: dict[str, OAuthToken],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """Each picture of the docs can be taken again, and with ``--screenshots`` it is."""
    folder = IMAGES if request.config.getoption("--screenshots", default=False) else tmp_path
    visit(browser, site, PICTURES[name], rows)
    for size, suffix in ((DESKTOP, ""), (PHONE, "-phone")):
        browser.resize(size)
        browser.save_picture(folder / f"{name}{suffix}.png")
        assert (IMAGES / f"{name}{suffix}.png").exists()
