"""Endpoints out of the issuer's metadata (RFC 8414; OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oauth_tokens.exceptions import ProviderMisconfigured, ProviderUnavailable
from oauth_tokens.providers import discovery
from oauth_tokens.providers.registry import resolve_provider
from tests.support.recorder import Recorder

Configure = Callable[..., None]
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


@pytest.fixture
def issuer(configure: Configure) -> Iterator[Recorder]:
    recorder = Recorder()
    configure(PROVIDERS={"acme": {"issuer": recorder.url, "client_id": "c", "client_secret": "s"}})
    recorder.answers[OPENID] = metadata(recorder)
    yield recorder
    recorder.stop()


def metadata(server: Recorder, **changes: Any) -> dict[str, Any]:
    return {
        "issuer": server.url,
        "authorization_endpoint": f"{server.url}/authorize",
        "token_endpoint": f"{server.url}/token",
        **changes,
    }


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the monotonic clock jump."""
    real, passed = time.monotonic, [0.0]
    monkeypatch.setattr(discovery.time, "monotonic", lambda: real() + passed[0])

    def jump(seconds: float) -> None:
        passed[0] += seconds

    return jump


def test_metadata_is_asked_for_once_a_day(issuer: Recorder, later: Callable[[float], None]) -> None:
    for _ in range(3):
        assert resolve_provider("acme").token_endpoint == f"{issuer.url}/token"
    assert len(issuer.sent) == 1
    issuer.answers[OPENID] = metadata(issuer, token_endpoint=f"{issuer.url}/moved")
    later(discovery.FRESH_FOR + 1)
    assert resolve_provider("acme").token_endpoint == f"{issuer.url}/moved"
    assert len(issuer.sent) == 2


@pytest.mark.parametrize(
    "failure",
    [
        (500, {}),
        (200, []),
        (200, {"issuer": "https://evil.example", "token_endpoint": "https://evil.example/t"}),
    ],
)
def test_while_the_issuer_fails_the_last_known_metadata_serves(
    issuer: Recorder, later: Callable[[float], None], failure: object
) -> None:
    known = resolve_provider("acme").token_endpoint
    issuer.answers[OPENID] = failure
    later(discovery.FRESH_FOR + 1)
    for _ in range(3):
        assert resolve_provider("acme").token_endpoint == known
    assert len(issuer.of(OPENID)) == 2
    issuer.answers[OPENID] = metadata(issuer, token_endpoint=f"{issuer.url}/moved")
    later(discovery.RETRY_AFTER + 1)
    assert resolve_provider("acme").token_endpoint == f"{issuer.url}/moved"


def test_an_issuer_that_was_never_reached_is_asked_again_soon_but_not_each_time(
    issuer: Recorder, later: Callable[[float], None]
) -> None:
    issuer.answers.clear()
    for _ in range(3):
        with pytest.raises(ProviderUnavailable, match=issuer.url) as caught:
            resolve_provider("acme")
        assert 0 < (caught.value.retry_after or 0) <= discovery.RETRY_AFTER
    assert [sent.path for sent in issuer.sent] == [OPENID, OAUTH]
    issuer.answers[OAUTH] = metadata(issuer)
    later(discovery.RETRY_AFTER + 1)
    assert resolve_provider("acme").token_endpoint == f"{issuer.url}/token"


def test_an_issuer_with_a_path_has_its_metadata_in_two_places(
    issuer: Recorder, configure: Configure
) -> None:
    path = "/tenant/7"
    configure(PROVIDERS={"acme": {"issuer": issuer.url + path, "client_id": "c"}})
    issuer.answers[OAUTH + path] = metadata(issuer, issuer=issuer.url + path)
    assert resolve_provider("acme").token_endpoint == f"{issuer.url}/token"
    assert [sent.path for sent in issuer.sent] == [path + OPENID, OAUTH + path]


