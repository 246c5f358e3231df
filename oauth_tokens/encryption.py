"""Tokens at rest: AES-256-GCM with a key id and associated data.

Layout of a ciphertext: version byte (1), key id (4 bytes), nonce (12), ciphertext and tag.
The associated data binds it to where it is stored: a ciphertext that was moved to another row,
user, provider or column does not open. Nonces are random: one key is good for 2**32 encryptions
(NIST SP 800-38D section 8.3).
"""

from __future__ import annotations

import base64
import hashlib
import os
from functools import cache
from typing import TYPE_CHECKING

from django.views.decorators.debug import sensitive_variables

from .conf import get_settings, on_change
from .exceptions import DecryptionError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_KEY_ID = slice(1, 5)
_NONCE = slice(5, 17)
_BODY = slice(17, None)
_SHORTEST = 17 + 16


def generate_key() -> str:
    """A new random key in the form that ``ENCRYPTION_KEYS`` takes."""
    from .options import KEY_BYTES

    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


class Keyring:
    """The configured keys by their ids; the first one encrypts.

    Arguments:
        keys: 32 bytes each.
    """

    def __init__(self, keys: list[bytes]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._ciphers: dict[bytes, AESGCM] = {_key_id(key): AESGCM(key) for key in keys}
        self.primary_id = _key_id(keys[0])
        self._primary = self._ciphers[self.primary_id]

    @sensitive_variables()
    def encrypt(self, plaintext: str, associated_data: bytes) -> bytes:
        """Ciphertext of ``plaintext`` under the first key, bound to ``associated_data``."""
        nonce = os.urandom(12)
        header = _VERSION + self.primary_id
        body = self._primary.encrypt(nonce, plaintext.encode(), header + associated_data)
        return header + nonce + body

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> str:
        """The plaintext.

        Raises:
            DecryptionError: with code "unknown_key" where the key it was encrypted with is not
                configured; otherwise always the same, whether moved, truncated or altered.
        """
        data = bytes(ciphertext)
        header = data[: _KEY_ID.stop]
        well_formed = len(data) >= _SHORTEST and data.startswith(_VERSION)
        cipher = self._ciphers.get(data[_KEY_ID])
        if cipher is None and well_formed:
            raise DecryptionError(
                "A stored token was encrypted with a key that OAUTH_TOKENS['ENCRYPTION_KEYS'] does "
                "not have. Put that key back into the list, after the first one.",
                code="unknown_key",
            )
        try:
            if cipher is None or not well_formed:
                raise ValueError
            return cipher.decrypt(data[_NONCE], data[_BODY], header + associated_data).decode()
        except Exception:  # noqa: BLE001
            # One opaque failure, without context: which check failed is of use to attackers only.
            raise DecryptionError(
                "A stored token does not open: it was altered or moved. Ask the user to connect "
                "again."
            ) from None

    def is_current(self, ciphertext: bytes) -> bool:
        """Whether ``ciphertext`` was made with the first key."""
        return bytes(ciphertext[_KEY_ID]) == self.primary_id


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"oauth_tokens key id" + key).digest()[:4]


@cache
def get_keyring() -> Keyring:
    """The keyring of the current settings."""
    return Keyring(get_settings().encryption_keys())


on_change(get_keyring.cache_clear)


def associated_data(*parts: object) -> bytes:
    """Unambiguous bytes of where a ciphertext belongs: each part with its length before it."""
    encoded = [str(part).encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
