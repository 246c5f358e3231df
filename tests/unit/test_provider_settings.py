"""What may be wrong with a provider's description: one problem each, with its fix."""

from __future__ import annotations

import re
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
from django.urls import reverse
from pytest_django import Settings

from oauth_tokens import jwks
from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.checking import ID_TOKEN_ALGORITHMS, provider_problems
from oauth_tokens.providers.presets import PRESETS
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


CLIENT = {"client_id": "client", "client_secret": "client-secret-value"}

#: What newcomers write: one error each, however much follows from it.
NEWCOMERS = [
    ({"preset": "gogle", **CLIENT}, "E011", "no preset 'gogle'", "Did you mean 'google'?"),
    ({"preset": "nobody-knows-it", **CLIENT}, "E011", "'nobody-knows-it'", "github, gitlab"),
    ({"preset": "", **CLIENT}, "E011", "no preset ''", "github, gitlab"),
    ({"preset": ["google"], **CLIENT}, "E011", "no preset ['google']", "Did you mean 'google'?"),
    ({"provider": "google", **CLIENT}, "E012", "'provider'", "Did you mean 'preset'?"),
    ({"presset": "google", **CLIENT}, "E012", "'presset'", "Did you mean 'preset'?"),
    (
        {**ACME, "scopes": "read"},
        "E012",
        "no key 'scopes'",
        "Did you mean 'scope' or 'scope_labels'?",
    ),
    ({**ACME, "fruit": "apple"}, "E012", "no key 'fruit'", "docs/settings.md"),
    ({"server_metadata_url": "https://a.example", **CLIENT}, "E012", "'server_", "'issuer'?"),
    ({"preset": "google", "key": "c", "client_secret": "s"}, "E012", "'key'", "'client_id'?"),
    ({"preset": "google", "client_id": "c", "SECRET": "s"}, "E012", "'SECRET'", "'client_secret'?"),
    (
        {**ACME, "client_id": None},
        "E013",
        "client_id'] must be a str, not None",
        "if it comes from an env",
    ),
    ({**ACME, "client_secret": None}, "E013", "client_secret'] must", "environment variable"),
    ({**ACME, "token_endpoint": None}, "E013", "token_endpoint'] must", "environment variable"),
    ({"issuer": None, **CLIENT}, "E013", "issuer'] must be a str", "environment variable"),
    ({**ACME, "private_key": 7}, "E013", "private_key'] must be a str", "Set private_key"),
    ({**ACME, "client_id": ""}, "E015", "no client_id", "environment variable"),
    (CLIENT, "E017", "no authorization_endpoint and no token_endpoint", "an issuer"),
    ({"preset": "github", "token_endpoint": "", **CLIENT}, "E017", "no token_endpoint", "Set tok"),
]


@pytest.mark.parametrize(("described", "check_id", "message", "hint"), NEWCOMERS)
def test_one_mistake_is_one_error(
    described: dict[str, Any], check_id: str, message: str, hint: str
) -> None:
    (found,) = provider_problems("acme", described)
    assert found.id == f"oauth_tokens.{check_id}"
    assert message in found.message
    assert hint in found.hint
    assert len(found.hint) < 1000


def test_two_mistakes_are_two_errors() -> None:
    described = {
        **CLIENT,
        "authorize_url": "http://acme.example/authorize",
        "token_url": "https://acme.example/token",
    }
    found = [problem.id[-4:] for problem in provider_problems("acme", described)]
    assert found == ["E012", "E012", "E014"]


@pytest.mark.parametrize(
    "preset",
    [n for n, p in PRESETS.items() if not {"issuer", "token_endpoint"} & p.keys()],
)
def test_a_preset_that_needs_an_issuer_says_what_one_looks_like(preset: str) -> None:
    (found,) = provider_problems("acme", {"preset": preset, **CLIENT})
    assert found.id == "oauth_tokens.E017"
    assert f"no issuer, and the preset {preset!r} cannot" in found.message
    assert re.match(r'Give your "issuer".*https://', found.hint)
    described = {"preset": preset, "issuer": "https://id.acme.example", **CLIENT}
    assert list(provider_problems("acme", described)) == []


@pytest.mark.parametrize(
    ("name", "described", "message", "hint"),
    [
        ("acme", "google", "no provider's description, but str", '{"preset": "google"'),
        ("acme inc", ACME, "unusable in the address of a page", "letters of ASCII"),
        ("käse", ACME, "unusable in the address of a page", "label"),
        ("a/b", ACME, "unusable in the address of a page", "digits"),
        ("a" * 65, ACME, "unusable in the address of a page", "64 at most"),
        ("", ACME, "unusable in the address of a page", "letters of ASCII"),
        (7, ACME, "unusable in the address of a page", "letters of ASCII"),
    ],
)
def test_an_entry_that_is_none(name: object, described: object, message: str, hint: str) -> None:
    (found,) = provider_problems(name, described)
    assert found.id == "oauth_tokens.E010"
    assert message in found.message
    assert hint in found.hint


def test_usable_names_are_in_addresses_as_they_are() -> None:
    for name in ("acme", "Acme-Inc_2", "a" * 64):
        assert list(provider_problems(name, ACME)) == []
        path = reverse("oauth_tokens:callback", kwargs={"provider": name})
        assert path.endswith(f"/{name}/callback/")


@pytest.mark.parametrize(
    ("asked", "fix"),
    [
        ("acmee", "Did you mean 'acme'?"),
        ("github", "Add 'github': {'preset': 'github', 'client_id'"),
        ("zzzzzzzz", "Add 'zzzzzzzz': {'client_id': "),
        ("zzzzzzzz", "configured (acme)"),
    ],
)
def test_a_provider_that_is_not_configured(settings: Settings, asked: str, fix: str) -> None:
    settings.OAUTH_TOKENS = {**django_settings.OAUTH_TOKENS, "PROVIDERS": {"acme": ACME}}
    with pytest.raises(ProviderMisconfigured, match=re.escape(fix)):
        get_provider(asked)


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
