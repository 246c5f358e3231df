"""Where connecting fails, the log tells the operator what to mend; the user's page does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from tests.support.consent import begin, changed, connect, consent, id_token
from tests.support.provider import Provider


@pytest.fixture(autouse=True)
def _signed_in(client: Client, user: AbstractUser, provider: Provider) -> None:
    client.force_login(user)


def test_a_wrong_client_secret(
    client: Client, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"error": "invalid_client"}
    provider.misbehave("status", status=401, body=body, kinds=["authorization_code"])
    page = connect(client).content.decode()
    assert "acme refused this site's own credentials or request (invalid_client)" in caplog.text
    assert "Check client_id, client_secret, redirect_uris" in caplog.text
    assert "client_secret" not in page


def test_a_scope_that_the_provider_does_not_know(
    client: Client, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.configure(authorize_error="invalid_scope")
    connect(client)
    assert "acme refused an authorization request (invalid_scope). Check scope," in caplog.text


def test_an_account_that_is_somewhere_else(
    client: Client, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(acme={"account_id_from": "response.team.id"})
    connect(client)
    assert "nothing at response.team.id: correct account_id_from" in caplog.text


@pytest.mark.parametrize(
    ("claims", "fix"),
    [
        ({"iss": "https://else.example"}, "Check issuer"),
        ({"aud": "other"}, "Check client_id"),
        ({"exp": 1}, "Check this machine's clock"),
    ],
)
def test_an_id_token_of_somebody_else(
    client: Client,
    provider: Provider,
    configure: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    claims: dict[str, Any],
    fix: str,
) -> None:
    configure(acme={"issuer": provider.url, "account_id_from": "id_token.sub"})
    provider.configure(override={"id_token": id_token(provider, **claims)})
    connect(client)
    assert fix in caplog.text


@pytest.mark.parametrize(
    ("changes", "described", "fix"),
    [
        ({"code": None}, {}, "Set code_parameter"),
        ({"iss": "https://else.example"}, {"issuer": "https://acme.example"}, "Set issuer"),
        (
            {"iss": None},
            {"authorization_response_iss_parameter_supported": True},
            "leave out authorization_response_iss_parameter_supported",
        ),
    ],
)
def test_an_answer_of_another_form(
    client: Client,
    configure: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str | None],
    described: dict[str, Any],
    fix: str,
) -> None:
    configure(acme=described)
    client.get(changed(consent(begin(client)), **changes))
    assert fix in caplog.text
