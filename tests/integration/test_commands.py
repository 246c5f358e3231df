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
from oauth_tokens.encryption import generate_key
from oauth_tokens.models import ProviderCircuit, TaskRun
from oauth_tokens.providers.registry import get_provider
from oauth_tokens.upkeep import SWEEP
from tests.support.processes import Processes
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, FRESH, age, kept, pending_revocation

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


def status(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, Any]:
    found = 0
    try:
        call_command("oauth_tokens_status", "--json")
    except SystemExit as error:
        found = int(error.code or 0)
    assert found == code
    overview: dict[str, Any] = json.loads(capsys.readouterr().out)
    return overview


def test_all_is_well(capsys: pytest.CaptureFixture[str], token: OAuthToken) -> None:
    TaskRun.objects.create(task=SWEEP, ran_at=timezone.now())
    overview = status(capsys, 0)
    assert overview["alarms"] == []
    assert overview["providers"]["acme"]["active"] == 1
    assert overview["sweep"]["due"] == 0
    assert len(overview["hours"]) > 6 * 24
    lines = run(capsys, "oauth_tokens_status").splitlines()
    assert lines[0].split()[:3] == ["provider", "connected", "expired"]
    assert lines[1].split()[:3] == ["acme", "1", "0"]
    assert lines[-1].startswith("last sweep: ")
    assert lines[-1].endswith("ago; 0 due; 0 revocations pending")


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
    overview = status(capsys, 0)
    acme = overview["providers"]["acme"]
    assert (acme["active"], acme["reauth_required"], acme["revoking"]) == (0, 3, 1)
    assert overview["causes"] == [
        {"provider": "acme", "code": "refresh_token_invalid", "count": 2},
        {"provider": "acme", "code": "outcome_unknown", "count": 1},
    ]
    text = run(capsys, "oauth_tokens_status")
    assert text.splitlines()[1].split()[:5] == ["acme", "0", "0", "3", "1"]
    words = "2 of acme to connect again: the provider no longer accepts the refresh token"
    assert words in text


def test_a_sweep_that_does_not_run(capsys: pytest.CaptureFixture[str], token: OAuthToken) -> None:
    OAuthToken.objects.update(refresh_at=timezone.now() - timedelta(seconds=700))
    overview = status(capsys, 1)
    assert overview["sweep"] | {"due_since": ""} == {"ran_at": None, "due": 1, "due_since": ""}
    assert [alarm["code"] for alarm in overview["alarms"]] == ["sweep_silent"]


@pytest.mark.parametrize("operator", [True, False])
def test_a_failing_provider(
    capsys: pytest.CaptureFixture[str], token: OAuthToken, operator: bool
) -> None:
    now = timezone.now()
    ProviderCircuit.objects.create(
        provider="acme", code="bad_code", operator=operator, opened_at=now, probe_at=now
    )
    # An outage of the provider is nobody's fault here.
    overview = status(capsys, int(operator))
    assert overview["alarms"][0]["provider"] == "acme"
    assert overview["alarms"][0]["operator"] is operator


def test_the_first_lines_say_what_to_do(
    capsys: pytest.CaptureFixture[str], token: OAuthToken
) -> None:
    now = timezone.now()
    ProviderCircuit.failed("acme", "invalid_client", now, "default", operator=True)
    with pytest.raises(SystemExit):
        call_command("oauth_tokens_status")
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("PROBLEM: acme has been refusing this site for ")
    assert "Check its client_id" in first


@pytest.mark.parametrize("keys", [[], ["too short"], "no.such.callable"])
def test_the_status_says_that_there_is_no_key(
    capsys: pytest.CaptureFixture[str],
    token: OAuthToken,
    configure: Configure,
    processes: Processes,
    keys: object,
) -> None:
    configure(ENCRYPTION_KEYS=keys)
    overview = status(capsys, 1)
    assert overview["settings_known"] is False
    assert overview["providers"]["acme"]["active"] == 1
    (alarm,) = overview["alarms"]
    assert alarm["code"] == "settings"
    assert "ENCRYPTION_KEYS" in alarm["text"]
    # System checks, which call_command() leaves out, do not speak first.
    process = processes.start(sys.executable, "-m", "django", "oauth_tokens_status")
    assert process.communicate()[0].startswith(f"PROBLEM: {alarm['text']}")
    assert process.returncode == 1


