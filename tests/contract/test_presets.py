"""What every preset has to stand: each test runs for each of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import fields
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.checking import provider_problems
from oauth_tokens.providers.presets import PRESETS, facts
from oauth_tokens.providers.wire import Meaning, Request
from tests.contract.conftest import Site
from tests.contract.dialect import (
    CLIENT_ID,
    CODE,
    DIALECTS,
    REFRESHING,
    VERIFIER,
    Dialect,
    merged,
)
from tests.contract.stand_in import WRONG_SECRET, Conversation, Received

every_preset = pytest.mark.parametrize("preset", DIALECTS)
every_refreshing_preset = pytest.mark.parametrize("preset", REFRESHING)


def of(attribute: str) -> pytest.MarkDecorator:
    """The presets of whose provider something is known."""
    names = [name for name, dialect in DIALECTS.items() if getattr(dialect, attribute)]
    return pytest.mark.parametrize("preset", names)


def same(received: dict[str, str], expected: dict[str, str]) -> bool:
    return received.keys() == expected.keys() and all(
        value in ("*", received[key]) for key, value in expected.items()
    )


def test_each_preset_has_a_dialect_and_each_dialect_a_preset() -> None:
    assert set(DIALECTS) == set(PRESETS)
    assert len(PRESETS) >= 40


@every_preset
def test_it_is_dated_and_says_where_its_facts_are_from(preset: str) -> None:
    about = facts()[preset]
    assert time.strptime(about["dated"], "%Y-%m")
    assert about["service_documentation"].startswith("https://")
    assert about["label"]
    assert about["about"].endswith(".")
    seen = DIALECTS[preset].lifetime
    assert about.get("access_token_lifetime") == (seen and pytest.approx(seen, rel=0.1))


@every_preset
def test_what_its_documentation_leaves_out_was_seen_or_is_by_the_book(
    preset: str, dialect: Dialect
) -> None:
    assert {*dialect.assumed, *dialect.seen} <= {"dead", "wrong_client"}
    assert not {*dialect.assumed} & {*dialect.seen}
    assert set(facts()[preset].get("assumed", ())) == {*dialect.assumed}
    assert all(where.startswith("https://") for where in dialect.seen.values())
    for name, code in {"dead": "invalid_grant", "wrong_client": "invalid_client"}.items():
        if name in dialect.assumed:
            answered = json.loads(getattr(dialect, name)[1])
            assert code in answered.values()


@every_preset
def test_client_credentials_are_all_it_needs(preset: str, dialect: Dialect) -> None:
    """Beside an issuer, where each tenant has one, and a redirect_uri, where it is a name."""
    assert [p.message for p in provider_problems(preset, dialect.description())] == []
    assert set(dialect.settings) <= {"issuer", "redirect_uris"}


@every_preset
def test_the_authorization_url(preset: str, dialect: Dialect, site: Site) -> None:
    url = site.provider.authorization_url(
        redirect_uri=dialect.redirect_uri,
        state="the-state",
        scope=["one", "two"],
        code_verifier=VERIFIER if site.provider.pkce else None,
    )
    address, _, query = url.partition("?")
    assert address == dialect.authorize
    params = {key: "".join(values) for key, values in parse_qs(query).items()}
    assert site.provider.pkce == dialect.pkce
    if dialect.pkce:
        assert params.pop("code_challenge_method") == "S256"
        assert len(params.pop("code_challenge")) == 43
    assert params == merged(
        {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": dialect.redirect_uri,
            "state": "the-state",
            dialect.scope_name: dialect.scope,
        },
        dialect.asks,
    )
    assert urlsplit(url).fragment == ""


@every_preset
def test_a_code_is_exchanged(
    preset: str, dialect: Dialect, site: Site, conversation: Conversation
) -> None:
    verifier = VERIFIER if dialect.pkce else None
    answer = site.ask(
        site.provider.exchange_request(
            code=CODE,
            redirect_uri=dialect.redirect_uri,
            code_verifier=verifier,
            known={**dialect.redirect, "url_variables": dialect.variables},
        )
    )
    if dialect.short:
        assert answer.token_set is not None
        request = site.provider.long_lived_request(access_token=answer.token_set.access_token)
        assert request is not None
        answer = site.ask(request)
        expected_long = dialect.expected(dialect.long_lived)
        assert same(conversation.token_requests[-1].params, expected_long)
    received = conversation.token_requests[0]
    assert_sent(dialect, received, "POST", dialect.token)
    code = {"grant_type": "authorization_code", "code": CODE, "redirect_uri": dialect.redirect_uri}
    proof = {"code_verifier": verifier} if verifier else {}
    assert same(received.params, dialect.expected(code, proof, dialect.exchange))

    assert answer.meaning is Meaning.SUCCESS
    tokens = answer.token_set
    assert tokens is not None
    assert tokens.access_token.endswith("ACCESS-1")
    assert tokens.refresh_token == ((dialect.refreshed and paid_with(dialect, 1)) or None)
    assert tokens.token_type == "Bearer"
    assert tokens.expires_in == pytest.approx(dialect.lifetime, abs=30)
    if dialect.renews == "refresh_token":
        assert tokens.refresh_token_expires_in == dialect.refresh_lifetime
    assert tokens.scope == (dialect.scopes and set(dialect.scopes))
    assert {key: tokens.extra.get(key) for key in dialect.kept} == dialect.kept


@every_refreshing_preset
def test_a_refresh(preset: str, dialect: Dialect, site: Site, conversation: Conversation) -> None:
    first = paid_with(dialect, 1)
    conversation.live = {first}
    answer = site.ask(refresh(dialect, site, first))
    received = conversation.token_requests[-1]
    assert_sent(dialect, received, dialect.refresh_method, dialect.refresh_at or dialect.token)
    standard = {"grant_type": "refresh_token", "refresh_token": "REFRESH-1"}
    assert same(received.params, dialect.expected(standard, dialect.refresh))
    assert answer.meaning is Meaning.SUCCESS
    assert answer.token_set is not None
    assert answer.token_set.access_token.endswith("ACCESS-2")
    second = answer.token_set.refresh_token
    if dialect.renews == "access_token":
        assert second == "ACCESS-2"
    else:
        # None keeps the first one in use.
        in_answer = [t for t in ("REFRESH-1", "REFRESH-2") if f'"{t}"' in dialect.refreshed]
        assert second == next(iter(in_answer), None)


@every_refreshing_preset
def test_an_old_refresh_token_is_worth_what_the_preset_says(
    preset: str, dialect: Dialect, site: Site, conversation: Conversation
) -> None:
    assert site.provider.refresh_token_rotation == dialect.rotation
    assert (site.provider.rotation_grace > 0) == (dialect.rotation == "grace")
    first = paid_with(dialect, 1)
    conversation.live = {first}
    request = refresh(dialect, site, first)
    assert site.ask(request).meaning is Meaning.SUCCESS
    again = site.ask(request).meaning
    if dialect.rotation == "strict" and dialect.dead:
        assert again is Meaning.DEAD_GRANT
    elif dialect.rotation != "strict":
        assert again is Meaning.SUCCESS


@every_preset
def test_what_ends_a_grant(preset: str, dialect: Dialect, site: Site) -> None:
    idle = site.provider.refresh_token_idle_lifetime
    assert (idle or 0) == dialect.idle_days * 86400
    assert site.provider.revocation_revokes_siblings == dialect.revoking_ends_all


@of("dead")
def test_a_dead_grant_is_recognised(
    preset: str, dialect: Dialect, site: Site, conversation: Conversation
) -> None:
    answer = site.ask(refresh(dialect, site, "REFRESH-0"))
    assert answer.meaning is Meaning.DEAD_GRANT
    assert answer.code
    assert not answer.outage
    assert "REFRESH" not in repr(answer)


@of("wrong_client")
def test_the_operators_mistakes_are_not_the_users(
    preset: str,
    dialect: Dialect,
    conversation: Conversation,
    configure: Callable[..., None],
) -> None:
    configure(PROVIDERS={preset: dialect.description(client_secret=WRONG_SECRET)})
    site = Site(dialect)
    conversation.live = {paid_with(dialect, 1)}
    answer = site.ask(refresh(dialect, site, paid_with(dialect, 1)))
    assert answer.meaning is Meaning.OPERATOR_ERROR
    assert WRONG_SECRET not in repr(answer)


@every_refreshing_preset
def test_a_failing_gateway_says_nothing_about_the_grant(
    preset: str, dialect: Dialect, site: Site, conversation: Conversation
) -> None:
    for status, meaning in {
        502: Meaning.OUTCOME_UNKNOWN,
        503: Meaning.TRANSIENT,
        429: Meaning.TRANSIENT,
        200: Meaning.OUTCOME_UNKNOWN,
    }.items():
        conversation.override = (status, "<html><body>Please try again later.</body></html>")
        assert site.ask(refresh(dialect, site, paid_with(dialect, 1))).meaning is meaning


@every_preset
def test_revocation(preset: str, dialect: Dialect, site: Site, conversation: Conversation) -> None:
    offered = dialect.revoke
    refresh_token = "REFRESH-1" if dialect.refreshed else None
    token, hint = site.provider.token_to_revoke("ACCESS-1", refresh_token)
    request = site.provider.revocation_request(token=token, token_type_hint=hint)
    if not offered:
        assert request is None
        return
    assert request is not None
    site.ask(request)
    received = conversation.received[-1]
    expected = "ACCESS-1" if offered.get("only") == "access_token" else "REFRESH-1"
    own, authorization = dialect.credentials(offered["auth"], expected)
    assert received.method == offered.get("method", "POST")
    assert received.url == offered["url"]
    assert received.headers.get("authorization") == authorization
    assert received.body == offered.get("body", "form")
    params = {key: value for key, value in received.params.items() if key != "token_type_hint"}
    if received.body != "none":
        assert params == merged(own, {"token": expected}, offered.get("params", {}))


@every_preset
def test_it_has_no_field_that_says_what_goes_without_saying(preset: str, dialect: Dialect) -> None:
    defaults = {field.name: field.default for field in fields(Provider)}
    stated = {key: tuple(v) if isinstance(v, list) else v for key, v in PRESETS[preset].items()}
    # These are stated all the same, since each is a question that a reader has.
    asked = {"refresh_token_rotation", "pkce"}
    assert [k for k, v in stated.items() if k not in asked and v == defaults.get(k)] == []


def paid_with(dialect: Dialect, number: int) -> str:
    return f"{'ACCESS' if dialect.renews == 'access_token' else 'REFRESH'}-{number}"


def refresh(dialect: Dialect, site: Site, token: str) -> Request:
    return site.provider.refresh_request(
        refresh_token=token,
        scope=["one", "two"],
        known={**dialect.redirect, "url_variables": dialect.variables},
    )


def assert_sent(dialect: Dialect, received: Received, method: str, url: str) -> None:
    assert (received.method, received.url) == (method, url)
    authorization = dialect.credentials(dialect.auth)[1]
    assert received.headers.get("authorization") == authorization
    assert received.body == (dialect.body if method == "POST" else "none")
    assert received.headers["accept"] == "application/json"
    for name, value in dialect.headers.items():
        assert received.headers[name.lower()] == value
