"""Ciphertexts that were moved or damaged, and keys that change while refreshes run."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.management import call_command
from django.db import connection
from django.test import Client

from oauth_tokens import OAuthToken, TokenEvent, exceptions, upkeep
from oauth_tokens.encryption import generate_key, get_keyring
from tests.support.fault_callers import Caller
from tests.support.processes import ROOT, environment
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., Caller]

ACCESS, REFRESH = "encrypted_access_token", "encrypted_refresh_token"


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


#: What is stored instead of a ciphertext, given all columns of the row and of another user's row.
DAMAGE: dict[str, Callable[[str, OAuthToken, OAuthToken], bytes]] = {
    "moved from another row": lambda column, own, other: bytes(getattr(other, column)),
    "moved from another column": lambda column, own, other: bytes(
        getattr(own, ACCESS if column == REFRESH else REFRESH)
    ),
    "truncated": lambda column, own, other: bytes(getattr(own, column))[:-1],
    "almost nothing left": lambda column, own, other: b"\x01",
    "a bit of the text flipped": lambda column, own, other: flipped(getattr(own, column), 20),
    "a bit of the nonce flipped": lambda column, own, other: flipped(getattr(own, column), 6),
    "a bit of the version flipped": lambda column, own, other: flipped(getattr(own, column), 0),
    "plain text": lambda column, own, other: b"at-1-1-0123456789abcdef0123456789abcdef",
}


@pytest.mark.parametrize("column", [ACCESS, REFRESH])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_token_asks_for_its_user_and_stops_nobody_else(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    admin_client: Client,
    django_user_model: Any,
    received: list[tuple[str, dict[str, Any]]],
    column: str,
    damage: Callable[[str, OAuthToken, OAuthToken], bytes],
) -> None:
    """Row 21."""
    bob = django_user_model.objects.create_user("bob")
    bobs = bob.oauth_tokens.store("acme", provider.issue(user="bob"))
    own, other = OAuthToken.objects.get(pk=token.pk), OAuthToken.objects.get(pk=bobs.pk)
    OAuthToken.objects.filter(pk=token.pk).update(**{column: damage(column, own, other)})
    received.clear()
    with pytest.raises(exceptions.DecryptionError):
        _ = getattr(OAuthToken.objects.get(pk=token.pk), column.removeprefix("encrypted_"))
    if column == REFRESH:
        assert user.oauth_tokens.get_valid("acme").access_token == token.access_token
        age(token, EXPIRED)
    age(bobs, EXPIRED)
    results: dict[int, str] = {}
    if column == REFRESH:
        upkeep.dispatch_due(lambda pk, v: results.update({pk: upkeep.refresh_one(pk, v)}))
        assert results == {token.pk: "undecryptable", bobs.pk: "refreshed"}
    for _ in range(2):
        with pytest.raises(exceptions.ReauthenticationRequired) as caught:
            user.oauth_tokens.get_valid("acme")
        assert caught.value.code == "undecryptable"
    row = OAuthToken.objects.get(pk=token.pk)
    assert (row.status, row.error_code) == ("reauth_required", "undecryptable")
    assert [name for name, _ in received if name == "reauth_required"] == ["reauth_required"]
    assert TokenEvent.objects.filter(kind="reauth_required", token=row).count() == 1
    for page in ("", f"{token.pk}/change/"):
        answer = admin_client.get(f"/admin/oauth_tokens/oauthtoken/{page}")
        assert answer.status_code == 200
        assert b"at-1-" not in answer.content
    assert bob.oauth_tokens.get_valid("acme").version == 2
    assert provider.refreshes == 1, "only Bob's"
    again = user.oauth_tokens.store("acme", provider.issue())
    assert user.oauth_tokens.get_valid("acme").access_token == again.access_token


def test_a_damaged_spare_is_no_worse_than_none(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    """Row 21: it is opened only after the provider has refused the refresh token."""
    OAuthToken.objects.update(encrypted_spare_refresh_token=b"junk")
    age(token, EXPIRED)
    provider.misbehave("status", status=400, body={"error": "invalid_grant"})
    for _ in range(2):
        with pytest.raises(exceptions.ReauthenticationRequired):
            user.oauth_tokens.get_valid("acme")
    assert OAuthToken.objects.get().status == "reauth_required"
    assert provider.refreshes == 1


def test_a_missing_key_marks_nobody(
    user: AbstractUser, token: OAuthToken, provider: Provider, configure: Any, settings: Any
) -> None:
    """Rows 21 and 22: the operator's slip costs no user a connection."""
    keys = settings.OAUTH_TOKENS["ENCRYPTION_KEYS"]
    configure(ENCRYPTION_KEYS=[generate_key()])
    age(token, EXPIRED)
    with pytest.raises(exceptions.DecryptionError) as caught:
        user.oauth_tokens.get_valid("acme")
    assert caught.value.code == "unknown_key"
    assert upkeep.refresh_one(token.pk) == "unknown_key"
    assert (OAuthToken.objects.get().status, provider.refreshes) == ("active", 0)
    configure(ENCRYPTION_KEYS=keys)
    assert user.oauth_tokens.get_valid("acme").version == 2


