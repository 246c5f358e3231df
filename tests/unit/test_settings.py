"""Mistakes in ``OAUTH_TOKENS`` are named together with their fix, and never shown."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from oauth_tokens.conf import get_settings
from oauth_tokens.encryption import get_keyring
from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.options import Problem, settings_problems
from oauth_tokens.providers.registry import all_provider_problems, get_provider, provider_names

KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()
ACME = {
    "authorization_endpoint": "https://acme.example/authorize",
    "token_endpoint": "https://acme.example/token",
    "client_id": "client",
    "client_secret": "client-secret-value",
}


def problems(settings: Settings, value: Any) -> list[Problem]:
    settings.OAUTH_TOKENS = value
    return [*settings_problems(), *all_provider_problems()]


def key_from_vault() -> list[str]:
    return [KEY]


def broken_vault() -> list[str]:
    raise RuntimeError("vault token hvs.secret was refused")


@pytest.mark.parametrize(
    "value",
    [
        {"ENCRYPTION_KEYS": [KEY]},
        {"ENCRYPTION_KEYS": [KEY, KEY[::-1].replace("=", "") + "="], "PROVIDERS": {"acme": ACME}},
        {"ENCRYPTION_KEYS": f"{__name__}.key_from_vault"},
        {"ENCRYPTION_KEYS": [KEY], "PROVIDERS": {"g": {"preset": "google", "client_id": "c"}}},
        {
            "ENCRYPTION_KEYS": [KEY],
            "PROVIDERS": {"a": {"issuer": "https://id.example", "client_id": "c"}},
        },
        {"ENCRYPTION_KEYS": [KEY], "HTTP_TIMEOUT": 1.5, "MAX_RETRIES": 1, "LOCK_TIMEOUT": 2},
        {"ENCRYPTION_KEYS": [KEY], "SITE_URL": "https://your.site/app/", "NOTIFY_USERS": True},
        {"ENCRYPTION_KEYS": [KEY], "SITE_URL": "http://[::1]:8000", "NOTIFY_OPERATORS": ("a@b",)},
    ],
)
def test_sound_settings_have_no_problem(settings: Settings, value: dict[str, Any]) -> None:
    if "PROVIDERS" in value and "g" in value["PROVIDERS"]:
        value["PROVIDERS"]["g"]["client_secret"] = "s"
    assert problems(settings, value) == []
    assert get_settings().REFRESH_THRESHOLD == 300


@pytest.mark.parametrize(
    ("change", "check_id", "message", "hint"),
    [
        ({"REFRESH_TRESHOLD": 1}, "E002", "'REFRESH_TRESHOLD'", "Did you mean 'REFRESH_THRESHOLD'"),
        ({"COLOR": 1}, "E002", "'COLOR'", "Known keys"),
        ({"HTTP_TIMEOUT": "10"}, "E003", "HTTP_TIMEOUT'] must be", "HTTP_TIMEOUT"),
        ({"HTTP_TIMEOUT": True}, "E003", "not bool", "HTTP_TIMEOUT"),
        ({"HTTP_TIMEOUT": 0}, "E003", "out of range", "at least 0.1"),
        ({"EXPIRY_LEEWAY": -1}, "E003", "out of range", "at least 0"),
        ({"WAIT_TIMEOUT": float("inf")}, "E003", "out of range", "finite"),
        ({"WAIT_TIMEOUT": float("nan")}, "E003", "out of range", "finite"),
        ({"MAX_RETRIES": 1.5}, "E003", "must be int", "MAX_RETRIES"),
        ({"REVOKE_ON_LOGOUT": 1}, "E003", "must be bool", "REVOKE_ON_LOGOUT"),
        ({"REDIS_URL": None}, "E003", "must be str", "REDIS_URL"),
        ({"REDIS_URL": "localhost:6379"}, "E003", "no address of a Redis", "redis://host"),
        ({"PROVIDERS": []}, "E003", "must be dict", "PROVIDERS"),
        ({"ENCRYPTION_KEYS": []}, "E004", "has no key", "oauth_tokens_generate_key"),
        ({"ENCRYPTION_KEYS": None}, None, "ENCRYPTION_KEYS", "oauth_tokens_generate_key"),
        ({"ENCRYPTION_KEYS": ["short"]}, "E004", "key number 1", "oauth_tokens_generate_key"),
        ({"ENCRYPTION_KEYS": [KEY, "!" * 44]}, "E004", "key number 2", "generate_key"),
        ({"ENCRYPTION_KEYS": f"{__name__}.broken_vault"}, "E004", "RuntimeError", "dotted path"),
        ({"ENCRYPTION_KEYS": "nowhere.keys"}, "E004", "failed", "dotted path"),
        ({"LOCK_TIMEOUT": 30}, "E005", "30 s", "Raise LOCK_TIMEOUT above 30"),
        ({"SITE_URL": "your.site"}, "E003", "no address of a site", "https://your.site"),
        ({"SITE_URL": "https://your.site?x"}, "E003", "no address of a site", "https://your.site"),
        ({"NOTIFY_OPERATORS": "ops@x"}, "E003", "must be list or tuple", "NOTIFY_OPERATORS"),
        (
            {"NOTIFY_OPERATORS": ["ops"], "SITE_URL": "https://x.example"},
            "E003",
            "no e-mail address",
            '["ops@your.site"]',
        ),
        ({"NOTIFY_USERS": True}, "E022", "['NOTIFY_USERS'] is set", "Set SITE_URL"),
        ({"NOTIFY_OPERATORS": ["ops@x"]}, "E022", "['NOTIFY_OPERATORS'] is set", "Set SITE_URL"),
    ],
)
def test_each_mistake_is_named_with_its_fix(
    settings: Settings, change: dict[str, Any], check_id: str | None, message: str, hint: str
) -> None:
    found = problems(settings, {"ENCRYPTION_KEYS": [KEY], **change})
    assert found
    assert check_id is None or {p.id for p in found} == {f"oauth_tokens.{check_id}"}
    assert any(message in p.message and hint in p.hint for p in found), found
    assert "hvs.secret" not in str(found)
    with pytest.raises(ImproperlyConfigured, match=r"oauth_tokens\.E0"):
        get_settings()


@pytest.mark.parametrize("value", [None, [], "x"])
def test_a_missing_setting_is_one_problem(settings: Settings, value: Any) -> None:
    (problem,) = problems(settings, value)
    assert problem.id == "oauth_tokens.E001"
    assert "oauth_tokens_generate_key" in problem.hint


@pytest.mark.parametrize(
    ("change", "check_id", "message", "hint"),
    [
        ({"preset": "gogle"}, "E011", "'gogle'", "Did you mean 'google'"),
        ({"preset": "nothing-like-it"}, "E011", "no preset", "github"),
        ({"token_url": "https://x.example"}, "E012", "'token_url'", "Did you mean 'token_"),
        ({"pkce": "yes"}, "E013", "pkce'] must be True or False", "pkce"),
        ({"token_body": "xml"}, "E013", "one of form, json", "token_body"),
        ({"scope": [1]}, "E013", "a list of str", "scope"),
        ({"unauthorized_statuses": "401"}, "E013", "a list of int", "unauthorized_statuses"),
        ({"token_params": {"a": 1}}, "E013", "a dict of str to str", "token_params"),
        ({"rotation_grace": -1}, "E013", "a number of seconds", "rotation_grace"),
        ({"default_expires_in": "3600"}, "E013", "a number of seconds", "default_expires_in"),
        ({"client_secret": 7}, "E013", "must be a str", "client_secret"),
        ({"token_endpoint": "http://acme.example/token"}, "E014", "not an https", "127.0.0.1"),
        ({"token_endpoint": "http://127.0.0.1.evil.example"}, "E014", "not an https", "https"),
        ({"token_endpoint": "acme.example/token"}, "E014", "not an https", "https"),
        ({"client_id": ""}, "E015", "no client_id", "Register"),
        (
            {"client_secret": ""},
            "E016",
            "an empty one",
            "public client",
        ),
        (
            {"client_secret": "", "token_endpoint_auth_method": "client_secret_post"},
            "E016",
            "no client_secret",
            "'none'",
        ),
        ({"token_endpoint": ""}, "E017", "no token_endpoint", "issuer"),
        ({"authorization_endpoint": ""}, "E017", "no authorization_endpoint", "preset"),
    ],
)
def test_each_mistake_in_a_provider_is_named_with_its_fix(
    settings: Settings, change: dict[str, Any], check_id: str, message: str, hint: str
) -> None:
    value = {"ENCRYPTION_KEYS": [KEY], "PROVIDERS": {"acme": {**ACME, **change}}}
    found = problems(settings, value)
    assert [p.id for p in found] == [f"oauth_tokens.{check_id}"]
    assert message in found[0].message
    assert "acme" in found[0].message
    assert hint in found[0].hint
    with pytest.raises(ProviderMisconfigured, match=check_id):
        get_provider("acme")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, 7])
def test_a_provider_needs_a_usable_name(settings: Settings, name: Any) -> None:
    found = problems(settings, {"ENCRYPTION_KEYS": [KEY], "PROVIDERS": {name: ACME}})
    assert [p.id for p in found] == ["oauth_tokens.E010"]


def test_no_problem_shows_a_secret(settings: Settings) -> None:
    value = {
        "ENCRYPTION_KEYS": ["key-secret"],
        "REDIS_URL": "redis://:redis-secret@h",
        "PROVIDERS": {
            "acme": {**ACME, "client_secret": "secret-1", "scope": ["secret-2", 3]},
            "b": {**ACME, "token_headers": {"X": 5, "Y": "secret-3"}, "issuer": "http://secret-4"},
        },
    }
    found = problems(settings, value)
    assert len(found) >= 3
    assert "secret-" not in str(found)
    assert "-secret" not in str(found)


def test_an_unknown_provider_is_a_typed_error_that_names_the_likely_one(
    settings: Settings,
) -> None:
    settings.OAUTH_TOKENS = {"ENCRYPTION_KEYS": [KEY], "PROVIDERS": {"acme": ACME}}
    assert provider_names() == ["acme"]
    with pytest.raises(ProviderMisconfigured, match="'acme'") as caught:
        get_provider("acmee")
    assert (caught.value.code, caught.value.provider) == ("unknown_provider", "acmee")
    assert not caught.value.retryable


def test_settings_are_read_again_after_a_change(
    settings: Settings, configure: Callable[..., None]
) -> None:
    first = get_keyring().primary_id
    configure(ENCRYPTION_KEYS=[KEY], WAIT_TIMEOUT=1)
    assert get_settings().WAIT_TIMEOUT == 1
    assert get_keyring().primary_id != first


def test_a_settings_object_shows_no_secret(settings: Settings) -> None:
    settings.OAUTH_TOKENS = {
        "ENCRYPTION_KEYS": [KEY],
        "REDIS_URL": "redis://:redis-secret@h",
        "PROVIDERS": {"acme": ACME},
    }
    text = repr(get_settings()) + repr(get_provider("acme"))
    for secret in (KEY, "redis-secret", "client-secret-value"):
        assert secret not in text
