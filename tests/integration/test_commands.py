"""The management commands of operators."""

from __future__ import annotations

import base64
import json
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from oauth_tokens import OAuthToken, rescue
from oauth_tokens.models import PendingRevocation, ProviderCircuit
from oauth_tokens.providers.registry import get_provider
from tests.support.processes import Processes
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, FRESH, age

Configure = Callable[..., None]


def run(capsys: pytest.CaptureFixture[str], command: str, *arguments: str) -> str:
    call_command(command, *arguments)
    return capsys.readouterr().out


# oauth_tokens_generate_key


def test_a_generated_key_is_a_good_one(
    capsys: pytest.CaptureFixture[str], configure: Configure, user: AbstractUser, provider: Provider
) -> None:
    first, second = (run(capsys, "oauth_tokens_generate_key").strip() for _ in range(2))
    assert first != second
    assert len(base64.urlsafe_b64decode(first)) == 32
    configure(ENCRYPTION_KEYS=[first])
    stored = user.oauth_tokens.store("acme", provider.issue())
    assert OAuthToken.objects.get().access_token == stored.access_token


def test_a_key_is_generated_before_there_are_settings(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    del settings.OAUTH_TOKENS
    assert len(run(capsys, "oauth_tokens_generate_key").strip()) == 44


# oauth_tokens_status


def status(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code: object = 0
    try:
        call_command("oauth_tokens_status", "--json")
    except SystemExit as error:
        code = error.code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (1 if found["problems"] else 0)
    return found


def test_all_is_well(capsys: pytest.CaptureFixture[str], token: OAuthToken) -> None:
    assert status(capsys) == {
        "tokens": {"acme": {"active": 1, "reauth_required": 0, "revoking": 0}},
        "reauthentication": {},
        "failing_providers": [],
        "due": 0,
        "lag": 0.0,
        "problems": [],
    }


def test_states_and_causes(
    capsys: pytest.CaptureFixture[str], user: AbstractUser, provider: Provider
) -> None:
    for number, (state, code) in enumerate(
        [
            ("reauth_required", "refresh_token_invalid"),
            ("reauth_required", "refresh_token_invalid"),
            ("reauth_required", "outcome_unknown"),
            ("revoking", ""),
        ]
    ):
        row = user.oauth_tokens.store("acme", provider.issue(), account_id=str(number))
        OAuthToken.objects.filter(pk=row.pk).update(status=state, error_code=code)
    found = status(capsys)
    assert found["tokens"]["acme"] == {"active": 0, "reauth_required": 3, "revoking": 1}
    assert found["reauthentication"] == {"refresh_token_invalid": 2, "outcome_unknown": 1}
    text = run(capsys, "oauth_tokens_status")
    assert text.splitlines()[1].split() == ["acme", "0", "3", "1"]
    assert "2 to connect again: the provider no longer accepts the refresh token" in text


def test_a_sweep_that_does_not_run(
    capsys: pytest.CaptureFixture[str], token: OAuthToken, configure: Configure
) -> None:
    OAuthToken.objects.update(refresh_at=timezone.now() - timedelta(seconds=599))
    assert status(capsys)["due"] == 1
    OAuthToken.objects.update(refresh_at=timezone.now() - timedelta(seconds=700))
    found = status(capsys)
    assert 699 < found["lag"] < 760
    assert "check that Celery beat and a worker run" in found["problems"][0]
    # Nobody sweeps what the settings no longer have.
    configure(PROVIDERS={})
    found = status(capsys)
    assert (found["due"], found["lag"]) == (0, 0)
    assert found["tokens"] == {"acme": {"active": 1, "reauth_required": 0, "revoking": 0}}


@pytest.mark.parametrize("operator", [True, False])
def test_a_failing_provider(
    capsys: pytest.CaptureFixture[str], token: OAuthToken, operator: bool
) -> None:
    now = timezone.now()
    ProviderCircuit.objects.create(
        provider="acme", code="bad_code", operator=operator, opened_at=now, probe_at=now
    )
    OAuthToken.objects.update(refresh_at=now - timedelta(hours=1))
    found = status(capsys)
    assert found["failing_providers"][0]["provider"] == "acme"
    # An outage of the provider is nobody's fault here, and explains the backlog.
    assert bool(found["problems"]) == operator
    assert found["lag"] == 0


def test_the_table_says_what_to_do(capsys: pytest.CaptureFixture[str], token: OAuthToken) -> None:
    now = timezone.now()
    ProviderCircuit.failed("acme", "invalid_client", now, "default", operator=True)
    with pytest.raises(SystemExit):
        call_command("oauth_tokens_status")
    assert (
        "PROBLEM: acme refuses this site (invalid_client): check its client_id"
        in capsys.readouterr().out
    )


# oauth_tokens_refresh


def test_one_sweep(
    capsys: pytest.CaptureFixture[str], user: AbstractUser, provider: Provider
) -> None:
    for account, left in (("due", EXPIRED), ("fresh", FRESH), ("dead", EXPIRED)):
        age(user.oauth_tokens.store("acme", provider.issue(), account_id=account), left)
    OAuthToken.objects.filter(account_id="fresh").update(refresh_at=None)
    OAuthToken.objects.filter(account_id="dead").update(encrypted_refresh_token=None)
    PendingRevocation.enqueue(
        using="default",
        now=timezone.now(),
        user_id=user.pk,
        provider="acme",
        client_id="client",
        token=provider.issue()["refresh_token"],
        token_type_hint="refresh_token",
    )
    text = run(capsys, "oauth_tokens_refresh")
    assert text.strip() == "1 no_refresh_token, 1 refreshed, 1 revoked"
    assert provider.refreshes == 1
    assert OAuthToken.objects.get(account_id="due").version == 2
    assert OAuthToken.objects.get(account_id="dead").status == "reauth_required"
    assert run(capsys, "oauth_tokens_refresh").strip() == "nothing due"
    assert provider.refreshes == 1


def test_a_failing_token_does_not_end_the_sweep(
    capsys: pytest.CaptureFixture[str], user: AbstractUser, provider: Provider
) -> None:
    for account in ("a", "b"):
        age(user.oauth_tokens.store("acme", provider.issue(), account_id=account), EXPIRED)
    provider.misbehave("status", status=503, times=1)
    assert run(capsys, "oauth_tokens_refresh").strip() == "1 http_503, 1 refreshed"


def test_a_sweep_saves_what_the_database_would_not_take(
    capsys: pytest.CaptureFixture[str], token: OAuthToken, provider: Provider
) -> None:
    rescued = get_provider("acme").parse_token_response(provider.issue())
    kept = rescue.Kept(
        token_set=rescued,
        provider="acme",
        client_id=token.client_id,
        version=token.version,
        grant_id=str(token.grant_id),
        sent_at=timezone.now(),
    )
    rescue.keep(token.key, kept)
    assert run(capsys, "oauth_tokens_refresh").strip() == "1 restored"
    assert OAuthToken.objects.get().access_token == rescued.access_token


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_loop_needs_a_pause(seconds: str) -> None:
    with pytest.raises(CommandError, match="greater than 0"):
        call_command("oauth_tokens_refresh", f"--loop={seconds}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_loop_refreshes_until_it_is_told_to_end(
    processes: Processes, user: AbstractUser, provider: Provider, number: int
) -> None:
    age(user.oauth_tokens.store("acme", provider.issue()), EXPIRED)
    command = ("-u", "-m", "django", "oauth_tokens_refresh", "--loop", "0.1", "--skip-checks")
    process = processes.start(sys.executable, *command)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "1 refreshed"
    assert process.stdout.readline().strip() == "nothing due"
    process.send_signal(number)
    assert process.wait(timeout=20) == 0
    assert OAuthToken.objects.get().version == 2
