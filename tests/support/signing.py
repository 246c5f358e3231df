"""JWTs signed by hand, with cryptography alone: those that no library would make, too."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def encoded(value: Any) -> str:
    """base64url of bytes, of text, or of a value's JSON."""
    text = value if isinstance(value, (bytes, str)) else json.dumps(value)
    data = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Signer:
    """One private key and what is made with it."""

    def __init__(self, key: PrivateKey | None = None) -> None:
        self.key = key or rsa.generate_private_key(65537, 2048)

    @property
    def pem(self) -> str:
        form = PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(Encoding.PEM, form).decode()

    @property
    def jwk(self) -> dict[str, Any]:
        assert isinstance(self.key, rsa.RSAPrivateKey)
        numbers = self.key.public_key().public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}

    def jwt(self, claims: Any, *, alg: str = "RS256", **header: Any) -> str:
        """A JWT; ``claims`` that are no dict are taken as they are."""
        head = {"alg": alg, "typ": "at+jwt", **header}
        head = {name: value for name, value in head.items() if value is not None}
        signed = f"{encoded(head)}.{encoded(claims)}"
        return f"{signed}.{encoded(self._signature(alg, signed.encode()))}"

    def _signature(self, alg: str, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            scheme: Any = padding.PKCS1v15()
            if alg == "PS256":
                scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            return self.key.sign(data, scheme, hashes.SHA256())
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def hmac_jwt(claims: Any, secret: bytes, *, alg: str = "HS256", **header: Any) -> str:
    """A JWT signed with HMAC and whatever is taken for the secret."""
    signed = f"{encoded({'alg': alg, 'typ': 'at+jwt', **header})}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
