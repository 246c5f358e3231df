"""Connect, refresh, replay, revoke, with authorization servers that were not written here:
django-oauth-toolkit, Authlib, and the certified oidc-provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from oauth_tokens import OAuthToken, transport
from oauth_tokens.exceptions import ProviderMisconfigured, ReauthenticationRequired
from oauth_tokens.models.circuit import forget_all
from oauth_tokens.providers.registry import resolve_provider
from oauth_tokens.providers.wire import Meaning
from tests.e2e.servers import Authlib, OidcProvider, Server, Toolkit

Configure = Callable[..., None]
KINDS = [
    pytest.param(Toolkit, id="django-oauth-toolkit"),
    pytest.param(Authlib, id="authlib"),
    pytest.param(OidcProvider, id="oidc-provider", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    server: Server = request.param()
    yield server
    server.stop()


@pytest.fixture
def server(running: Server, configure: Configure) -> Server:
    configure(PROVIDERS={"acme": running.settings()})
    return running


@pytest.fixture
def browser(client: Client, user: AbstractUser) -> Client:
    client.force_login(user)
    return client


def connect(browser: Client, server: Server) -> OAuthToken:
    there = browser.get("/oauth/acme/connect/")
    assert there.status_code == 302, there.content.decode()
    back = browser.get(server.consent(there["Location"]))
    assert (back.status_code, back["Location"]) == (302, "/oauth/"), back.content.decode()
    return OAuthToken.objects.get()


def is_active(access_token: str) -> bool:
    request = resolve_provider("acme").introspection_request(
        token=access_token, token_type_hint="access_token"
    )
    answer = transport.send(request, timeout=10)
    assert answer.status == 200, answer.body
    active: bool = json.loads(answer.body)["active"]
    return active


def replay(refresh_token: str) -> Meaning:
    """Send a refresh token past everything that keeps this package from sending it twice."""
    provider = resolve_provider("acme")
    answer = transport.send(provider.refresh_request(refresh_token=refresh_token), timeout=10)
    return provider.classify(answer).meaning


def test_connect(browser: Client, server: Server) -> None:
    there = browser.get("/oauth/acme/connect/")["Location"]
    asked = parse_qs(urlsplit(there).query)
    assert asked["code_challenge_method"] == ["S256"]
    token = connect(browser, server)
    assert token.scopes == set(server.scope)
    assert is_active(token.access_token)
    if "openid" in server.scope:
        assert token.id_token
        assert token.account_id
    assert token.refresh_token


def test_refresh_and_replay(browser: Client, server: Server) -> None:
    token = connect(browser, server)
    first, before = token.refresh_token, token.access_token
    for _ in range(2):
        token.refresh()
    assert token.refresh_token != first
    assert token.access_token != before
    assert is_active(token.access_token)
    assert token.scopes == set(server.scope)
    # A thief sends the first one: the server ends everything that stems from it.
    assert first
    assert replay(first) is Meaning.DEAD_GRANT
    assert not is_active(token.access_token)
    with pytest.raises(ReauthenticationRequired) as caught:
        token.refresh()
    assert caught.value.code == "refresh_token_invalid"
    # And only the user can mend that.
    assert connect(browser, server).status == "active"


def test_revoke(browser: Client, user: AbstractUser, server: Server) -> None:
    token = connect(browser, server)
    access_token, refresh_token = token.access_token, token.refresh_token
    token.refresh()
    newer = token.access_token
    assert user.oauth_tokens.disconnect("acme")
    assert not OAuthToken.objects.exists()
    assert not is_active(newer)
    assert not is_active(access_token)
    assert refresh_token
    assert replay(refresh_token) is Meaning.DEAD_GRANT


def test_a_code_serves_once(browser: Client, server: Server) -> None:
    back = server.consent(browser.get("/oauth/acme/connect/")["Location"])
    session = dict(browser.session)
    assert browser.get(back).status_code == 302
    stored = browser.session
    stored.update(session)
    stored.save()
    assert browser.get(back).status_code == 400


def test_a_client_that_the_server_does_not_know(
    browser: Client, server: Server, configure: Configure
) -> None:
    token = connect(browser, server)
    configure(acme={"client_secret": "wrong"})
    with pytest.raises(ProviderMisconfigured):
        token.refresh()
    assert OAuthToken.objects.get().status == "active"
    configure(PROVIDERS={"acme": server.settings()})
    OAuthToken.objects.get().circuit.succeeded()
    forget_all()
    token = OAuthToken.objects.get()
    token.refresh()
    assert is_active(token.access_token)


@pytest.mark.parametrize("running", KINDS[1:], indirect=True)
def test_a_client_that_authenticates_by_its_private_key(
    browser: Client, user: AbstractUser, server: Server, configure: Configure
) -> None:
    configure(PROVIDERS={"acme": server.jwt_client()})
    token = connect(browser, server)
    for _ in range(2):
        token.refresh()
    assert is_active(token.access_token)
    access_token = token.access_token
    assert user.oauth_tokens.disconnect("acme")
    assert not is_active(access_token)
