"""Token responses in all the spellings of the field (RFC 6749 section 5.1)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_tokens.exceptions import InvalidTokenResponse
from oauth_tokens.providers.base import Provider
from oauth_tokens.spellings import MAX_LIFETIME, parse_scope, parse_seconds
from oauth_tokens.token_set import TokenSet


def parse(response: dict[str, Any], **differences: Any) -> TokenSet:
    provider = Provider(
        name="acme", client_id="client", **{"default_expires_in": 1800, **differences}
    )
    return provider.parse_token_response({"access_token": "at", **response})


@pytest.mark.parametrize(
    ("given_value", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3600.5, 3600.5),
        ("3600.5", 3600.5),
        (0, 1800),
        ("0", 1800),
        (-5, 1800),
        ("", 1800),
        (None, 1800),
        ("soon", 1800),
        (True, 1800),
        ([3600], 1800),
        (float("nan"), 1800),
        ("NaN", 1800),
        (1e300, MAX_LIFETIME),
        (10**400, 1800),
        ("Infinity", MAX_LIFETIME),
    ],
)
def test_expires_in(given_value: object, seconds: float) -> None:
    assert parse({"expires_in": given_value}).expires_in == seconds


def test_expires_in_absent_means_the_default() -> None:
    assert parse({}).expires_in == 1800
    assert parse({}, default_expires_in=None).expires_in is None


def test_expires_in_zero_is_never_where_the_provider_means_that() -> None:
    assert parse({"expires_in": 0}, zero_expires_in="never").expires_in is None


@pytest.mark.parametrize("value", [None, "", "  ", 7, {}, []])
def test_an_unusable_refresh_token_counts_as_absent(value: object) -> None:
    assert parse({"refresh_token": value}).refresh_token is None
    assert parse({}).refresh_token is None


@pytest.mark.parametrize(
    ("value", "scopes"),
    [
        ("read write", {"read", "write"}),
        ("  read   read ", {"read"}),
        (["read", "write"], {"read", "write"}),
        (["read write", 7, None], {"read", "write"}),
        ([], None),
        ("", None),
        (None, None),
        (7, None),
        ({"read": True}, None),
    ],
)
def test_scope(value: object, scopes: set[str] | None) -> None:
    assert parse({"scope": value}).scope == scopes


def test_scope_with_another_separator() -> None:
    assert parse_scope("read,write, admin", ",") == {"read", "write", "admin"}
    assert parse({"scope": "a,b"}, scope_separator=",").scope == {"a", "b"}
    assert parse({"scope": "a,b"}, granted_scope_separator=",").scope == {"a", "b"}
    assert parse({"scope": "a,b"}).scope == {"a,b"}


@pytest.mark.parametrize("value", [None, "", " ", 7, {"a": 1}, []])
def test_no_access_token_is_no_token_response(value: object) -> None:
    with pytest.raises(InvalidTokenResponse, match="token_endpoint") as caught:
        parse({"access_token": value, "refresh_token": "rt-secret"})
    assert caught.value.provider == "acme"
    assert "rt-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "token_type"),
    [
        ("bearer", "Bearer"),
        ("BEARER", "Bearer"),
        (None, "Bearer"),
        ("", "Bearer"),
        ("DPoP", "DPoP"),
    ],
)
def test_token_type(value: object, token_type: str) -> None:
    assert parse({"token_type": value}).token_type == token_type


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        ({"refresh_token_expires_in": 15897600}, 15897600),
        ({"refresh_expires_in": "1800"}, 1800),
        ({"refresh_expires_in": 0}, None),
        ({"refresh_token": "new"}, 77),
        # The known end of the one that stays in use is not moved.
        ({}, None),
    ],
)
def test_refresh_token_lifetime(response: dict[str, Any], seconds: float | None) -> None:
    assert parse(response, refresh_token_lifetime=77).refresh_token_expires_in == seconds


def test_a_token_in_a_nested_object_is_found() -> None:
    body = {"ok": True, "authed_user": {"access_token": "xoxp", "scope": "a,b"}, "access_token": ""}
    tokens = parse(body, token_path="authed_user", scope_separator=",")
    assert (tokens.access_token, tokens.scope) == ("xoxp", {"a", "b"})


def test_only_named_metadata_is_kept() -> None:
    body = {"instance_url": "https://na1.example", "junk": "x", "team": {"id": "T1"}}
    tokens = parse(body, metadata_fields=("instance_url", "team.id", "absent"))
    assert tokens.extra == {"instance_url": "https://na1.example", "team.id": "T1"}


def test_a_token_set_shows_no_token() -> None:
    tokens = parse(
        {"refresh_token": "rt-secret", "id_token": "id-secret", "access_token": "at-secret"}
    )
    assert "secret" not in repr(tokens)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            [
                "refresh_token",
                "expires_in",
                "refresh_token_expires_in",
                "scope",
                "token_type",
                "id_token",
            ],
            json_values,
        ),
    )
)
def test_no_spelling_of_a_field_breaks_the_parser(response: dict[str, Any]) -> None:
    tokens = parse(response)
    assert tokens.access_token == "at"
    assert tokens.expires_in is not None
    assert 0 < tokens.expires_in <= MAX_LIFETIME


@given(json_values)
def test_seconds_are_a_sane_number_or_nothing(value: object) -> None:
    seconds = parse_seconds(value)
    assert seconds is None or 0 <= seconds <= MAX_LIFETIME


DINGTALK = {
    "token_fields": {
        "access_token": "accessToken",
        "refresh_token": "refreshToken",
        "expires_in": "expireIn",
    }
}


def test_fields_under_the_providers_own_names() -> None:
    provider = Provider(name="dingtalk", client_id="client", **DINGTALK)
    token_set = provider.parse_token_response(
        {"accessToken": "a", "refreshToken": "r", "expireIn": 7200, "access_token": "no"}
    )
    assert (token_set.access_token, token_set.refresh_token) == ("a", "r")
    assert token_set.expires_in == 7200
    with pytest.raises(InvalidTokenResponse, match="token_fields"):
        provider.parse_token_response({"access_token": "at"})


def test_fields_within_a_nested_object() -> None:
    provider = Provider(
        name="acme",
        client_id="client",
        token_path="result.0",
        token_fields={"access_token": "key.value"},
        metadata_fields=("shop.id", "missing"),
    )
    token_set = provider.parse_token_response(
        {"result": [{"key": {"value": "a"}, "expires_in": 60}], "shop": {"id": 4}}
    )
    assert (token_set.access_token, token_set.expires_in) == ("a", 60)
    assert token_set.extra == {"shop.id": 4}


def test_the_refresh_tokens_own_lifetime() -> None:
    quickbooks = {"refresh_token_expires_in": "x_refresh_token_expires_in"}
    token_set = parse(
        {"refresh_token": "r", "x_refresh_token_expires_in": 8726400, "refresh_expires_in": 1},
        token_fields=quickbooks,
    )
    assert token_set.refresh_token_expires_in == 8726400
    assert parse({"refresh_expires_in": 1800}).refresh_token_expires_in == 1800
    assert parse({"refresh_expires_in": 0}).refresh_token_expires_in is None
    assert parse({"refresh_token": "r"}, refresh_token_lifetime=9).refresh_token_expires_in == 9
    assert parse({}, refresh_token_lifetime=9).refresh_token_expires_in is None


@pytest.mark.parametrize(
    ("unit", "value", "seconds"),
    [
        ("ms", 3600_000, 3600),
        ("ms", "7200000", 7200),
        ("ms", 0, 1800),
        ("timestamp", 1_800_003_600, 3600),
        ("timestamp", "1800003600", 3600),
        ("timestamp_ms", 1_800_003_600_000, 3600),
        ("datetime", "2027-01-15T09:00:00Z", 3600),
        ("datetime", "2027-01-15T10:00:00+01:00", 3600),
        ("datetime", "2027-01-15T09:00:00", 3600),
        ("timestamp", 1_700_000_000, 1),
        ("datetime", "2020-01-01T00:00:00Z", 1),
        ("datetime", "tomorrow", 1800),
        ("datetime", 3600, 1800),
        ("timestamp", None, 1800),
        ("timestamp_ms", "x", 1800),
        ("timestamp", 1e300, MAX_LIFETIME),
    ],
)
def test_lifetimes_in_other_units(
    monkeypatch: pytest.MonkeyPatch, unit: str, value: object, seconds: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    assert parse({"expires_in": value}, expires_in_unit=unit).expires_in == seconds


def test_the_refresh_tokens_lifetime_has_the_same_unit() -> None:
    given = {"refresh_token": "r", "refresh_token_expires_in": 60_000}
    assert parse(given, expires_in_unit="ms").refresh_token_expires_in == 60


def test_a_token_type_that_is_none() -> None:
    assert parse({"token_type": "User Access Token"}, token_type="Bearer").token_type == "Bearer"
    assert parse({"token_type": "user"}, token_type="bearer").token_type == "Bearer"


def test_an_access_token_that_serves_as_refresh_token() -> None:
    token_set = parse({"expires_in": 5184000, "refresh_token": "no"}, refresh_with="access_token")
    assert token_set.refresh_token == "at"
    assert token_set.refresh_token_expires_in == 5184000
    for_ever = parse({}, refresh_with="access_token", default_expires_in=None)
    assert (for_ever.expires_in, for_ever.refresh_token_expires_in) == (None, None)
