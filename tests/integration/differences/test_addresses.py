"""Addresses with variables, and what the redirect back says besides the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from oauth_tokens import OAuthToken
from oauth_tokens.exceptions import ProviderMisconfigured, ReauthenticationRequired, scope_signature
from oauth_tokens.models import PendingRevocation
from oauth_tokens.upkeep import revoke_pending
from tests.support.journeys import CONNECT, come_back, connect, submit, tokens
from tests.support.recorder import Recorder

Configure = Callable[..., None]


# Addresses with variables


@pytest.fixture
def tenants(server: Recorder, describe: Configure) -> None:
    describe(
        authorization_endpoint=f"{server.url}/{{tenant}}/authorize",
        token_endpoint=f"{server.url}/{{tenant}}/token",
        revocation_endpoint=f"{server.url}/{{tenant}}/revoke",
        url_variables={"tenant": {"label": "Your <b>company</b>"}},
        account_id_from="url_variables.tenant",
    )
    for tenant in ("one", "two"):
        server.answers[f"/{tenant}/token"] = tokens()
        server.answers[f"/{tenant}/revoke"] = {}


@pytest.mark.usefixtures("tenants")
def test_the_user_is_asked_for_what_the_address_needs(client: Client) -> None:
    signed = {"scope": "a b", "signature": scope_signature("acme", "a b")}
    page = client.get(CONNECT, {"next": "/wanted/", **signed})
    text = page.content.decode()
    assert page.status_code == 200
    assert "Your &lt;b&gt;company&lt;/b&gt;" in text
    assert 'name="tenant"' in text
    assert '<input type="hidden" name="next" value="/wanted/">' in text
    assert '<input type="hidden" name="scope" value="a b">' in text


@pytest.mark.usefixtures("tenants")
def test_the_whole_life_at_an_address_of_ones_own(
    client: Client, user: AbstractUser, server: Recorder
) -> None:
    page = client.get(CONNECT, {"next": "/wanted/"})
    answer = submit(client, page, tenant=" One ")
    assert answer["Location"].startswith(f"{server.url}/one/authorize?")
    assert come_back(client, answer["Location"])["Location"] == "/wanted/"
    token = user.oauth_tokens.get_valid("acme")
    assert token.extra == {"url_variables": {"tenant": "one"}}
    token.refresh()
    assert [sent.path for sent in server.sent] == ["/one/token", "/one/token"]
    server.answers["/one/token"] = (400, {"error": "invalid_grant"})
    with pytest.raises(ReauthenticationRequired):
        token.refresh()


@pytest.mark.usefixtures("tenants")
def test_two_addresses_are_two_accounts(
    client: Client, user: AbstractUser, server: Recorder
) -> None:
    connect(client, {"tenant": "one"})
    connect(client, {"tenant": "two"})
    assert sorted(user.oauth_tokens.values_list("account_id", flat=True)) == ["one", "two"]
    user.oauth_tokens.get_valid("acme", account="two").refresh()
    assert len(server.of("/one/token")) == 1
    assert len(server.of("/two/token")) == 2


@pytest.mark.usefixtures("tenants")
def test_connecting_again_begins_with_what_is_known(client: Client) -> None:
    connect(client, {"tenant": "two"})
    page = client.get(CONNECT)
    assert page.status_code == 200
    assert 'value="two"' in page.content.decode()


@pytest.mark.usefixtures("tenants")
@pytest.mark.parametrize(
    "value", ["", "../evil", "a/b", "evil.example", "@evil.example", "a?b", "a#", "<script>", "\0"]
)
def test_a_value_that_leads_elsewhere_is_asked_for_again(
    client: Client, server: Recorder, value: str
) -> None:
    page = client.get(CONNECT, {"tenant": value})
    assert page.status_code == 400
    assert "<script>" not in page.content.decode()
    assert 'name="tenant"' in page.content.decode()
    assert "oauth_tokens_started" not in client.session
    assert server.sent == []


@pytest.mark.usefixtures("tenants")
@pytest.mark.parametrize("origin", ["cross-site", "same-origin"])
def test_nobody_else_chooses_the_server(
    client: Client, django_user_model: type[AbstractUser], origin: str
) -> None:
    """Not even with the form that they were given themselves, and on the way of a login."""
    other = Client()
    other.force_login(django_user_model.objects.create_user("mallory"))
    theirs = dict(
        re.findall(r'name="(signature)" value="([^"]+)"', other.get(CONNECT).content.decode())
    )
    assert theirs
    query = {"tenant": "one", **theirs}
    assert other.get(CONNECT, query).status_code == 302
    page = client.get(CONNECT, query, headers={"Sec-Fetch-Site": origin})
    assert page.status_code == 200
    assert 'value="one"' in page.content.decode()
    assert submit(client, page).status_code == 302


def test_nobody_is_asked_where_there_is_no_choice(
    client: Client, server: Recorder, describe: Configure
) -> None:
    server.answers["/eu/login/token"] = server.answers["/eu/test/token"] = tokens()
    describe(
        token_endpoint=f"{server.url}/{{region}}/{{domain}}/token",
        url_variables={"region": {"choices": ["eu"]}, "domain": {"default": "login"}},
    )
    assert connect(client).status_code == 302
    assert len(server.of("/eu/login/token")) == 1
    assert connect(client, {"domain": "test"}).status_code == 302
    assert connect(client).status_code == 302
    # The second time it stays with what the user has.
    assert len(server.of("/eu/test/token")) == 2


def test_choices_are_a_list_to_choose_from(
    client: Client, server: Recorder, describe: Configure
) -> None:
    describe(
        token_endpoint=f"{server.url}/{{region}}/token",
        url_variables={"region": {"choices": ["eu", "us"]}},
    )
    text = client.get(CONNECT).content.decode()
    assert "<select" in text
    assert '<option value="us">us</option>' in text
    assert client.get(CONNECT, {"region": "ru"}).status_code == 400


@pytest.mark.usefixtures("tenants")
def test_a_stored_value_is_checked_before_anything_is_sent(
    user: AbstractUser, server: Recorder
) -> None:
    for number, extra in enumerate(({}, {"url_variables": {"tenant": "../evil"}})):
        token = user.oauth_tokens.store("acme", tokens(), account_id=str(number), extra=extra)
        with pytest.raises(ProviderMisconfigured, match="url_variables"):
            token.refresh()
    assert server.sent == []


@pytest.mark.usefixtures("tenants")
def test_a_token_that_cannot_be_used_is_given_back_where_it_came_from(
    client: Client, server: Recorder, describe: Configure
) -> None:
    describe(
        token_endpoint=f"{server.url}/{{tenant}}/token",
        revocation_endpoint=f"{server.url}/{{tenant}}/revoke",
        url_variables=["tenant"],
        account_id_from="response.missing",
    )
    server.answers["/one/revoke"] = (503, {})
    assert connect(client, {"tenant": "one"}).status_code == 502
    pending = PendingRevocation.objects.get()
    assert pending.url_variables == {"tenant": "one"}
    server.answers["/one/revoke"] = {}
    PendingRevocation.objects.update(retry_at=pending.created_at)
    assert revoke_pending() == 1
    assert [sent.form["token"] for sent in server.of("/one/revoke")] == ["rt-1", "rt-1"]


# Out of the redirect


def test_what_the_redirect_says_is_kept_and_used(
    client: Client, user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    describe(
        metadata_fields=["device_id", "realmId"],
        token_params={"device_id": "{device_id}"},
        account_id_from="redirect.realmId",
    )
    server.answers["/token"] = tokens()
    connect(client, device_id="d-1", realmId="r-7", other="x")
    token = OAuthToken.objects.get()
    assert token.account_id == "r-7"
    assert token.extra == {"device_id": "d-1", "realmId": "r-7"}
    assert server.of("/token")[0].form["device_id"] == "d-1"


@pytest.fixture
def redirecting(server: Recorder, describe: Configure) -> None:
    describe(
        token_endpoint=f"{server.url}/{{shop}}/token",
        revocation_endpoint=f"{server.url}/{{shop}}/revoke",
        url_variables={"shop": {"redirect": "domain_prefix"}},
        code_parameter="auth_code",
        token_params={"state": "{state}"},
    )
    server.answers.update({"/one/token": tokens(), "/one/revoke": {}})


def authorize(client: Client) -> str:
    return parse_qs(urlsplit(client.get(CONNECT)["Location"]).query)["state"][0]


@pytest.mark.usefixtures("redirecting")
def test_an_address_that_the_redirect_completes(
    client: Client, user: AbstractUser, server: Recorder
) -> None:
    state = authorize(client)
    back = {"auth_code": "c", "state": state, "domain_prefix": "One"}
    assert client.get("/oauth/acme/callback/", back)["Location"] == "/oauth/"
    token = user.oauth_tokens.get_valid("acme")
    assert token.extra == {"url_variables": {"shop": "one"}}
    token.refresh()
    exchange, refresh = server.of("/one/token")
    assert (exchange.form["code"], exchange.form["state"]) == ("c", state)
    assert "state" not in refresh.form


@pytest.mark.usefixtures("redirecting")
@pytest.mark.parametrize("brought", [{}, {"domain_prefix": ""}, {"domain_prefix": "../evil"}])
def test_a_redirect_that_leads_elsewhere(
    client: Client, server: Recorder, brought: dict[str, str]
) -> None:
    back = {"auth_code": "c", "state": authorize(client), **brought}
    answer = client.get("/oauth/acme/callback/", back)
    assert answer.status_code == 400
    assert "url_variable" in answer.content.decode()
    assert server.sent == []


@pytest.mark.usefixtures("redirecting")
def test_a_user_who_says_no_brings_no_address(client: Client) -> None:
    back = {"error": "access_denied", "state": authorize(client)}
    answer = client.get("/oauth/acme/callback/", back)
    assert answer.status_code == 200
    assert "access_denied" in answer.content.decode()
