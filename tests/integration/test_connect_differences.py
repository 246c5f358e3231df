"""Providers that differ, through the pages and the refresh: addresses with variables, tokens of
an hour, parameters out of the redirect, credentials that change."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from oauth_tokens import OAuthToken
from oauth_tokens.exceptions import ProviderMisconfigured, ReauthenticationRequired, scope_signature
from oauth_tokens.models import PendingRevocation
from oauth_tokens.upkeep import revoke_pending
from tests.support.recorder import Recorder, Sent

Configure = Callable[..., None]
CONNECT = "/oauth/acme/connect/"


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.fixture
def describe(server: Recorder, configure: Configure) -> Configure:
    """Configure "acme", at the recorder, with what is given."""

    def change(**differences: Any) -> None:
        described = {
            "authorization_endpoint": f"{server.url}/authorize",
            "token_endpoint": f"{server.url}/token",
            "revocation_endpoint": f"{server.url}/revoke",
            "client_id": "new",
            "client_secret": "new-secret",
            **differences,
        }
        configure(PROVIDERS={"acme": described})

    return change


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser) -> None:
    client.force_login(user)


def come_back(client: Client, authorization_url: str, **more: str) -> HttpResponse:
    state = parse_qs(urlsplit(authorization_url).query)["state"][0]
    response: HttpResponse = client.get(
        "/oauth/acme/callback/", {"code": "c", "state": state, **more}
    )
    return response


def submit(client: Client, page: HttpResponse, **values: str) -> HttpResponse:
    """Fill in the form that asks for what an address needs."""
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.content.decode()))
    response: HttpResponse = client.get(CONNECT, {**fields, **values})
    return response


def connect(client: Client, form: dict[str, str] | None = None, **more: str) -> HttpResponse:
    answer: HttpResponse = client.get(CONNECT, form)
    if form:
        answer = submit(client, answer)
    assert answer.status_code == 302, answer.content.decode()
    return come_back(client, answer["Location"], **more)


def tokens(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "access_token": f"at-{number}",
        "refresh_token": f"rt-{number}",
        "expires_in": 60,
        **more,
    }


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


# A token of an hour for one of months


def test_a_short_lived_token_is_exchanged_for_a_long_lived_one(
    client: Client, user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    describe(
        token_endpoint_auth_method="client_secret_post",
        long_lived_endpoint=f"{server.url}/long",
        long_lived_grant_type="ig_exchange_token",
        refresh_endpoint=f"{server.url}/refresh",
        refresh_method="GET",
        refresh_grant_type="ig_refresh_token",
        refresh_parameter_names={
            "refresh_token": "access_token",
            "client_id": "",
            "client_secret": "",
        },
        refresh_with="access_token",
        account_id_from="response.user_id",
        metadata_fields=["user_id"],
    )
    server.answers["/token"] = {"access_token": "short", "user_id": 17}
    server.answers["/long"] = {"access_token": "long-1", "expires_in": 5184000}
    server.answers["/refresh"] = lambda sent: {
        "access_token": sent.query["access_token"] + "+",
        "expires_in": 5184000,
    }
    assert connect(client).status_code == 302
    token = user.oauth_tokens.get_valid("acme")
    assert (token.access_token, token.account_id) == ("long-1", "17")
    assert token.extra == {"user_id": 17}
    assert token.seconds_left > 5_000_000
    token.refresh()
    assert token.access_token == "long-1+"
    token.refresh()
    assert token.access_token == "long-1++"
    assert [set(sent.query) for sent in server.of("/refresh")] == [
        {"grant_type", "access_token"}
    ] * 2
    assert server.of("/long")[0].query["client_secret"] == "new-secret"


def test_a_second_exchange_that_fails_connects_nothing(
    client: Client, server: Recorder, describe: Configure
) -> None:
    describe(long_lived_endpoint=f"{server.url}/long", long_lived_grant_type="x")
    server.answers["/token"] = tokens()
    server.answers["/long"] = (500, {})
    assert connect(client).status_code == 503
    assert not OAuthToken.objects.exists()
    assert server.of("/revoke")[0].form["token"] == "rt-1"


# Credentials that change


def client_of(sent: Sent) -> str:
    return base64.b64decode(sent.headers["authorization"].split()[1]).decode()


def test_tokens_of_the_earlier_client_are_refreshed_as_its_own(
    user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    server.answers.update({"/token": tokens(2), "/revoke": {}})
    describe(client_id="old", client_secret="old-secret")
    user.oauth_tokens.store("acme", tokens(), account_id="early")
    describe(previous_clients=[{"client_id": "old", "client_secret": "old-secret"}])
    user.oauth_tokens.store("acme", tokens(), account_id="late")
    for account in ("early", "late"):
        user.oauth_tokens.get_valid("acme", account=account).refresh()
    assert [client_of(sent) for sent in server.of("/token")] == ["old:old-secret", "new:new-secret"]
    # Connecting again makes it a token of the new client.
    user.oauth_tokens.store("acme", tokens(), account_id="early").refresh()
    assert client_of(server.of("/token")[-1]) == "new:new-secret"
    # A client that the settings do not know any more: the one in use now is all there is.
    OAuthToken.objects.update(client_id="gone")
    user.oauth_tokens.get_valid("acme", account="late").refresh()
    assert client_of(server.of("/token")[-1]) == "new:new-secret"


def test_late_tokens_of_the_earlier_client_are_revoked_as_its_own(
    user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    server.answers["/revoke"] = {}
    describe(previous_clients=[{"client_id": "old", "client_secret": "old-secret"}])
    for client_id in ("old", "new"):
        pending = PendingRevocation.enqueue(
            using="default",
            now=timezone.now(),
            user_id=user.pk,
            provider="acme",
            client_id=client_id,
            variables={},
            token="rt",
            token_type_hint="refresh_token",
        )
        assert pending.attempt(timezone.now())
    assert [client_of(s) for s in server.of("/revoke")] == ["old:old-secret", "new:new-secret"]


# Refreshed and revoked where and as it was connected


def test_what_is_kept_goes_into_the_refresh_and_the_revocation(
    client: Client, user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    describe(
        revocation_endpoint=f"{server.url}/{{tenant}}/revoke",
        revocation_token="access_token",
        url_variables=["tenant"],
        metadata_fields=["device_id"],
        refresh_params={"device_id": "{device_id}"},
        previous_clients=[{"client_id": "old", "client_secret": "old-secret"}],
    )
    server.answers.update({"/token": tokens(), "/one/revoke": {}})
    connect(client, {"tenant": "one"}, device_id="d-1")
    OAuthToken.objects.update(client_id="old")
    user.oauth_tokens.get_valid("acme").refresh()
    assert server.of("/token")[-1].form["device_id"] == "d-1"
    assert user.oauth_tokens.disconnect("acme")
    (revoked,) = server.of("/one/revoke")
    assert revoked.form["token"] == "at-1"
    assert client_of(revoked) == "old:old-secret"
    assert not OAuthToken.objects.exists()


def test_a_deleted_users_token_is_given_back_where_it_came_from(
    client: Client, user: AbstractUser, server: Recorder, describe: Configure
) -> None:
    describe(revocation_endpoint=f"{server.url}/{{tenant}}/revoke", url_variables=["tenant"])
    server.answers.update({"/token": tokens(), "/one/revoke": {}})
    connect(client, {"tenant": "one"})
    user.delete()
    PendingRevocation.objects.update(retry_at=timezone.now())
    revoke_pending()
    assert [sent.form["token"] for sent in server.of("/one/revoke")] == ["rt-1"]
