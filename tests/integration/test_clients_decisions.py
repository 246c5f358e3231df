"""What a refusal means, as real APIs word theirs, and how addresses are joined and compared."""

from __future__ import annotations

import json
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from oauth_tokens.clients.decisions import (
    MAX_ERROR_BODY,
    Refusal,
    allowed_hosts,
    check_url,
    has_telling_body,
    host_of,
    join_url,
    refusal,
)
from oauth_tokens.exceptions import OAuthTokenError

JSON = {"Content-Type": "application/json; charset=utf-8"}


def judged(
    status: int = 401,
    body: Any = None,
    challenge: str = "",
    statuses: tuple[int, ...] = (401,),
    **headers: str,
) -> Refusal:
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
    given = CaseInsensitiveDict({**JSON, **headers})
    if challenge:
        given["www-authenticate"] = challenge
    if not has_telling_body(status, given, statuses):
        content = b""
    return refusal(status, given, content, statuses)


GOOGLE = {
    "error": {
        "code": 401,
        "message": "Request had invalid authentication credentials. Expected OAuth 2 access token, "
        "login cookie or other valid authentication credential.",
        "status": "UNAUTHENTICATED",
    }
}
GOOGLE_OLDER = {
    "error": {
        "errors": [{"domain": "global", "reason": "authError", "message": "Invalid Credentials"}],
        "code": 401,
        "message": "Invalid Credentials",
    }
}
GRAPH = {"error": {"code": "InvalidAuthenticationToken", "message": "Access token has expired."}}
GRAPH_LIFETIME = {
    "error": {
        "code": "InvalidAuthenticationToken",
        "message": "Lifetime validation failed, the token is expired.",
    }
}
HUBSPOT = {
    "status": "error",
    "message": "The OAuth token used to make this call expired 5 minute(s) ago.",
    "category": "EXPIRED_AUTHENTICATION",
}
SALESFORCE = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
DROPBOX = {"error_summary": "expired_access_token/..", "error": {".tag": "expired_access_token"}}
XERO = {"Title": "Unauthorized", "Status": 401, "Detail": "TokenExpired: token expired at 01/01"}
FACEBOOK = {
    "error": {
        "message": "Error validating access token: Session has expired on Monday.",
        "type": "OAuthException",
        "code": 190,
    }
}


@pytest.mark.parametrize(
    "body",
    [
        *(GOOGLE, GOOGLE_OLDER, GRAPH, GRAPH_LIFETIME, HUBSPOT, SALESFORCE, DROPBOX, XERO),
        {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"},
        {"error": {"status": 401, "message": "The access token expired"}},  # Spotify
        {"code": 124, "message": "Invalid access token."},  # Zoom
        {"errors": [{"message": "The bearer token has expired. Refresh it."}]},  # Asana
        {"code": "unauthorized", "message": "API token is invalid."},  # Notion
        {"serviceErrorCode": 65601, "message": "The token used in the request has been revoked"},
        {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"},
        {"error": "invalid_token", "error_description": "The access token is malformed"},
        {"ok": False, "error": "token_revoked"},
    ],
)
def test_a_401_that_names_the_token_is_certain(body: Any) -> None:
    assert judged(401, body) is Refusal.YES


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer error="invalid_token"',
        'Bearer realm="https://accounts.google.com/", error="invalid_token"',
        'bearer realm="a, b", error=invalid_token, error_description="The token expired"',
        'Basic realm="x", Bearer error="invalid_token"',
        'Bearer error="expired_token"',
    ],
)
def test_the_header_comes_first(challenge: str) -> None:
    assert judged(401, {"message": "Wrong password"}, challenge) is Refusal.YES


@pytest.mark.parametrize(
    ("body", "challenge"),
    [
        (None, ""),
        (None, "Bearer"),
        (None, 'Bearer realm="acme", scope="read"'),
        (None, 'OAuth "Acme"'),
        (None, 'Basic realm="x", Bearer realm="y"'),
        ({"message": "Unauthorized"}, ""),
        ({"message": "Requires authentication"}, ""),
        ({"error": "unauthorized"}, 'Bearer error="unauthorized"'),
        ({"type": "client_error", "status": 401}, ""),
        (["odd"], ""),
        (b"{not json", ""),
        (b"[" * 60000, ""),
    ],
)
def test_a_401_that_says_nothing_may_be_about_the_token(body: Any, challenge: str) -> None:
    assert judged(401, body, challenge) is Refusal.MAYBE


@pytest.mark.parametrize(
    ("body", "challenge"),
    [
        (None, 'Bearer error="insufficient_scope", scope="mail.send"'),
        (None, 'Bearer error="invalid_request"'),
        (None, 'Bearer authorization_uri="https://x", error="insufficient_claims", claims="e30="'),
        (None, 'Basic realm="private"'),
        (None, 'Digest realm="a", nonce="b=c, d", qop="auth,auth-int"'),
        (None, "Negotiate, NTLM"),
        ({"error": "invalid_client"}, ""),
        ({"error": "insufficient_scope", "message": "The token is not valid for this"}, ""),
        ({"error": {"code": "INSUFFICIENT_PERMISSIONS"}}, ""),
        ({"message": "Unknown user name or password"}, ""),
        ({"message": "CSRF check failed"}, ""),
    ],
)
def test_a_401_about_something_else_is_not(body: Any, challenge: str) -> None:
    assert judged(401, body, challenge) is Refusal.NO


