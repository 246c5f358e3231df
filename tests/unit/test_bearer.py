"""Access tokens as JWTs: which claims hold, and the usual attacks on their signatures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.exceptions import ImproperlyConfigured
from hypothesis import example, given
from hypothesis import strategies as st

from oauth_tokens import jwks
from oauth_tokens.bearer import BearerError, Validator, bearer_required
from tests.support.signing import Signer, encoded, hmac_jwt

ISSUER = "https://id.example"
AUDIENCE = "https://api.example"
NOW = 1_800_000_000
SIGNER = Signer()
STRANGER = Signer()
WEAK = Signer(rsa.generate_private_key(65537, 1024))  # noqa: S505


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth_tokens.bearer.tokens.time", SimpleNamespace(time=lambda: NOW))


def claims(**changes: Any) -> dict[str, Any]:
    """Those of RFC 9068 section 2.2; None leaves one out."""
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": NOW + 600,
        "iat": NOW,
        "sub": "alice",
        "client_id": "app",
        "jti": "1",
        "scope": "read write",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def validator(**options: Any) -> Validator:
    usual = {"issuer": ISSUER, "audience": AUDIENCE, "public_key": SIGNER.pem}
    return Validator(**{**usual, **options})


def refusal(token: str, **options: Any) -> dict[str, str]:
    """The body of the error that ``token`` meets; none of it may quote the token."""
    with pytest.raises(BearerError) as caught:
        validator(**options).check(token)
    assert caught.value.error == "invalid_token"
    assert caught.value.status == 401
    shown = f"{caught.value!r} {caught.value.body} {caught.value.challenge('api')}"
    assert all(part not in shown for part in token.split(".") if part)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.body


def test_a_valid_token() -> None:
    bearer = validator().check(SIGNER.jwt(claims(extra=[1])))
    assert bearer.subject == "alice"
    assert bearer.scopes == {"read", "write"}
    assert bearer.client_id == "app"
    assert bearer.expires_at == datetime.fromtimestamp(NOW + 600, UTC)
    assert bearer.claims["extra"] == [1]
    assert "extra" not in repr(bearer)


@pytest.mark.parametrize(
    ("signer", "alg"),
    [
        (SIGNER, "PS256"),
        (Signer(ec.generate_private_key(ec.SECP256R1())), "ES256"),
        (Signer(ed25519.Ed25519PrivateKey.generate()), "Ed25519"),
        (Signer(ed25519.Ed25519PrivateKey.generate()), "EdDSA"),
    ],
)
def test_algorithms(signer: Signer, alg: str) -> None:
    options = {"public_key": signer.pem, "algorithms": alg}
    assert validator(**options).check(signer.jwt(claims(), alg=alg)).subject == "alice"
    assert refusal(signer.jwt(claims(), alg=alg), public_key=signer.pem, algorithms="RS512")


@pytest.mark.parametrize("key", [SIGNER.jwk, {"keys": [SIGNER.jwk]}, SIGNER.pem.encode()])
def test_forms_of_a_public_key(key: Any) -> None:
    assert validator(public_key=key).check(SIGNER.jwt(claims())).subject == "alice"


# Signatures


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", "RS256 ", "rs256", None, 1, ["RS256"]])
def test_no_signature_and_no_algorithm(alg: Any) -> None:
    head = encoded({"alg": alg, "typ": "at+jwt"})
    for signature in ("", encoded(b"x" * 256), SIGNER.jwt(claims()).split(".")[2]):
        refusal(f"{head}.{encoded(claims())}.{signature}")


def public_keys_as_secrets() -> list[bytes]:
    der = SIGNER.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = SIGNER.pem.encode()
    return [pem, pem.strip(), der, json.dumps(SIGNER.jwk).encode(), b"", b"secret"]


@pytest.mark.parametrize("secret", public_keys_as_secrets())
@pytest.mark.parametrize("alg", ["HS256", "RS256"])
def test_the_public_key_is_no_hmac_secret(secret: bytes, alg: str) -> None:
    refusal(hmac_jwt(claims(), secret, alg=alg))


def test_a_stranger_s_signature() -> None:
    refusal(STRANGER.jwt(claims()))
    head, _, signature = SIGNER.jwt(claims()).split(".")
    refusal(f"{head}.{encoded(claims(sub='root'))}.{signature}")


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": STRANGER.jwk},
        {"jku": "http://127.0.0.1:9/jwks.json"},
        {"x5u": "http://127.0.0.1:9/chain.pem"},
        {"x5c": [encoded(b"certificate")]},
        {"kid": "../../../dev/null"},
    ],
)
def test_a_token_does_not_bring_its_own_key(header: dict[str, Any]) -> None:
    refusal(STRANGER.jwt(claims(), **header))
    assert validator().check(SIGNER.jwt(claims(), **header)).subject == "alice"


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"crit": []}, {"kid": ["a"]}]
)
def test_headers_that_are_not_understood(header: dict[str, Any]) -> None:
    refusal(SIGNER.jwt(claims(), **header))


def test_unknown_headers_do_no_harm_and_may_be_long() -> None:
    token = SIGNER.jwt(claims(), nonce="x", x5c=["A" * 3000])
    assert validator().check(token).subject == "alice"


@pytest.mark.parametrize("payload", [[], "text", b"\xff", "{", "[" * 9000, '{"exp": 1e999'])
def test_a_payload_that_is_no_object(payload: Any) -> None:
    refusal(SIGNER.jwt(payload))


@pytest.mark.parametrize("token", ["", ".", "..", "....", "a.b", "a.b.c", "é.b.c", "[" * 5000])
def test_what_is_no_jwt(token: str) -> None:
    with pytest.raises(BearerError, match="JWT"):
        validator().check(token)
    refusal(f"{encoded('[' * 5000)}.{encoded({})}.{encoded('x')}")


def test_a_huge_token_is_not_looked_at() -> None:
    token = SIGNER.jwt(claims(x="x" * 16384))
    assert "too long" in refusal(token)["error_description"]
    with pytest.raises(jwks.InvalidJWT, match="too long"):
        jwks.verify(token, lambda _: jwks.parse_keys({"keys": [SIGNER.jwk]}), algorithms=["RS256"])


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = (
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.text(max_size=5), st.lists(SCALARS, max_size=2), max_size=3)
)
NAMES = [
    "alg",
    "typ",
    "kid",
    "crit",
    "b64",
    "jku",
    "x5c",
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "scope",
]
MEMBERS = st.dictionaries(st.sampled_from([*NAMES, "scp", "cnf", "token_use", "sub"]), JSON)


@given(MEMBERS, MEMBERS)
@example({"alg": "RS256", "crit": 5}, {})
def test_whatever_is_sent_is_judged(header: dict[str, Any], payload: dict[str, Any]) -> None:
    token = SIGNER.jwt({**claims(), **payload}, **{"alg": "RS256", **header})
    error = ""
    try:
        bearer = validator().check(token)
    except BearerError as caught:
        error = caught.error
    assert error == "invalid_token" or (bearer.claims["iss"] == ISSUER and bearer.expires_at)


# Claims


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://id.example.evil"}, "issuer"),
        ({"iss": "https://id.example/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": [ISSUER]}, "issuer"),
        ({"aud": "https://api.example.evil"}, "audience"),
        ({"aud": ["https://other.example", 5]}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {AUDIENCE: 1}}, "audience"),
        ({"exp": None}, "expires"),
        ({"exp": "tomorrow"}, "no date"),
        ({"exp": True}, "no date"),
        ({"exp": float("nan")}, "no date"),
        ({"exp": float("inf")}, "no date"),
        ({"exp": 10**400}, "no date"),
        ({"exp": -1}, "no date"),
        ({"nbf": "now"}, "no date"),
        ({"iat": []}, "no date"),
        ({"iat": NOW + 31}, "future"),
        ({"cnf": {"jkt": "x"}}, "bound"),
    ],
)
def test_claims_that_do_not_hold(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(SIGNER.jwt(claims(**changes)))["error_description"]


@pytest.mark.parametrize("aud", [AUDIENCE, ["https://other.example", AUDIENCE]])
@pytest.mark.parametrize("accepted", [AUDIENCE, ["urn:api", AUDIENCE]])
def test_audiences(aud: Any, accepted: Any) -> None:
    assert validator(audience=accepted).check(SIGNER.jwt(claims(aud=aud))).subject == "alice"


@pytest.mark.parametrize("sub", [42, 0, False, ["alice"], {"id": 1}])
def test_a_subject_that_is_no_text_is_refused(sub: Any) -> None:
    """To take it for none would make one user of all of the client's."""
    assert "subject" in refusal(SIGNER.jwt(claims(sub=sub)))["error_description"]


