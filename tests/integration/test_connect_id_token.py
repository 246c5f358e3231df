"""ID tokens whose signature is verified with the provider's keys (OpenID Connect Core 3.1.3.7)."""

from __future__ import annotations

import base64
import hmac
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.http import HttpResponse
from django.test import Client
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from oauth_tokens import OAuthToken
from tests.support.consent import begin, consent, parameters
from tests.support.provider import Provider
from tests.support.recorder import Recorder
from tests.support.token_endpoint import CLIENT_SECRET

Configure = Callable[..., None]
KEY = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}, private=True)
CURVE = ECKey.generate_key("P-256", {"kid": "e1", "use": "sig"}, private=True)


@pytest.fixture
def keys() -> Iterator[Recorder]:
    """The provider's key set."""
    recorder = Recorder()
    public = [key.as_dict(private=False) for key in (KEY, CURVE)]
    recorder.answers["/jwks"] = {"keys": public}
    yield recorder
    recorder.stop()


@pytest.fixture(autouse=True)
def _openid(
    client: Client, user: AbstractUser, provider: Provider, keys: Recorder, configure: Configure
) -> None:
    client.force_login(user)
    configure(
        acme={
            "issuer": provider.url,
            "jwks_uri": f"{keys.url}/jwks",
            "scope": ["openid"],
            "account_id_from": "id_token.sub",
        }
    )


def connect_with(
    client: Client,
    provider: Provider,
    *,
    key: Any = KEY,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> HttpResponse:
    url = begin(client)
    payload = {
        "iss": provider.url,
        "aud": "client",
        "sub": "alice-7",
        "exp": int(time.time()) + 600,
        "nonce": parameters(url)["nonce"],
        **claims,
    }
    signed = jwt.encode(
        {"alg": "RS256", "kid": "k1", **(header or {})},
        {name: value for name, value in payload.items() if value is not None},
        key,
        algorithms=["RS256", "ES256", "HS256"],
    )
    provider.configure(override={"id_token": signed})
    response: HttpResponse = client.get(consent(url))
    return response


def refused(answer: HttpResponse, code: str, status: int = 400) -> None:
    assert answer.status_code == status
    assert code in answer.content.decode()
    assert not OAuthToken.objects.exists()


def test_a_signature_of_the_providers_key(
    client: Client, provider: Provider, keys: Recorder
) -> None:
    assert connect_with(client, provider).status_code == 302
    assert OAuthToken.objects.get().account_id == "alice-7"
    assert connect_with(client, provider, sub="bob-1").status_code == 302
    assert len(keys.of("/jwks")) == 1


def test_a_key_of_another_kind(client: Client, provider: Provider, configure: Configure) -> None:
    header = {"alg": "ES256", "kid": "e1"}
    assert connect_with(client, provider, key=CURVE, header=header).status_code == 302
    OAuthToken.objects.all().delete()
    configure(acme={"id_token_signed_response_alg": "RS256"})
    refused(connect_with(client, provider, key=CURVE, header=header), "id_token_signature")


def test_a_signature_of_somebody_else(client: Client, provider: Provider) -> None:
    refused(connect_with(client, provider, key=OTHER), "id_token_signature")
    # What was received and is not used is given back.
    assert len(provider.requests("revoke")) == 1


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_the_public_key_as_a_shared_secret(client: Client, provider: Provider) -> None:
    url = begin(client)
    claims = {
        "iss": provider.url,
        "aud": "client",
        "sub": "alice-7",
        "exp": int(time.time()) + 600,
        "nonce": parameters(url)["nonce"],
    }
    signed = f"{encoded({'alg': 'HS256', 'kid': 'k1'})}.{encoded(claims)}"
    mac = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")
    provider.configure(override={"id_token": f"{signed}.{encoded(mac)}"})
    refused(client.get(consent(url)), "id_token_signature")


def test_no_signature_at_all(client: Client, provider: Provider) -> None:
    answer = connect_with(client, provider)
    OAuthToken.objects.all().delete()
    assert answer.status_code == 302
    url = begin(client)
    unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZS03In0."
    provider.configure(override={"id_token": unsigned})
    refused(client.get(consent(url)), "id_token_signature")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://evil.example"}, "id_token_iss"),
        ({"aud": ["other"]}, "id_token_aud"),
        ({"aud": ["client", "other"], "azp": "other"}, "id_token_azp"),
        ({"exp": 1}, "id_token_exp"),
        ({"exp": None}, "id_token_exp"),
        ({"nonce": "replayed"}, "id_token_nonce"),
        ({"nonce": None}, "id_token_nonce"),
    ],
)
def test_a_good_signature_under_claims_for_somebody_else(
    client: Client, provider: Provider, claims: dict[str, Any], code: str
) -> None:
    refused(connect_with(client, provider, **claims), code)


def test_the_authorized_party(client: Client, provider: Provider) -> None:
    claims = {"aud": ["client", "other"], "azp": "client"}
    assert connect_with(client, provider, **claims).status_code == 302


def test_keys_that_cannot_be_had(client: Client, provider: Provider, keys: Recorder) -> None:
    keys.answers["/jwks"] = (500, {})
    refused(connect_with(client, provider), "jwks_http_500", 503)


def test_a_shared_secret_where_tls_stands_for_the_signature(
    client: Client, provider: Provider, keys: Recorder, configure: Configure
) -> None:
    configure(acme={"id_token_signed_response_alg": "HS256"})
    secret = OctKey.import_key(CLIENT_SECRET * 2)
    answer = connect_with(client, provider, key=secret, header={"alg": "HS256"})
    assert answer.status_code == 302
    assert keys.sent == []


def test_without_joserfc_tls_stands_for_the_signature(
    client: Client, provider: Provider, keys: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "oauth_tokens.connect.id_token.find_spec",
        lambda name: None if name == "joserfc" else found(name),
    )
    assert connect_with(client, provider, key=OTHER).status_code == 302
    assert keys.sent == []


def test_a_provider_that_repeats_no_nonce(
    client: Client, provider: Provider, configure: Configure
) -> None:
    configure(acme={"nonce": False})
    url = begin(client)
    assert "nonce" not in parameters(url)
    claims = {"iss": provider.url, "aud": "client", "sub": "a", "exp": int(time.time()) + 600}
    signed = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, KEY)
    provider.configure(override={"id_token": signed})
    assert client.get(consent(url)).status_code == 302
    assert OAuthToken.objects.get().account_id == "a"