def test_other_statuses_count_where_the_provider_says_so() -> None:
    assert judged(403, {"error": "invalid_token"}) is Refusal.NO
    assert judged(498, statuses=(401, 498)) is Refusal.MAYBE
    assert judged(401, statuses=(498,)) is Refusal.NO
    # These have too many meanings to count without a word.
    for status in (200, 400, 403, 404):
        assert judged(status, {"message": "no"}, statuses=(status,)) is Refusal.NO
    assert judged(400, FACEBOOK, statuses=(400, 401)) is Refusal.YES
    assert judged(403, {"message": "The token has expired"}, statuses=(403,)) is Refusal.YES


@pytest.mark.parametrize("code", ["invalid_auth", "token_expired", "token_revoked"])
def test_an_error_with_status_200_counts_where_the_provider_says_so(code: str) -> None:
    assert judged(200, {"ok": False, "error": code}, statuses=(200, 401)) is Refusal.YES
    assert judged(200, {"ok": False, "error": code}) is Refusal.NO


def test_the_content_of_a_success_is_not_searched_for_words() -> None:
    content = {"ok": True, "message": "Your session has expired", "errors": ["invalid token"]}
    assert judged(200, content, statuses=(200, 401)) is Refusal.NO


def test_plain_text_is_read_and_pages_are_not() -> None:
    assert judged(401, b"Token has expired", **{"Content-Type": "text/plain"}) is Refusal.YES
    page = b"<h1>Invalid user name or password</h1>"
    assert judged(401, page, **{"Content-Type": "text/html"}) is Refusal.MAYBE
    assert judged(200, b"token expired", statuses=(200,), **{"Content-Type": "text/plain"}) is (
        Refusal.NO
    )


def test_a_large_body_is_not_looked_at() -> None:
    headers = {**JSON, "Content-Length": str(MAX_ERROR_BODY + 1)}
    assert not has_telling_body(401, headers, (401,))
    huge = json.dumps({"message": "Wrong password" + " " * MAX_ERROR_BODY}).encode()
    assert refusal(401, headers, huge, (401,)) is Refusal.MAYBE


@pytest.mark.parametrize(
    ("url", "joined"),
    [
        ("things", "https://api.example/v1/things"),
        ("/things?to=https://x/../y", "https://api.example/v1/things?to=https://x/../y"),
        ("messages:send", "https://api.example/v1/messages:send"),
        (" things", "https://api.example/v1/things"),
        ("", "https://api.example/v1"),
        ("?page=2", "https://api.example/v1?page=2"),
        ("https:/evil.example", "https://api.example/v1/https:/evil.example"),
        ("@evil.example", "https://api.example/v1/@evil.example"),
        (".evil.example", "https://api.example/v1/.evil.example"),
        ("HTTPS://Other.example/x", "HTTPS://Other.example/x"),
        ("//other.example/x", "https://other.example/x"),
    ],
)
def test_relative_addresses_end_up_below_the_base(url: str, joined: str) -> None:
    assert join_url("https://api.example/v1", url) == joined


@pytest.mark.parametrize("url", ["..", "a/../../b", "/..", "%2E%2e/b", "a\\..\\b"])
def test_relative_addresses_do_not_leave_the_base(url: str) -> None:
    with pytest.raises(OAuthTokenError, match="must not leave base_url"):
        join_url("https://api.example/v1/", url)


def test_hosts_are_compared_with_their_ports() -> None:
    hosts = allowed_hosts("https://API.example:443/v1", ["Files.example", "x.example:8443"])
    assert hosts == {"api.example", "files.example", "x.example:8443"}
    for url in ("https://api.example/x", "https://files.example:443/", "https://x.example:8443"):
        check_url(url, hosts)
    for url in (
        "https://api.example.evil.example/",
        "https://api.example:8443/",
        "https://x.example/",
        "https://api.example@evil.example/",
        "https://evil.example/?https://api.example/",
    ):
        with pytest.raises(OAuthTokenError) as caught:
            check_url(url, hosts)
        assert caught.value.code == "url_not_allowed"
    assert allowed_hosts("", []) is None
    assert allowed_hosts("", ["a.example"]) == {"a.example"}
    with pytest.raises(TypeError, match="list of host names"):
        allowed_hosts("", "a.example")


def test_hosts_of_odd_addresses() -> None:
    assert host_of("https://[::1]:8000/") == "[::1]:8000"
    assert host_of("https://a.example:99999/") == host_of("https://[::1/") == host_of("x") == ""