def test_nobody_changes_what_the_issuer_says() -> None:
    bearer = validator().check(SIGNER.jwt(claims()))
    with pytest.raises(TypeError):
        bearer.claims["sub"] = "root"  # type: ignore[index]


def test_thirty_seconds_of_leeway() -> None:
    for changes in ({"exp": NOW - 29}, {"nbf": NOW + 29}, {"iat": NOW + 29}, {"exp": NOW - 29.5}):
        assert validator().check(SIGNER.jwt(claims(**changes))).subject == "alice"
    expired = refusal(SIGNER.jwt(claims(exp=NOW - 31)))
    assert expired == {
        "error": "invalid_token",
        "error_description": "The token has expired.",
        "expired_at": "2027-01-15T07:59:29Z",
    }
    early = refusal(SIGNER.jwt(claims(nbf=NOW + 31)))
    assert early["not_before"] == "2027-01-15T08:00:31Z"
    assert refusal(SIGNER.jwt(claims(exp=NOW)), leeway=0)["expired_at"] == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", None])
def test_types_of_access_tokens(typ: str | None) -> None:
    assert validator().check(SIGNER.jwt(claims(), typ=typ)).subject == "alice"


@pytest.mark.parametrize("typ", ["id_token+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE"])
def test_other_types(typ: str) -> None:
    assert "access token" in refusal(SIGNER.jwt(claims(), typ=typ))["error_description"]