def test_the_status_says_that_a_key_is_missing(
    capsys: pytest.CaptureFixture[str],
    user: AbstractUser,
    provider: Provider,
    configure: Configure,
    settings: Settings,
) -> None:
    old = settings.OAUTH_TOKENS["ENCRYPTION_KEYS"]
    lost = user.oauth_tokens.store("acme", provider.issue(), account_id="before")
    new = [generate_key()]
    configure(ENCRYPTION_KEYS=new)
    user.oauth_tokens.store("acme", provider.issue(), account_id="after")
    (alarm,) = status(capsys, 1)["alarms"]
    assert alarm["code"] == "missing_key"
    assert "oldest tokens, 1 was encrypted" in alarm["text"]
    configure(ENCRYPTION_KEYS=[*new, *old])
    assert status(capsys, 0)["alarms"] == []
    # Nobody can use it anyway.
    configure(ENCRYPTION_KEYS=new)
    OAuthToken.objects.filter(pk=lost.pk).update(status="reauth_required")
    assert status(capsys, 0)["alarms"] == []


def test_the_status_says_that_the_database_cannot_be_read(processes: Processes) -> None:
    nowhere = "postgres://someone:secret@127.0.0.1:1/nothing"
    command = (sys.executable, "-m", "django", "oauth_tokens_status")
    text = processes.start(*command, DATABASE_URL=nowhere)
    machines = processes.start(*command, "--json", DATABASE_URL=nowhere)
    # No figures are better than wrong ones.
    (line,) = text.communicate()[0].splitlines()
    assert line.startswith("PROBLEM: The tokens cannot be counted: OperationalError.")
    assert "migrate" in line
    assert "secret" not in line
    (alarm,) = json.loads(machines.communicate()[0])["alarms"]
    assert (alarm["code"], alarm["operator"]) == ("uncountable", True)
    assert text.returncode == machines.returncode == 1


# oauth_tokens_refresh


def test_one_sweep(
    capsys: pytest.CaptureFixture[str], user: AbstractUser, provider: Provider
) -> None:
    for account, left in (("due", EXPIRED), ("fresh", FRESH), ("dead", EXPIRED)):
        age(user.oauth_tokens.store("acme", provider.issue(), account_id=account), left)
    OAuthToken.objects.filter(account_id="fresh").update(refresh_at=None)
    OAuthToken.objects.filter(account_id="dead").update(encrypted_refresh_token=None)
    pending_revocation(user, provider.issue()["refresh_token"])
    text = run(capsys, "oauth_tokens_refresh")
    assert text.strip() == "1 no_refresh_token, 1 refreshed, 1 revoked"
    assert provider.refreshes == 1
    assert OAuthToken.objects.get(account_id="due").version == 2
    assert OAuthToken.objects.get(account_id="dead").status == "reauth_required"
    assert run(capsys, "oauth_tokens_refresh").strip() == "nothing due"
    assert provider.refreshes == 1


@pytest.mark.parametrize("command", ["oauth_tokens_refresh", "oauth_tokens_rotate_keys"])
def test_what_can_take_long_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    user: AbstractUser,
    provider: Provider,
    command: str,
) -> None:
    for account in ("one", "two"):
        age(user.oauth_tokens.store("acme", provider.issue(), account_id=account), EXPIRED)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    call_command(command, no_progress=True)
    assert capsys.readouterr().err == ""
    OAuthToken.objects.update(refresh_at=timezone.now())
    call_command(command)
    assert f"\r[{'#' * 40}] 2/2 (100%)" in capsys.readouterr().err


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
    rescue.keep(token.key, kept(token, rescued))
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
