"""What one provider alone does, each in a test of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from requests.structures import CaseInsensitiveDict

from oauth_tokens.exceptions import ProviderMisconfigured
from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.registry import get_provider, resolve_provider
from oauth_tokens.providers.wire import Answer, Meaning, Response
from oauth_tokens.token_set import TokenSet
from tests.contract.dialect import CLIENT_SECRET, DIALECTS

DAY = 86400
TOKEN = {"access_token": "ACCESS-1", "token_type": "Bearer"}


@pytest.fixture
def of(configure: Callable[..., None]) -> Callable[..., Provider]:
    """The provider of a preset, at the addresses that ``variables`` make."""

    def provider(preset: str, **variables: str) -> Provider:
        dialect = DIALECTS[preset]
        configure(PROVIDERS={preset: dialect.description()})
        if dialect.metadata:
            return get_provider(preset)
        return resolve_provider(preset, variables=variables or dialect.variables)

    return provider


Of = Callable[..., Provider]


def answer(provider: Provider, status: int, body: Any, **headers: str) -> Answer:
    content = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Response(status, CaseInsensitiveDict(named), content.encode())
    return provider.classify(response, secrets=("REFRESH-1",))


def tokens(provider: Provider, body: Any, **headers: str) -> TokenSet:
    found = answer(provider, 200, body, **headers)
    assert found.meaning is Meaning.SUCCESS
    assert found.token_set is not None
    return found.token_set


def test_google_wants_the_user_again_for_workspaces_that_limit_sessions(of: Of) -> None:
    body = {"error": "invalid_grant", "error_subtype": "invalid_rapt"}
    assert answer(of("google"), 400, body).meaning is Meaning.DEAD_GRANT
    odd = {"error": "rapt_required", "error_subtype": "invalid_rapt"}
    assert answer(of("google"), 400, odd).meaning is Meaning.DEAD_GRANT


def test_google_gives_a_weeks_refresh_token_while_an_app_is_in_testing(of: Of) -> None:
    week = {**TOKEN, "refresh_token": "REFRESH-1", "refresh_token_expires_in": 604799}
    assert tokens(of("google"), week).refresh_token_expires_in == 604799


@pytest.mark.parametrize("code", [70043, 50173, 700082])
def test_microsoft_says_with_aadsts_why_a_grant_is_dead(of: Of, code: int) -> None:
    body = {"error": "invalid_grant", "error_codes": [code], "suberror": "bad_token"}
    assert answer(of("microsoft"), 400, body).meaning is Meaning.DEAD_GRANT


def test_microsoft_asks_for_the_user_by_other_names_too(of: Of) -> None:
    body = {"error": "interaction_required", "error_codes": [50076]}
    assert answer(of("microsoft"), 400, body).meaning is Meaning.DEAD_GRANT


def test_microsoft_has_addresses_for_each_tenant(of: Of) -> None:
    provider = of("microsoft", tenant="8eaef023-2b34-4da1-9baa-8bc8c9d6a490")
    path = urlsplit(provider.token_endpoint).path
    assert path == "/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/oauth2/v2.0/token"


def test_keycloaks_offline_tokens_have_no_end(of: Of) -> None:
    provider = of("keycloak")
    body = {**TOKEN, "expires_in": 300, "refresh_token": "REFRESH-1", "refresh_expires_in": 0}
    assert tokens(provider, body).refresh_token_expires_in is None
    assert provider.refresh_policy == "on_demand"


def test_github_answers_form_encoded_unless_told_otherwise(of: Of) -> None:
    form = "access_token=ACCESS-1&expires_in=28800&refresh_token=REFRESH-2&token_type=bearer"
    found = tokens(of("github"), form, Content_Type="application/x-www-form-urlencoded")
    assert (found.expires_in, found.refresh_token) == (28800, "REFRESH-2")


def test_tokens_of_github_oauth_apps_do_not_expire(of: Of) -> None:
    body = {"access_token": "gho_x", "scope": "repo,gist", "token_type": "bearer"}
    found = tokens(of("github"), body)
    assert (found.expires_in, found.refresh_token) == (None, None)


def test_slacks_bot_token_is_not_nested(of: Of) -> None:
    body = {"ok": True, "token_type": "bot", "authed_user": {"id": "U1"}, **TOKEN}
    assert tokens(of("slack"), body).access_token == "ACCESS-1"


def test_slacks_tokens_without_rotation_do_not_expire(of: Of) -> None:
    body = {"ok": True, "authed_user": {"id": "U1", "access_token": "xoxp", "token_type": "user"}}
    found = tokens(of("slack"), body)
    assert (found.access_token, found.expires_in, found.token_type) == ("xoxp", None, "Bearer")


def test_slack_hides_outages_and_limits_behind_200(of: Of) -> None:
    for code in ("ratelimited", "internal_error"):
        found = answer(of("slack"), 200, {"ok": False, "error": code})
        assert found.meaning is Meaning.TRANSIENT


def test_salesforces_inactive_users_are_no_outage(of: Of) -> None:
    body = {"error": "inactive_user", "error_description": "user is inactive"}
    assert answer(of("salesforce"), 400, body).meaning is Meaning.DEAD_GRANT


def test_salesforce_has_sandboxes_and_domains_of_ones_own(of: Of) -> None:
    for domain in ("test", "acme.my", "acme--dev.sandbox.my"):
        host = urlsplit(of("salesforce", domain=domain).token_endpoint).hostname
        assert host == f"{domain}.salesforce.com"


@pytest.mark.parametrize(
    ("preset", "variable", "value"),
    [
        ("salesforce", "domain", "evil.example/"),
        ("salesforce", "domain", "evil.example#"),
        ("shopify", "shop", "evil.example:443/x"),
        ("shopify", "shop", "user@evil"),
        ("zendesk", "subdomain", "evil.example?"),
        ("zoho", "tld", "evil.example"),
        ("microsoft", "tenant", "../../evil"),
    ],
)
def test_no_user_points_the_server_elsewhere(
    of: Of, preset: str, variable: str, value: str
) -> None:
    with pytest.raises(ProviderMisconfigured):
        of(preset, **{variable: value})


def test_facebook_may_leave_the_expiry_out(of: Of) -> None:
    assert tokens(of("facebook"), TOKEN).expires_in == 60 * DAY


def test_facebooks_own_troubles_are_no_verdict(of: Of) -> None:
    error = {"message": "Service temporarily unavailable", "type": "OAuthException", "code": 2}
    assert answer(of("facebook"), 400, {"error": error}).meaning is Meaning.TRANSIENT


@pytest.mark.parametrize("preset", ["instagram", "threads"])
def test_a_secret_never_gets_into_the_address_of_a_renewal(of: Of, preset: str) -> None:
    request = of(preset).refresh_request(refresh_token="ACCESS-1")
    assert (request.method, request.body) == ("GET", None)
    assert CLIENT_SECRET not in request.url
    assert "client_secret" not in request.url


def test_instagram_is_documented_to_nest_its_first_answer(of: Of) -> None:
    body = {"data": [{"access_token": "SHORT", "user_id": "1", "permissions": "a,b"}]}
    found = tokens(of("instagram"), body)
    assert (found.access_token, found.scope) == ("SHORT", {"a", "b"})


def test_linkedins_refresh_token_is_never_extended(of: Of) -> None:
    body = {**TOKEN, "refresh_token": "REFRESH-1", "refresh_token_expires_in": 439200}
    assert tokens(of("linkedin"), body).refresh_token_expires_in == 439200


def test_hubspots_account_may_be_gone(of: Of) -> None:
    body = {"status": "BAD_HUB", "message": "hub does not exist", "error": "invalid_request"}
    assert answer(of("hubspot"), 400, body).meaning is Meaning.DEAD_GRANT


def test_hubspots_other_invalid_requests_are_the_operators(of: Of) -> None:
    body = {"status": "BAD_GRANT_TYPE", "error": "invalid_request"}
    assert answer(of("hubspot"), 400, body).meaning is Meaning.OPERATOR_ERROR


def test_reddit_is_told_who_asks(of: Of) -> None:
    request = of("reddit").refresh_request(refresh_token="REFRESH-1")
    assert request.headers["User-Agent"] == "web:django-user-oauth-tokens:0.1"


def test_atlassians_api_may_answer_403_for_a_dead_token(of: Of) -> None:
    assert set(of("atlassian").unauthorized_statuses) == {401, 403}


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, "invalid_request"), (400, "invalid_request"), (400, "invalid_grant")],
)
def test_zoom_has_changed_its_words_for_a_dead_grant(of: Of, status: int, error: str) -> None:
    body = {"reason": "Invalid Token!", "error": error}
    assert answer(of("zoom"), status, body).meaning is Meaning.DEAD_GRANT


def test_zooms_other_invalid_requests_are_the_operators(of: Of) -> None:
    body = {"reason": "Missing grant type", "error": "invalid_request"}
    assert answer(of("zoom"), 400, body).meaning is Meaning.OPERATOR_ERROR


def test_quickbooks_tells_the_company_in_the_redirect(of: Of) -> None:
    provider = of("quickbooks")
    assert "realmId" in provider.metadata_fields
    assert provider.account_id_from == "redirect.realmId"


def test_the_older_tiktok_nests_its_answers(of: Of) -> None:
    body = {"data": {**TOKEN, "open_id": "o", "expires_in": 86400}, "message": "success"}
    assert tokens(of("tiktok"), body).access_token == "ACCESS-1"
    failed = {"data": {"error_code": 10010, "description": "expired"}, "message": "error"}
    assert answer(of("tiktok"), 200, failed).code == "10010"


def test_vk_wants_the_device_with_each_request(of: Of) -> None:
    provider = of("vk")
    known = {"device_id": "d-1"}
    request = provider.refresh_request(refresh_token="REFRESH-1", known=known)
    assert "device_id=d-1" in str(request.body)
    assert "client_secret" not in str(request.body)


def test_mailchimps_zero_means_never_and_its_scope_is_null(of: Of) -> None:
    found = tokens(of("mailchimp"), {"access_token": "x-us6", "expires_in": 0, "scope": None})
    assert (found.expires_in, found.scope) == (None, None)


def test_a_refresh_token_that_an_error_repeats_is_cut_out(of: Of) -> None:
    body = {"error": "invalid_grant", "error_description": "Refresh token invalid: REFRESH-1."}
    found = answer(of("google"), 400, body)
    assert found.meaning is Meaning.DEAD_GRANT
    assert "REFRESH-1" not in repr(found)


def test_ebays_user_access_token_is_a_bearer_token(of: Of) -> None:
    body = {**TOKEN, "token_type": "User Access Token", "expires_in": 7200}
    assert tokens(of("ebay"), body).token_type == "Bearer"


def test_dingtalk_writes_camel_case(of: Of) -> None:
    body = {"accessToken": "ACCESS-1", "refreshToken": "REFRESH-1", "expireIn": 7200}
    found = tokens(of("dingtalk"), body)
    assert (found.refresh_token, found.expires_in) == ("REFRESH-1", 7200)


def test_dingtalk_calls_its_errors_code(of: Of) -> None:
    body = {"code": "invalidParameter.authCode.notFound", "message": "no such code"}
    assert answer(of("dingtalk"), 400, body).code == "invalidParameter.authCode.notFound"


def test_salesforce_has_a_word_of_its_own_for_an_unknown_client(of: Of) -> None:
    body = {"error": "invalid_client_id", "error_description": "client identifier invalid"}
    assert answer(of("salesforce"), 400, body).meaning is Meaning.OPERATOR_ERROR


def test_squares_expiry_is_a_date(of: Of) -> None:
    found = tokens(of("square"), {**TOKEN, "expires_at": "2999-01-01T00:00:00Z"})
    assert found.expires_in is not None
    assert found.expires_in > 365 * DAY


def test_twitchs_scopes_are_a_list(of: Of) -> None:
    found = tokens(of("twitch"), {**TOKEN, "expires_in": 14124, "scope": ["a:b", "c:d"]})
    assert found.scope == {"a:b", "c:d"}


def test_withings_says_503_in_the_body_for_what_is_none(of: Of) -> None:
    dead = {"status": 503, "body": {}, "error": "Invalid Params: invalid refresh_token"}
    assert answer(of("withings"), 200, dead).meaning is Meaning.DEAD_GRANT
    busy = {"status": 601, "body": {}, "error": "Too Many Requests"}
    assert answer(of("withings"), 200, busy).meaning is Meaning.TRANSIENT


def test_paypals_seconds_are_text(of: Of) -> None:
    assert tokens(of("paypal"), {**TOKEN, "expires_in": "28800"}).expires_in == 28800


def test_squares_errors_have_a_type_and_words(of: Of) -> None:
    secret = {"message": "Not Authorized", "type": "service.not_authorized"}
    assert answer(of("square"), 401, secret).meaning is Meaning.OPERATOR_ERROR
    other = {"message": "Something else", "type": "service.not_authorized"}
    assert answer(of("square"), 401, other).code == "service.not_authorized"
    assert answer(of("square"), 401, other).meaning is Meaning.TRANSIENT


def test_canva_calls_a_wrong_secret_an_invalid_access_token(of: Of) -> None:
    body = {"code": "invalid_access_token", "message": "Client secret is invalid for OC-1"}
    assert answer(of("canva"), 401, body).meaning is Meaning.OPERATOR_ERROR


def test_fronts_expiry_is_a_moment(of: Of) -> None:
    found = tokens(of("front"), {**TOKEN, "expires_at": 4102444800})
    assert found.expires_in is not None
    assert found.expires_in > 365 * DAY


def test_tokens_of_monday_last_an_hour_though_it_does_not_say_so(of: Of) -> None:
    assert tokens(of("monday"), TOKEN).expires_in == 3600


def test_basecamp_wants_the_redirect_uri_with_a_refresh(configure: Callable[..., None]) -> None:
    own = {"redirect_uris": ["https://site.example/back/"]}
    configure(PROVIDERS={"basecamp": DIALECTS["basecamp"].description(**own)})
    request = get_provider("basecamp").refresh_request(refresh_token="REFRESH-1")
    sent = dict(parse_qsl(str(request.body)))
    assert (sent["redirect_uri"], sent["type"]) == ("https://site.example/back/", "refresh")
