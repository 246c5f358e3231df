"""What may be wrong with a provider's description: one problem each, with its fix."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from django.conf import settings as django_settings
from pytest_django import Settings

from oauth_tokens import jwks
from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.checking import ID_TOKEN_ALGORITHMS, provider_problems
from oauth_tokens.providers.registry import get_provider, resolve_provider

ACME = {
    "authorization_endpoint": "https://acme.example/authorize",
    "token_endpoint": "https://acme.example/token",
    "client_id": "client",
    "client_secret": "client-secret-value",
}


def pem(key: Any, passphrase: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return text.decode()


EC_KEY = pem(ec.generate_private_key(ec.SECP256R1()))

BAD = [
    ({"resource": 7}, "E013", "a list of str", "resource"),
    ({"refresh_method": "PUT"}, "E013", "one of POST, GET", "refresh_method"),
    ({"expires_in_unit": "h"}, "E013", "one of s, ms", "expires_in_unit"),
    ({"token_fields": ["access_token"]}, "E013", "a dict of str to str", "token_fields"),
    ({"revocation_auth_method": "x"}, "E013", "one of bearer, client_secret_b", "revocation"),
    ({"token_endpoint_auth_signing_alg": "HS256"}, "E013", "one of RS256", "signing_alg"),
    ({"id_token_signed_response_alg": "ES256K"}, "E013", "one of RS256", "id_token_signed"),
    ({"id_token_signed_response_alg": "none"}, "E013", "one of RS256", "id_token_signed"),
    ({"error_path": [1]}, "E013", "a list of str", "error_path"),
    ({"secret_as_username": 1}, "E013", "True or False", "secret_as_username"),
    ({"rotation_grace": float("inf")}, "E013", "a number of seconds", "rotation_grace"),
    ({"rotation_grace": None}, "E013", "a number of seconds", "rotation_grace"),
    ({"refresh_token_lifetime": float("nan")}, "E013", "a number of seconds or N", "lifetime"),
    ({"account_id_from": "sub"}, "E013", "one of id_token, response", "account_id_from"),
    ({"account_label_from": "userinfo."}, "E013", "a path in it", "account_label_from"),
    ({"previous_clients": {"client_id": "x"}}, "E013", "a list of dicts", "previous_clients"),
    ({"previous_clients": [{"client_id": 7}]}, "E013", "a list of dicts", "previous_clients"),
    ({"previous_clients": [{"client_secret": "x"}]}, "E015", "number 1, has no client_id", "Regis"),
    (
        {"previous_clients": [{"client_id": "x", "secret": "y"}]},
        "E012",
        "number 1, has no key 'secret'",
        "Did you mean 'client_secret'",
    ),
    (
        {"previous_clients": [{"client_id": "x", "client_secret": ""}]},
        "E016",
        "number 1, has no client_secret",
        "Set client_secret",
    ),
    ({"introspection_endpoint": "http://acme.example/i"}, "E014", "not an https", "https"),
    ({"long_lived_endpoint": "acme.example"}, "E014", "not an https", "https"),
    ({"token_endpoint_auth_method": "private_key_jwt"}, "E018", "private_key'] is no", "PEM"),
    ({"private_key": "key-secret"}, "E018", "no unencrypted private key", "PEM"),
    ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()), b"x")}, "E018", "no unenc", "PE"),
    ({"private_key": pem(x25519.X25519PrivateKey.generate())}, "E018", "cannot sign", "RSA"),
    (
        {"private_key": EC_KEY, "token_endpoint_auth_signing_alg": "RS256"},
        "E018",
        "cannot sign RS256",
        "RSA",
    ),
    (
        {"previous_clients": [{"client_id": "x", "private_key": "key-secret"}]},
        "E018",
        "number 1,['private_key'] is no",
        "PEM",
    ),
    ({"url_variables": "subdomain"}, "E019", "must be a list of names", "Write it as"),
    ({"url_variables": [1]}, "E019", "must be a list of names", "Write it as"),
    ({"url_variables": {"a b": {}}}, "E019", "'a b', which cannot be the name", "Write it as"),
    ({"url_variables": ["token"]}, "E019", "'token', which cannot be the name", "Write it as"),
    ({"url_variables": {"x": "[a-z]"}}, "E019", "must be a dict of choices", "Write it as"),
    ({"url_variables": {"x": {"regex": "a"}}}, "E019", "must be a dict of choices", "Write"),
    ({"url_variables": {"x": {"pattern": 7}}}, "E019", "must have strings", "Write it as"),
    ({"url_variables": {"x": {"choices": "eu"}}}, "E019", "a list of strings", "Write it as"),
    ({"url_variables": {"x": {"pattern": "("}}}, "E019", "no regular expression", "Write it as"),
    ({"url_variables": {"x": {"default": "a/b"}}}, "E019", "cannot be part of an add", "Write"),
    ({"url_variables": {"x": {"choices": ["a@b"]}}}, "E019", "cannot be part of an add", "Write"),
    (
        {"token_endpoint": "https://{subdomain}.acme.example/token"},
        "E019",
        "{subdomain}, which is no variable",
        '"url_variables": {"subdomain": {}}',
    ),
    (
        {
            "authorization_endpoint": "https://{shop}.acme.example/authorize",
            "url_variables": {"shop": {"redirect": "shop"}},
        },
        "E019",
        "authorization_endpoint'] has {shop}",
        "write out the address",
    ),
    (
        {"token_endpoint": "https://{host}/token", "url_variables": ["host"]},
        "E019",
        "lets users choose the server with {host}",
        "limit url_variables['host'] to choices",
    ),
]


@pytest.mark.parametrize(("change", "check_id", "message", "hint"), BAD)
def test_each_mistake_is_named_with_its_fix(
    settings: Settings, change: dict[str, Any], check_id: str, message: str, hint: str
) -> None:
    (found,) = provider_problems("acme", {**ACME, **change})
    assert found.id == f"oauth_tokens.{check_id}"
    assert message in found.message
    assert hint in found.hint
    assert "secret-value" not in str(found)
    assert "key-secret" not in str(found)
    settings.OAUTH_TOKENS = {
        **django_settings.OAUTH_TOKENS,
        "PROVIDERS": {"acme": {**ACME, **change}},
    }
    with pytest.raises(ProviderMisconfigured, match=check_id):
        get_provider("acme")


@pytest.mark.parametrize("name", [f.name for f in fields(Provider) if f.name != "name"])
def test_no_field_takes_just_anything(name: str) -> None:
    """Every field is typed, those that are added later, too."""
    assert list(provider_problems("acme", {**ACME, name: object()}))


def test_a_description_that_uses_much_of_it(settings: Settings) -> None:
    described = {
        **ACME,
        "token_endpoint": "https://{shop}.acme.example/{region}/token",
        "revocation_endpoint": "https://acme.example/{client_id}/{token}",
        "url_variables": {"shop": {}, "region": {"choices": ["eu", "us"], "default": "eu"}},
        "error_path": "error.code error",
        "resource": ["https://api.acme.example"],
        "default_expires_in": None,
        "refresh_token_lifetime": None,
        "token_endpoint_auth_method": "",
        "account_id_from": "url_variables.shop",
    }
    assert list(provider_problems("acme", described)) == []
    settings.OAUTH_TOKENS = {**django_settings.OAUTH_TOKENS, "PROVIDERS": {"acme": described}}
    provider = resolve_provider("acme", variables={"shop": "one"})
    assert provider.error_path == ("error.code", "error")
    assert provider.token_endpoint == "https://one.acme.example/eu/token"
    assert provider.revocation_endpoint == "https://acme.example/{client_id}/{token}"


def test_keys_to_verify_with_and_nothing_that_could(monkeypatch: pytest.MonkeyPatch) -> None:
    described = {**ACME, "jwks_uri": "https://acme.example/jwks"}
    assert list(provider_problems("acme", described)) == []
    monkeypatch.setattr("oauth_tokens.providers.checking.find_spec", lambda name: None)
    (found,) = provider_problems("acme", described)
    assert found.id == "oauth_tokens.E020"
    assert "[bearer]" in found.hint
    # What a preset brings is used where it can be.
    google = {"preset": "google", "client_id": "c", "client_secret": "s"}
    assert list(provider_problems("google", google)) == []


def test_tokens_of_an_earlier_client_keep_their_credentials(settings: Settings) -> None:
    described = {
        **ACME,
        "token_endpoint_auth_method": "client_secret_post",
        "previous_clients": [
            {"client_id": "old", "client_secret": "old-secret"},
            {"client_id": "older", "private_key": EC_KEY},
        ],
    }
    settings.OAUTH_TOKENS = {**django_settings.OAUTH_TOKENS, "PROVIDERS": {"acme": described}}
    old = resolve_provider("acme", client_id="old")
    assert (old.client_id, old.client_secret) == ("old", "old-secret")
    assert old.auth_method == "client_secret_post"
    older = resolve_provider("acme", client_id="older")
    assert (older.client_id, older.client_secret) == ("older", "")
    assert older.auth_method == "private_key_jwt"
    for client_id in ("", "client", "never-heard-of"):
        assert resolve_provider("acme", client_id=client_id) is get_provider("acme")


def test_an_id_token_may_be_signed_with_what_can_be_verified() -> None:
    assert {*ID_TOKEN_ALGORITHMS} == jwks.ASYMMETRIC | {"HS256", "HS384", "HS512"}
