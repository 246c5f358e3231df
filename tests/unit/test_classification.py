"""What an answer of the token endpoint means for the grant (RFC 6749 sections 5.1 and 5.2)."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone
from requests.structures import CaseInsensitiveDict

from oauth_tokens.providers.base import Provider
from oauth_tokens.providers.presets import PRESETS
from oauth_tokens.providers.wire import Answer, Meaning, Response


def response(status: int, body: Any = b"", **headers: str) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, CaseInsensitiveDict(named), content)


def classify(given: Response, secrets: tuple[str, ...] = (), **differences: Any) -> Answer:
    provider = Provider(
        name="acme", client_id="client", client_secret="client-secret-value", **differences
    )
    return provider.classify(given, secrets=secrets)


TOKENS = {"access_token": "at", "token_type": "Bearer", "expires_in": 60}


@pytest.mark.parametrize(
    ("given", "meaning", "code"),
    [
        (response(200, TOKENS), Meaning.SUCCESS, ""),
        (response(201, TOKENS), Meaning.SUCCESS, ""),
        (response(400, {"error": "invalid_grant"}), Meaning.DEAD_GRANT, "invalid_grant"),
        (response(401, {"error": "invalid_grant"}), Meaning.DEAD_GRANT, "invalid_grant"),
        (response(401, {"error": "invalid_client"}), Meaning.OPERATOR_ERROR, "invalid_client"),
        (response(400, {"error": "unauthorized_client"}), Meaning.OPERATOR_ERROR, None),
        (response(400, {"error": "unsupported_grant_type"}), Meaning.OPERATOR_ERROR, None),
        (response(400, {"error": "invalid_request"}), Meaning.OPERATOR_ERROR, None),
        (response(408), Meaning.TRANSIENT, "http_408"),
        (response(425), Meaning.TRANSIENT, "http_425"),
        (response(429), Meaning.TRANSIENT, "http_429"),
        (response(503), Meaning.TRANSIENT, "http_503"),
        (response(500), Meaning.OUTCOME_UNKNOWN, "http_500"),
        (response(502, b"<html>Bad Gateway</html>"), Meaning.OUTCOME_UNKNOWN, "http_502"),
        (response(504), Meaning.OUTCOME_UNKNOWN, "http_504"),
        (response(500, {"error": "invalid_grant"}), Meaning.OUTCOME_UNKNOWN, None),
        (response(503, {"error": "invalid_client"}), Meaning.TRANSIENT, None),
        (response(200, b'{"access_token": "at", "refr'), Meaning.OUTCOME_UNKNOWN, None),
        (response(200, b""), Meaning.OUTCOME_UNKNOWN, None),
        (response(200, b"<html>login</html>"), Meaning.OUTCOME_UNKNOWN, None),
        (response(200, b"[1]"), Meaning.OUTCOME_UNKNOWN, None),
        (response(200, b"[" * 100_000), Meaning.OUTCOME_UNKNOWN, None),
        (response(204), Meaning.OUTCOME_UNKNOWN, None),
        (response(302, Location="https://elsewhere.example"), Meaning.TRANSIENT, "http_302"),
        (response(400), Meaning.TRANSIENT, "http_400"),
        (response(404, b"<html>"), Meaning.TRANSIENT, "http_404"),
        (response(400, {"error": "slow_down"}), Meaning.TRANSIENT, "slow_down"),
        (response(200, {"error": "slow_down"}), Meaning.TRANSIENT, "slow_down"),
        (response(200, {"error": "invalid_grant", **TOKENS}), Meaning.DEAD_GRANT, None),
        (response(200, {"ok": False, "error": "x"}), Meaning.TRANSIENT, "x"),
    ],
)
def test_meaning(given: Response, meaning: Meaning, code: str | None) -> None:
    answer = classify(given)
    assert answer.meaning is meaning
    assert code is None or answer.code == code
    assert (answer.token_set is not None) == (meaning is Meaning.SUCCESS)


@pytest.mark.parametrize(
    ("preset", "given", "meaning"),
    [
        ("github", response(200, {"error": "bad_refresh_token"}), Meaning.DEAD_GRANT),
        (
            "github",
            response(200, {"error": "incorrect_client_credentials"}),
            Meaning.OPERATOR_ERROR,
        ),
        (
            "google",
            response(400, {"error": "x", "error_subtype": "invalid_rapt"}),
            Meaning.DEAD_GRANT,
        ),
        ("google", response(400, {"error": "invalid_grant"}), Meaning.DEAD_GRANT),
        ("slack", response(200, {"ok": False, "error": "ratelimited"}), Meaning.TRANSIENT),
    ],
)
def test_providers_have_words_of_their_own(preset: str, given: Response, meaning: Meaning) -> None:
    differences = {k: v for k, v in PRESETS[preset].items() if k.endswith("_errors")}
    assert classify(given, **differences).meaning is meaning


def test_form_encoded_answers_are_read() -> None:
    form = response(
        200, b"access_token=at&expires_in=60", Content_Type="application/x-www-form-urlencoded"
    )
    tokens = classify(form).token_set
    assert tokens is not None
    assert (tokens.access_token, tokens.expires_in) == ("at", 60)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("0", 0), ("99999", 3600), ("-3", None), ("later", None), ("", None)],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert classify(response(429, Retry_After=value)).retry_after == seconds


def test_retry_after_as_a_date() -> None:
    when = timezone.now() + timedelta(seconds=90)
    header = format_datetime(when.astimezone(UTC), usegmt=True)
    found = classify(response(503, Retry_After=header)).retry_after
    assert found is not None
    assert 85 <= found <= 91


def test_the_providers_words_are_kept_without_secrets_short_and_printable() -> None:
    words = "token rt-secret of client-secret-value is \x00\x1b[31mbad\n" + "x" * 1000
    answer = classify(
        response(400, {"error": "invalid_grant", "error_description": words}), ("rt-secret",)
    )
    assert answer.description.startswith("token [...] of [...] is [31mbad")
    assert len(answer.description) <= 250
    assert "secret" not in repr(answer)


@pytest.mark.parametrize("error", [{"code": 190}, ["a"], 7, True, {"deep": {"er": 1}}])
def test_an_error_that_is_no_string_is_still_an_error(error: object) -> None:
    answer = classify(response(200, {"error": error, **TOKENS}))
    assert answer.meaning is Meaning.TRANSIENT
    assert answer.code


@pytest.mark.parametrize(
    ("body", "differences", "meaning", "code"),
    [
        (
            {"error": {"code": 190, "message": "expired"}},
            {"dead_grant_errors": ("190",)},
            "D",
            "190",
        ),
        (
            {"error": {"code": 190}},
            {"error_path": ("error.code",), "dead_grant_errors": ("190",)},
            "D",
            "190",
        ),
        (
            {"errors": [{"errorType": "invalid_grant"}]},
            {"error_path": ("error", "errors.0.errorType")},
            "D",
            "invalid_grant",
        ),
        ({"error": 400}, {"dead_grant_errors": ("400:400",)}, "D", "400"),
        ({"status": "BAD_HUB"}, {"dead_grant_errors": ("status=BAD_HUB",)}, "D", "http_400"),
        (
            {"error": "invalid_request", "error_description": "Invalid refresh_token"},
            {"dead_grant_errors": ("error_description~refresh_token",)},
            "D",
            "invalid_request",
        ),
        (
            {"error": "invalid_request", "error_description": "x"},
            {"dead_grant_errors": ("error_description~refresh_token",)},
            "O",
            "invalid_request",
        ),
        (
            {"error": "x", "error_codes": [1, 70043]},
            {"dead_grant_errors": ("error_codes=70043",)},
            "D",
            "x",
        ),
        (
            {"error": "x", "error_codes": [700431]},
            {"dead_grant_errors": ("error_codes=70043",)},
            "T",
            "x",
        ),
        ({"error": ""}, {}, "T", "http_400"),
        ({"errors": []}, {"error_path": ("errors.0.errorType",)}, "T", "http_400"),
        (
            {"error": "not_now"},
            {"transient_errors": ("400:",), "dead_grant_errors": ("not_now",)},
            "T",
            "not_now",
        ),
    ],
)
def test_errors_in_other_places(
    body: dict[str, Any], differences: dict[str, Any], meaning: str, code: str
) -> None:
    answer = classify(response(400, body), **differences)
    expected = {"D": Meaning.DEAD_GRANT, "O": Meaning.OPERATOR_ERROR, "T": Meaning.TRANSIENT}
    assert answer.meaning is expected[meaning]
    assert answer.code == code


def test_a_success_with_an_error_code_that_says_there_is_none() -> None:
    for code in (0, "0", "", None, False):
        given = response(200, {"errcode": code, **TOKENS})
        assert classify(given, error_path=("errcode",)).meaning is Meaning.SUCCESS
    assert classify(response(200, {"errcode": 7, **TOKENS}), error_path=("errcode",)).code == "7"


def test_a_200_without_a_token_that_the_provider_means_as_an_error() -> None:
    given = response(200, {"message": "refresh token expired", "data": {}})
    assert classify(given).meaning is Meaning.OUTCOME_UNKNOWN
    dead = classify(given, dead_grant_errors=("message=refresh token expired",))
    assert dead.meaning is Meaning.DEAD_GRANT


def test_words_of_a_nested_error_without_secrets() -> None:
    body = {"error": {"code": 1, "message": "no client-secret-value here"}}
    assert classify(response(400, body)).description == "no [...] here"
