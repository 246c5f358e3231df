"""What a project sees of the app before anybody connects anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from pytest_django import Settings

from tests.support.provider import Provider

ROOT = Path(__file__).parents[2]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_importing_the_package_needs_no_django() -> None:
    done = python(
        "import sys, oauth_tokens; "
        "assert not [name for name in sys.modules if name.startswith('django')]; "
        "print(oauth_tokens.__version__)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".") == 2


def test_after_setup_the_public_names_are_there() -> None:
    done = python(
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; "
        "import oauth_tokens, django; django.setup(); "
        "from oauth_tokens import OAuthToken, TokenEvent, exceptions, signals; "
        "assert set(oauth_tokens.__all__) >= {'OAuthToken', 'TokenEvent'}; "
        "assert issubclass(exceptions.RefreshTimeout, exceptions.RefreshFailed)"
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    import oauth_tokens

    with pytest.raises(AttributeError, match="Token"):
        _ = oauth_tokens.Token


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    out = StringIO()
    call_command("makemigrations", "oauth_tokens", check=True, dry_run=True, stdout=out)
    assert "No changes detected" in out.getvalue()


def test_sound_settings_pass_the_system_checks(provider: Provider) -> None:
    assert [message for message in run_checks() if str(message.id).startswith("oauth_")] == []


@pytest.mark.parametrize(
    ("change", "check_id"),
    [
        ({"ENCRYPTION_KEYS": []}, "oauth_tokens.E004"),
        ({"LOCK_TIMEOUT": 2}, "oauth_tokens.E005"),
        ({"PROVIDERS": {"acme": {"client_id": "c"}}}, "oauth_tokens.E017"),
        ({"UNKNOWN": 1}, "oauth_tokens.E002"),
        ({"REDIS_URL": ""}, "oauth_tokens.W001"),
    ],
)
def test_a_mistake_is_found_by_the_system_checks(
    configure: Callable[..., None], change: dict[str, object], check_id: str
) -> None:
    configure(**change)
    found = [message for message in run_checks() if str(message.id).startswith("oauth_tokens.")]
    assert check_id in {message.id for message in found}
    assert all(message.hint for message in found)


def test_missing_settings_are_one_error_and_no_crash(settings: Settings) -> None:
    del settings.OAUTH_TOKENS
    found = [message.id for message in run_checks() if str(message.id).startswith("oauth_tokens.")]
    assert found == ["oauth_tokens.E001"]