def rotate_keys() -> str:
    """The command in a process of its own, with the settings of this test."""
    command = [sys.executable, "-m", "django", "oauth_tokens_rotate_keys", "--batch-size=1"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True
    )
    return done.stdout


def test_keys_are_rotated_while_refreshes_run(
    user: AbstractUser,
    token: OAuthToken,
    provider: Provider,
    callers: Start,
    configure: Any,
    settings: Any,
    django_user_model: Any,
) -> None:
    """Row 22. One process still encrypts with the old key, others refresh with the new one, and
    somebody reads everything all the time."""
    (old,), new = settings.OAUTH_TOKENS["ENCRYPTION_KEYS"], generate_key()
    bob = django_user_model.objects.create_user("bob")
    for number in range(8):
        bob.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
    configure(ENCRYPTION_KEYS=[old, new])
    behind = callers(method="refresh", rounds=40, pause=0.02)
    configure(ENCRYPTION_KEYS=[new, old])
    stopping = threading.Event()

    def until_stopped(work: Callable[[], None]) -> int:
        rounds = 0
        try:
            while not stopping.is_set():
                work()
                rounds += 1
        finally:
            connection.close()
        return rounds

    def read_everything() -> None:
        for row in OAuthToken.objects.all():
            assert row.access_token.startswith("at-")
            assert str(row.refresh_token).startswith("rt-")
        stopping.wait(0.05)

    def refresh_some(half: int) -> None:
        for row in list(bob.oauth_tokens.all())[half::2]:
            row.refresh()
            stopping.wait(0.1)

    with ThreadPoolExecutor(3) as pool:
        work = [read_everything, lambda: refresh_some(0), lambda: refresh_some(1)]
        running = [pool.submit(until_stopped, each) for each in work]
        behind.go_on()
        try:
            rotate_keys()
        finally:
            stopping.set()
        rounds = [each.result() for each in running]
        found = behind.results()
    assert min(rounds) > 0
    assert {result["error"] for result in found} == {None}
    call_command("oauth_tokens_rotate_keys", stdout=io.StringIO())
    configure(ENCRYPTION_KEYS=[new])
    for row in OAuthToken.objects.all():
        before = row.version
        assert get_keyring().is_current(bytes(row.encrypted_refresh_token))
        assert row.refresh().version == before + 1
    assert OAuthToken.objects.filter(status="active").count() == 9
    assert provider.replays == 0
    assert all(record["status"] == 200 for record in provider.requests("refresh_token"))


def test_a_key_rotation_that_is_killed_goes_on_where_it_was(
    provider: Provider, user: AbstractUser, configure: Any, settings: Any
) -> None:
    """Row 22."""
    (old,), new = settings.OAUTH_TOKENS["ENCRYPTION_KEYS"], generate_key()
    for number in range(6):
        user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
    configure(ENCRYPTION_KEYS=[new, old])
    code = (
        "import django, os, signal; django.setup()\n"
        "from oauth_tokens.management.commands import oauth_tokens_rotate_keys as command\n"
        "real, left = command.rekey_batch, [3]\n"
        "def batch(*arguments):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*arguments)\n"
        "command.rekey_batch = batch\n"
        "from django.core.management import call_command\n"
        "call_command('oauth_tokens_rotate_keys', batch_size=1)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=False)
    assert killed.returncode == -9
    keyring = get_keyring()

    def current() -> int:
        rows = OAuthToken.objects.all()
        return sum(keyring.is_current(bytes(row.encrypted_refresh_token)) for row in rows)

    assert current() == 3
    assert "anew: 3." in rotate_keys()
    assert current() == 6
    configure(ENCRYPTION_KEYS=[new])
    assert all(row.refresh().version == 2 for row in OAuthToken.objects.all())
    assert provider.replays == 0
