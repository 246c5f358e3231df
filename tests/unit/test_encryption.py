from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_tokens.encryption import Keyring, associated_data, generate_key
from oauth_tokens.exceptions import DecryptionError

OLD, NEW = os.urandom(32), os.urandom(32)
PLACE = associated_data("token", 1, "access_token")


@given(st.text())
def test_what_was_encrypted_opens(text: str) -> None:
    keyring = Keyring([NEW])
    assert keyring.decrypt(keyring.encrypt(text, PLACE), PLACE) == text


def test_the_same_text_never_looks_the_same() -> None:
    keyring = Keyring([NEW])
    assert len({keyring.encrypt("secret", PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize("bit", range(8))
def test_any_flipped_bit_closes_it(bit: int) -> None:
    keyring = Keyring([NEW])
    ciphertext = keyring.encrypt("secret", PLACE)
    for position in range(len(ciphertext)):
        altered = bytearray(ciphertext)
        altered[position] ^= 1 << bit
        with pytest.raises(DecryptionError):
            keyring.decrypt(bytes(altered), PLACE)


def test_any_truncation_closes_it() -> None:
    keyring = Keyring([NEW])
    ciphertext = keyring.encrypt("secret", PLACE)
    for length in range(len(ciphertext)):
        with pytest.raises(DecryptionError):
            keyring.decrypt(ciphertext[:length], PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        ("token", 2, "access_token"),
        ("token", 1, "refresh_token"),
        ("token", 1),
        ("token", "1acc", ""),
    ],
)
def test_a_ciphertext_does_not_open_in_another_place(elsewhere: tuple[object, ...]) -> None:
    keyring = Keyring([NEW])
    ciphertext = keyring.encrypt("secret", PLACE)
    with pytest.raises(DecryptionError):
        keyring.decrypt(ciphertext, associated_data(*elsewhere))


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_different_places_have_different_associated_data(one: list[str], two: list[str]) -> None:
    assert (associated_data(*one) == associated_data(*two)) == (one == two)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old = Keyring([OLD]).encrypt("secret", PLACE)
    both = Keyring([NEW, OLD])
    assert both.decrypt(old, PLACE) == "secret"
    assert not both.is_current(old)
    new = both.encrypt("secret", PLACE)
    assert both.is_current(new)
    assert Keyring([NEW]).decrypt(new, PLACE) == "secret"
    with pytest.raises(DecryptionError):
        Keyring([NEW]).decrypt(old, PLACE)


def test_a_memoryview_opens_as_some_database_drivers_return_one() -> None:
    keyring = Keyring([NEW])
    ciphertext = memoryview(keyring.encrypt("secret", PLACE))
    assert keyring.decrypt(ciphertext, PLACE) == "secret"  # type: ignore[arg-type]
    assert keyring.is_current(ciphertext)  # type: ignore[arg-type]


def test_altered_moved_and_truncated_say_the_same_and_nothing_secret() -> None:
    keyring = Keyring([NEW])
    ciphertext = keyring.encrypt("secret", PLACE)
    words = set()
    for bad in (b"", ciphertext[:-1], b"\xff" * 60, keyring.encrypt("secret", b"elsewhere")):
        with pytest.raises(DecryptionError) as caught:
            keyring.decrypt(bad, PLACE)
        words.add((caught.value.code, str(caught.value)))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    ((code, text),) = words
    assert code == "undecryptable"
    assert "secret" not in text


def test_a_key_that_is_not_configured_is_told_apart_because_the_operator_can_mend_it() -> None:
    with pytest.raises(DecryptionError, match="ENCRYPTION_KEYS") as caught:
        Keyring([NEW]).decrypt(Keyring([OLD]).encrypt("secret", PLACE), PLACE)
    assert caught.value.code == "unknown_key"


def test_a_keyring_shows_no_key() -> None:
    assert NEW.hex() not in repr(Keyring([NEW]))
    assert repr(NEW) not in repr(vars(Keyring([NEW])))


def test_generated_keys_are_32_random_bytes_in_url_safe_base64() -> None:
    keys = {generate_key() for _ in range(50)}
    assert len(keys) == 50
    assert {len(base64.urlsafe_b64decode(key)) for key in keys} == {32}
