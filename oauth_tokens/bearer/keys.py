"""A public key that is at hand, instead of the address of a key set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import jwks


def import_public_key(value: str | bytes | Mapping[str, Any]) -> tuple[jwks.Key, ...]:
    """The keys of a PEM (SubjectPublicKeyInfo), a JWK or a JWK Set that is at hand.

    Raises:
        ValueError: there is no usable public key in it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        document = value if isinstance(value, Mapping) else _jwk(value)
        return jwks.parse_keys(document if "keys" in document else {"keys": [document]})
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(
            "public_key must be the issuer's public key: PEM, JWK or JWK Set; RSA from "
            f"{jwks.MIN_RSA_BITS} bits, EC or Ed25519."
        ) from None


def _jwk(pem: str | bytes) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    key: Any = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
    kind: Any = OKPKey
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < jwks.MIN_RSA_BITS:
            raise ValueError("weak")
        kind = RSAKey
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = ECKey
    return dict(kind.import_key(key).as_dict())