def test_rfc_9068_and_nothing_else() -> None:
    strict = validator(require_at_jwt=True)
    assert strict.check(SIGNER.jwt(claims())).subject == "alice"
    for typ in ("JWT", None):
        assert (
            "access token"
            in refusal(SIGNER.jwt(claims(), typ=typ), require_at_jwt=True)["error_description"]
        )


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"nonce": "n"}, False),
        ({"at_hash": "h"}, False),
        ({"c_hash": "h"}, False),
        ({"typ": "ID"}, False),
        ({"typ": "Refresh"}, False),
        ({"token_use": "id"}, False),
        ({"token_use": "access"}, True),
        ({"typ": "Bearer", "nonce": "as Keycloak had it"}, True),
    ],
)
def test_an_id_token_is_no_access_token(changes: dict[str, Any], accepted: bool) -> None:
    token = SIGNER.jwt(claims(**changes), typ="JWT")
    if accepted:
        assert validator().check(token).subject == "alice"
    else:
        assert "access token" in refusal(token)["error_description"]


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": "read  write"}, {"read", "write"}),
        ({"scope": None, "scp": ["read", 5]}, {"read"}),
        ({"scope": None, "scp": "read write"}, {"read", "write"}),
        ({"scope": ["read"]}, {"read"}),
        ({"scope": {"read": True}}, set()),
        ({"scope": None}, set()),
    ],
)
def test_spellings_of_scope(changes: dict[str, Any], scopes: set[str]) -> None:
    assert validator().check(SIGNER.jwt(claims(**changes))).scopes == scopes


@pytest.mark.parametrize("name", ["client_id", "azp", "cid"])
def test_spellings_of_client_id(name: str) -> None:
    token = SIGNER.jwt(claims(**{"client_id": None, name: "app"}))
    assert validator().check(token).client_id == "app"


# Configuration


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"issuer": ""}, "issuer and audience"),
        ({"audience": ""}, "issuer and audience"),
        ({"audience": []}, "issuer and audience"),
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"algorithms": ["RS256", "none"]}, "RS256"),
        ({"algorithms": []}, "RS256"),
        ({"public_key": "secret"}, "PEM"),
        ({"public_key": {"kty": "oct", "k": "c2VjcmV0"}}, "PEM"),
        ({"public_key": WEAK.pem}, "2048"),
        ({"public_key": WEAK.jwk}, "2048"),
        ({"public_key": {"keys": "none"}}, "PEM"),
        ({"public_key": None, "jwks_uri": "http://id.example/jwks"}, "https"),
        ({"public_key": None, "issuer": "urn:id"}, "jwks_uri or public_key"),
        ({"introspection_endpoint": "http://id.example/"}, "https"),
        ({"introspection_endpoint": "https://id.example/"}, "client_id"),
        ({"realm": 'x" error="'}, "realm"),
        ({"realm": "a\r\nSet-Cookie: b"}, "realm"),
    ],
)
def test_mistakes_are_named_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words) as caught:
        validator(**options)
    assert "secret" not in str(caught.value).replace("client_secret", "")


@pytest.mark.parametrize("scope", ["read write", 'a"b', "a\\b", "é", "a\r\nX: y", ""])
def test_what_no_scope_can_be(scope: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="no scope"):
        bearer_required(issuer=ISSUER, audience=AUDIENCE, scopes=[scope])


def test_a_key_of_another_kind() -> None:
    key = x25519.X25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ImproperlyConfigured, match="PEM"):
        validator(public_key=pem)


def test_keys_that_are_not_for_this_are_left_out_of_a_set() -> None:
    useless = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {**SIGNER.jwk, "use": "enc"},
        {**SIGNER.jwk, "kid": 5},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"},
        {"kty": ["RSA"]},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        WEAK.jwk,
        "key",
        None,
    ]
    with pytest.raises(ValueError, match="no_usable_key"):
        jwks.parse_keys({"keys": useless})
    keys = jwks.parse_keys({"keys": [*useless, {**SIGNER.jwk, "kid": "b"}]})
    assert [key.kid for key in keys] == ["b"]
    assert len(jwks.parse_keys({"keys": [SIGNER.jwk] * 500})) == jwks.MAX_KEYS


def test_a_key_serves_its_own_algorithm_alone() -> None:
    options = {"public_key": {**SIGNER.jwk, "alg": "PS256"}}
    assert validator(**options).check(SIGNER.jwt(claims(), alg="PS256")).subject == "alice"
    refusal(SIGNER.jwt(claims()), **options)
