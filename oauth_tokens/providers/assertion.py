"""The assertion with which a client authenticates by its private key (RFC 7523 section 2.2).

Signing takes nothing but ``cryptography``, which is here anyhow; verifying is done elsewhere, by a
library made for it.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from django.views.decorators.debug import sensitive_variables

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Seconds for which an assertion is good. It is sent at once, and once.
LIFETIME = 60
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@sensitive_variables()
def client_assertion(
    *, client_id: str, audience: str, private_key: str, key_id: str = "", algorithm: str = ""
) -> str:
    """A signed assertion that this is ``client_id``, with a ``jti`` of its own.

    Arguments:
        audience: ``aud``: the token endpoint or issuer, as the provider wants it.
        private_key: PEM.
        algorithm: RFC 7518 section 3.1; "" for the one that suits the key.

    Raises:
        ValueError: it is no key, or none for this algorithm. The message does not show it.
    """
    key = _load(private_key)
    header = {"alg": algorithm_of(key, algorithm), "typ": "JWT"}
    if key_id:
        header["kid"] = key_id
    now = int(time.time())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": secrets.token_urlsafe(24),
        "iat": now,
        "exp": now + LIFETIME,
    }
    signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
    return f"{signed}.{_encode(_sign(key, header['alg'], signed.encode()))}"


@sensitive_variables()
def key_problem(private_key: str, algorithm: str) -> str:
    """What is wrong with a key and algorithm, in a few words; "" where nothing is."""
    try:
        algorithm_of(_load(private_key), algorithm)
    except ValueError as error:
        return str(error)
    return ""


def algorithm_of(key: Any, wanted: str = "") -> str:
    """The algorithm that ``key`` signs with, which is ``wanted`` where that is possible."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        possible = [name for name in ALGORITHMS if name[:2] in ("RS", "PS")]
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        possible = [_CURVES[key.curve.name]]
    elif isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        possible = ["EdDSA"]
    else:
        possible = []
    if not possible or (wanted and wanted not in possible):
        raise ValueError(f"a key that cannot sign {wanted or 'assertions'}")
    return wanted or possible[0]


@sensitive_variables()
def _load(private_key: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError):
        # Parsers quote what they choke on.
        raise ValueError("no unencrypted private key in PEM") from None


def _sign(key: Any, algorithm: str, data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    if algorithm == "EdDSA":
        signature: bytes = key.sign(data)
        return signature
    digest: Any = getattr(hashes, f"SHA{algorithm[2:]}")()
    if algorithm.startswith("ES"):
        return _raw(key, key.sign(data, ec.ECDSA(digest)))
    if algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
        return bytes(key.sign(data, pss, digest))
    return bytes(key.sign(data, padding.PKCS1v15(), digest))


def _raw(key: EllipticCurvePrivateKey, signature: bytes) -> bytes:
    """RFC 7518 section 3.4 wants both numbers side by side, not in DER."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    size = (key.curve.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(signature))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