@pytest.mark.parametrize("said", ["https://evil.example", None, 7, "with/"])
def test_metadata_of_another_issuer(issuer: Recorder, said: object) -> None:
    named = f"{issuer.url}/" if said == "with/" else said
    issuer.answers[OPENID] = metadata(issuer, issuer=named)
    with pytest.raises(ProviderMisconfigured, match="exactly") as caught:
        resolve_provider("acme")
    assert caught.value.code == "issuer_mismatch"


@pytest.mark.parametrize("key", ["token_endpoint", "introspection_endpoint", "jwks_uri"])
def test_an_endpoint_in_the_open(issuer: Recorder, key: str) -> None:
    issuer.answers[OPENID] = metadata(issuer, **{key: "http://acme.example/x"})
    with pytest.raises(ProviderMisconfigured, match=f"{key} that is not https"):
        resolve_provider("acme")


def test_everything_that_metadata_tells(issuer: Recorder) -> None:
    told = {
        "revocation_endpoint": f"{issuer.url}/revoke",
        "introspection_endpoint": f"{issuer.url}/introspect",
        "userinfo_endpoint": f"{issuer.url}/userinfo",
        "jwks_uri": f"{issuer.url}/jwks",
        "scopes_supported": ["openid", 7, "email"],
        "code_challenge_methods_supported": ["plain"],
        "authorization_response_iss_parameter_supported": True,
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }
    issuer.answers[OPENID] = metadata(issuer, **told)
    provider = resolve_provider("acme")
    for key, value in told.items():
        if key.endswith(("_endpoint", "_uri")):
            assert getattr(provider, key) == value
    assert provider.scopes_supported == ("openid", "email")
    assert provider.code_challenge_method == "plain"
    assert provider.authorization_response_iss_parameter_supported is True
    assert provider.auth_method == "client_secret_post"


def test_what_the_settings_say_counts_more(issuer: Recorder, configure: Configure) -> None:
    configure(
        acme={
            "token_endpoint": f"{issuer.url}/mine",
            "token_endpoint_auth_method": "client_secret_basic",
            "code_challenge_methods_supported": ["S256"],
        }
    )
    issuer.answers[OPENID] = metadata(
        issuer,
        token_endpoint_auth_methods_supported=["client_secret_post"],
        code_challenge_methods_supported=["plain"],
    )
    provider = resolve_provider("acme")
    assert provider.token_endpoint == f"{issuer.url}/mine"
    assert provider.auth_method == "client_secret_basic"
    assert provider.code_challenge_method == "S256"


@pytest.mark.parametrize(
    "odd",
    [
        {"scopes_supported": "openid"},
        {"code_challenge_methods_supported": None},
        {"authorization_response_iss_parameter_supported": "false"},
        {"token_endpoint_auth_methods_supported": 7},
        {"revocation_endpoint": ""},
    ],
)
def test_odd_metadata_is_as_good_as_none(issuer: Recorder, odd: dict[str, object]) -> None:
    issuer.answers[OPENID] = metadata(issuer, **odd)
    provider = resolve_provider("acme")
    assert provider.scopes_supported == ()
    assert provider.code_challenge_method == "S256"
    assert provider.authorization_response_iss_parameter_supported is False
    assert provider.auth_method == "client_secret_basic"


def test_metadata_of_so_many_issuers_is_kept_and_no_more(
    issuer: Recorder, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "MAX_KNOWN", 2)
    configure(
        PROVIDERS={
            "acme": {
                "issuer": f"{issuer.url}/{{tenant}}",
                "client_id": "c",
                "url_variables": ["tenant"],
            }
        }
    )
    for tenant in ("a", "b", "c", "c", "a"):
        issuer.answers[f"/{tenant}{OPENID}"] = metadata(issuer, issuer=f"{issuer.url}/{tenant}")
        assert resolve_provider("acme", variables={"tenant": tenant}).issuer.endswith(tenant)
    assert [sent.path[1] for sent in issuer.sent] == ["a", "b", "c", "a"]
    assert len(discovery._known) == 2
