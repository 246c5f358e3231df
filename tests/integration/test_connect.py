"""Authorization code with PKCE (RFC 6749, 7636, 9207, 9700), with a real authorization server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from oauth_tokens import OAuthToken, TokenEvent
from oauth_tokens.connect import SESSION_KEY
from oauth_tokens.exceptions import scope_signature
from tests.support.consent import CALLBACK, begin, changed, connect, consent, exchanges, parameters
from tests.support.provider import Provider
from tests.support.token_endpoint import CLIENT_ID, CLIENT_SECRET

CONNECTIONS = "/oauth/"


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser, provider: Provider) -> None:
    client.force_login(user)


def asked(scope: str, **more: str) -> str:
    """The query of a link with which this site itself asks for ``scope``."""
    signature = scope_signature("acme", scope)
    return "?" + urlencode({"scope": scope, "signature": signature, **more})


# The way there and back


def test_the_user_comes_back_connected(
    client: Client, user: AbstractUser, provider: Provider
) -> None:
    end = connect(client, "?next=/admin/%3Fa%3Db")
    assert (end.status_code, end["Location"]) == (302, "/admin/?a=b")
    token = user.oauth_tokens.get_valid("acme")
    assert token.access_token.startswith("at-")
    assert token.scopes == {"email", "profile"}
    assert token.requested_scope == "email profile"
    assert TokenEvent.objects.get().kind == "stored"


def test_the_authorization_request(client: Client) -> None:
    sent = parameters(begin(client))
    assert sent["response_type"] == "code"
    assert sent["client_id"] == CLIENT_ID
    assert sent["redirect_uri"] == f"http://testserver{CALLBACK}"
    assert sent["scope"] == "email profile"
    assert sent["code_challenge_method"] == "S256"
    assert len(sent["code_challenge"]) == 43
    assert len(sent["state"]) >= 43
    assert "nonce" not in sent
    again = parameters(begin(client))
    assert again["state"] != sent["state"]
    assert again["code_challenge"] != sent["code_challenge"]


def test_without_pkce_where_the_provider_refuses_it(
    client: Client, configure: Callable[..., None], provider: Provider
) -> None:
    configure(acme={"pkce": False})
    url = begin(client)
    assert "code_challenge" not in parameters(url)
    assert client.get(consent(url)).status_code == 302
    (exchange,) = provider.requests("authorization_code")
    assert "code_verifier" not in exchange["parameters"]


def test_the_redirect_uri_of_the_settings_wins(
    client: Client, configure: Callable[..., None], provider: Provider
) -> None:
    configure(acme={"redirect_uris": [f"https://www.example.org{CALLBACK}"]})
    url = begin(client)
    assert parameters(url)["redirect_uri"] == f"https://www.example.org{CALLBACK}"
    # The provider compares it in the exchange, too.
    assert client.get(consent(url)).status_code == 302


def test_scopes_already_granted_are_asked_for_again(
    client: Client, user: AbstractUser, provider: Provider
) -> None:
    user.oauth_tokens.store("acme", provider.issue(scope="calendar"))
    sent = parameters(begin(client, asked("drive,contacts drive")))
    assert sent["scope"].split() == ["calendar", "contacts", "drive", "email", "profile"]


@pytest.mark.parametrize("scope", ['a"b', "a\\b", "é", "x" * 256, "+".join(map(str, range(101)))])
def test_what_is_no_scope_is_not_sent(client: Client, scope: str) -> None:
    answer = client.get(f"/oauth/acme/connect/?scope={scope}")
    assert answer.status_code == 400
    assert "invalid_scope" in answer.content.decode()
    assert SESSION_KEY not in client.session


def test_scopes_that_were_not_granted_do_not_send_the_user_round_in_circles(
    client: Client, provider: Provider
) -> None:
    provider.configure(override={"scope": "profile email"})
    answer = connect(client, asked("drive", next="/needs-drive/"))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "Not allowed: drive" in page
    assert 'href="/needs-drive/"' in page
    token = OAuthToken.objects.get()
    assert token.scopes == {"profile", "email"}
    assert token.requested_scope == "drive email profile"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "http:///evil.example",
        "javascript:alert(1)",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "\x00//evil.example",
        " //evil.example",
        "///evil.example",
        "http://testserver@evil.example/",
    ],
)
def test_next_leads_nowhere_else(client: Client, target: str) -> None:
    end = connect(client, f"?{urlencode({'next': target})}")
    assert (end.status_code, end["Location"]) == (302, CONNECTIONS)


def test_answers_are_kept_by_nobody(client: Client, provider: Provider) -> None:
    good = connect(client)
    bad = client.get(f"{CALLBACK}?state=x&code=y")
    for answer in (good, bad):
        assert "no-store" in answer["Cache-Control"]
        assert answer["Referrer-Policy"] == "strict-origin"


def test_only_get(client: Client) -> None:
    assert client.post(CALLBACK).status_code == 405
    assert client.post("/oauth/acme/connect/").status_code == 405
    assert client.head(CALLBACK).status_code == 405


def test_an_anonymous_callback_takes_no_code_along(client: Client, provider: Provider) -> None:
    back = consent(begin(client))
    answer = Client().get(back)
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/login/?next=/oauth/"
    assert exchanges(provider) == 0


def test_anonymous_users_log_in_first() -> None:
    answer = Client().get("/oauth/acme/connect/?next=/x/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/?next=/oauth/acme/connect/")


# Whose answer it is


def test_the_answer_of_another_issuer(
    client: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"issuer": "https://acme.example"})
    answer = connect(client)
    assert answer.status_code == 400
    assert "issuer_mismatch" in answer.content.decode()
    assert exchanges(provider) == 0


def test_an_answer_that_should_name_its_issuer(
    client: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"issuer": provider.url, "authorization_response_iss_parameter_supported": True})
    answer = client.get(changed(consent(begin(client)), iss=None))
    assert answer.status_code == 400
    assert "missing_issuer" in answer.content.decode()
    assert exchanges(provider) == 0
    assert connect(client).status_code == 302


def test_a_denial_that_does_not_name_its_issuer_is_a_denial(
    client: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    configure(acme={"issuer": provider.url, "authorization_response_iss_parameter_supported": True})
    back = changed(consent(begin(client)), iss=None, error="access_denied", code=None)
    page = client.get(back).content.decode()
    assert "You did not allow" in page
    assert "missing_issuer" not in page


@pytest.mark.parametrize(
    ("extra", "code"),
    [("&code=second", "repeated_parameter"), ("&iss=https://x.example", "repeated_parameter")],
)
def test_repeated_parameters(client: Client, provider: Provider, extra: str, code: str) -> None:
    answer = client.get(consent(begin(client)) + extra)
    assert answer.status_code == 400
    assert code in answer.content.decode()
    assert exchanges(provider) == 0


@pytest.mark.parametrize("code", [None, ""])
def test_an_answer_without_code(client: Client, provider: Provider, code: str | None) -> None:
    answer = client.get(changed(consent(begin(client)), code=code))
    assert answer.status_code == 400
    assert "missing_code" in answer.content.decode()


# The provider says no


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("access_denied", 200),
        ("server_error", 502),
        ("temporarily_unavailable", 503),
        ("invalid_scope", 500),
        ("unauthorized_client", 500),
    ],
)
def test_an_error_of_the_provider_is_a_page(
    client: Client, user: AbstractUser, provider: Provider, error: str, status: int
) -> None:
    stored = user.oauth_tokens.store("acme", provider.issue())
    provider.configure(authorize_error=error)
    answer = connect(client, "?next=/wanted/")
    page = answer.content.decode()
    assert answer.status_code == status
    assert error in page
    assert ("next=%2Fwanted%2F" in page) == (status != 500)
    assert OAuthToken.objects.get().version == stored.version


def test_the_providers_words_are_text(client: Client) -> None:
    script = "<script>alert(1)</script>"
    back = changed(
        consent(begin(client)), code=None, error=script, error_description=f"\"'{script}\x00"
    )
    page = client.get(back).content.decode()
    assert script not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"mode": "status", "status": 500}, 503, "http_500"),
        ({"mode": "status", "status": 502, "body": "<html>"}, 503, "http_502"),
        ({"mode": "status", "status": 429}, 503, "http_429"),
        ({"mode": "status", "status": 404}, 502, "http_404"),
        ({"mode": "status", "status": 200, "body": {"ok": True}}, 502, "invalid_token_response"),
        ({"mode": "status", "status": 200, "body": {"error": "bad"}}, 502, "bad"),
        ({"mode": "status", "status": 400, "body": {"error": "invalid_grant"}}, 400, "invalid_gr"),
        ({"mode": "status", "status": 401, "body": {"error": "invalid_client"}}, 500, "invalid_cl"),
        ({"mode": "truncated"}, 502, "invalid_token_response"),
        ({"mode": "reset"}, 503, "connection_reset"),
        ({"mode": "hang"}, 503, "read_timeout"),
        ({"mode": "redirect"}, 502, "http_307"),
        ({"mode": "huge", "megabytes": 2}, 503, "response_too_large"),
    ],
)
def test_a_failing_exchange_is_a_page(
    client: Client,
    user: AbstractUser,
    provider: Provider,
    configure: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
    status: int,
    code: str,
) -> None:
    configure(HTTP_TIMEOUT=1)
    stored = user.oauth_tokens.store("acme", provider.issue())
    provider.misbehave(**fault, kinds=["authorization_code"])
    back = consent(begin(client))
    answer = client.get(back)
    page = answer.content.decode()
    assert answer.status_code == status
    assert code in page
    for secret in (parameters(back)["code"], CLIENT_SECRET, stored.access_token):
        assert secret not in page
        assert secret not in caplog.text
    assert exchanges(provider) == 1
    assert OAuthToken.objects.get().version == stored.version


def test_a_provider_that_repeats_the_code_in_its_error(client: Client, provider: Provider) -> None:
    back = consent(begin(client))
    code = parameters(back)["code"]
    provider.misbehave(
        "status",
        status=401,
        body={"error": "invalid_client", "error_description": f"{code} {CLIENT_SECRET} <b>"},
        kinds=["authorization_code"],
    )
    page = client.get(back).content.decode()
    assert code not in page
    assert CLIENT_SECRET not in page
    assert "<b>" not in page
    assert "invalid_client" in page


def test_a_provider_that_is_not_there(client: Client, configure: Callable[..., None]) -> None:
    configure(acme={"token_endpoint": "http://127.0.0.1:9/token"})
    answer = connect(client)
    assert answer.status_code == 503
    assert "connection_failed" in answer.content.decode()


def test_an_unknown_provider_names_the_likely_one(client: Client) -> None:
    answer = client.get("/oauth/acne/connect/")
    page = answer.content.decode()
    assert answer.status_code == 404
    assert "There is no provider “acne”" in page
    assert 'href="/oauth/acme/connect/"' in page
    assert "OAUTH_TOKENS" in page


def test_a_provider_that_left_the_settings_meanwhile(
    client: Client, provider: Provider, configure: Callable[..., None]
) -> None:
    back = consent(begin(client))
    configure(PROVIDERS={})
    answer = client.get(back)
    assert answer.status_code == 404
    assert "There is no provider “acme”" in answer.content.decode()
    assert exchanges(provider) == 0


def test_an_issuer_that_cannot_be_asked(client: Client, configure: Callable[..., None]) -> None:
    configure(
        PROVIDERS={"acme": {"issuer": "http://127.0.0.1:9", "client_id": "c", "scope": ["a"]}}
    )
    answer = client.get("/oauth/acme/connect/")
    assert answer.status_code == 503
    assert "discovery_failed" in answer.content.decode()
