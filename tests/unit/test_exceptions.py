from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from django.test import override_settings

from oauth_tokens import exceptions
from oauth_tokens.exceptions import (
    REAUTHENTICATION_CODES,
    DecryptionError,
    InsufficientScope,
    InvalidTokenResponse,
    OAuthTokenError,
    ProviderMisconfigured,
    ProviderUnavailable,
    ReauthenticationRequired,
    RefreshFailed,
    RefreshTimeout,
    TokenNotConnected,
)

ALL = [
    value
    for value in vars(exceptions).values()
    if isinstance(value, type)
    and issubclass(value, OAuthTokenError)
    and not value.__name__.startswith("_")
]


def test_the_tree() -> None:
    assert {kind.__name__ for kind in ALL} == {
        "OAuthTokenError",
        "TokenNotConnected",
        "ReauthenticationRequired",
        "InsufficientScope",
        "RefreshFailed",
        "RefreshTimeout",
        "ProviderUnavailable",
        "ProviderMisconfigured",
        "InvalidTokenResponse",
        "DecryptionError",
    }
    assert issubclass(RefreshTimeout, RefreshFailed)
    assert issubclass(ProviderUnavailable, RefreshFailed)
    assert not issubclass(ProviderMisconfigured, RefreshFailed)


@pytest.mark.parametrize("kind", ALL)
def test_each_has_code_provider_and_retryable(kind: type[OAuthTokenError]) -> None:
    error = kind("words", provider="acme")
    assert error.code
    assert error.provider == "acme"
    assert error.retryable is issubclass(kind, RefreshFailed)
    assert kind("words", code="other").code == "other"
    assert (
        f"|- {kind.__name__}" in str(exceptions.__doc__)
        or kind is OAuthTokenError
        or (f"`- {kind.__name__}" in str(exceptions.__doc__))
    )


def through_pickle(error: OAuthTokenError) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301


@pytest.mark.parametrize(
    "error",
    [
        TokenNotConnected("words", provider="acme"),
        ReauthenticationRequired("words", code="outcome_unknown", provider="acme"),
        InsufficientScope("words", missing={"a", "b"}, provider="acme"),
        RefreshFailed("words", retry_after=7.5, provider="acme"),
        InvalidTokenResponse("words"),
        DecryptionError("words"),
    ],
)
@pytest.mark.parametrize("way", [copy.copy, through_pickle])
def test_errors_travel_between_processes(error: OAuthTokenError, way: Any) -> None:
    twin = way(error)
    assert type(twin) is type(error)
    assert (str(twin), vars(twin)) == (str(error), vars(error))
    assert twin.connect_url == error.connect_url


def test_connect_url_leads_to_the_page_that_mends_it() -> None:
    assert TokenNotConnected(provider="acme").connect_url == "/oauth/acme/connect/"
    assert TokenNotConnected().connect_url == "/oauth/"
    assert ReauthenticationRequired(provider="acme").connect_url == "/oauth/acme/connect/"
    scope = InsufficientScope(missing={"b", "a&c"}, provider="acme").connect_url
    signature = exceptions.scope_signature("acme", "a&c b")
    assert scope == f"/oauth/acme/connect/?scope=a%26c+b&signature={signature}"
    assert ProviderMisconfigured(provider="acme").connect_url is None
    assert RefreshFailed(provider="acme").connect_url is None


@override_settings(ROOT_URLCONF="tests.unit.test_exceptions")
def test_without_the_apps_urls_there_is_no_connect_url() -> None:
    assert TokenNotConnected(provider="acme").connect_url is None


urlpatterns: list[Any] = []


def test_the_reasons_for_reauthentication() -> None:
    assert set(REAUTHENTICATION_CODES) == {
        "refresh_token_expired",
        "refresh_token_invalid",
        "no_refresh_token",
        "outcome_unknown",
        "refresh_exhausted",
        "undecryptable",
        "provider_reported",
    }
    assert all(REAUTHENTICATION_CODES.values())
