"""What a project sees of the app before anybody connects anything."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.checks import run_checks
from django.core.management import call_command
from django.urls import reverse
from pytest_django import Settings

from oauth_tokens.checks import check_settings
from oauth_tokens.encryption import generate_key
from oauth_tokens.providers.checking import provider_problems
from oauth_tokens.providers.registry import get_provider
from project import environment
from project.accounts import ACME_ALICE
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


CONFIGURE = """
import gc, sys, django
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "sessions", "messages"]
settings.configure(INSTALLED_APPS=[f"django.contrib.{name}" for name in apps] + ["oauth_tokens"])
"""


def test_setup_imports_nothing_that_is_not_needed_yet() -> None:
    ours = ("options", "token_set", "rescue", "locks", "distances", "refresh.protocol", "overview")
    late = {"requests", "celery", "cryptography", "oauthlib", "redis"}
    late.update(f"oauth_tokens.{name}" for name in ours)
    done = python(
        f"{CONFIGURE}"
        "django.setup()\n"
        f"print({late} & set(sys.modules), 'oauth_tokens.admin.tokens' in sys.modules)"
    )
    assert done.stdout.strip() == "set() True", done.stderr


def test_no_garbage_is_looked_for_while_the_app_is_imported() -> None:
    done = python(
        f"{CONFIGURE}"
        "passes = []\n"
        "gc.callbacks.append(lambda *_: passes.append(sys._getframe(1).f_globals['__name__']))\n"
        "gc.set_threshold(1)\n"
        "django.setup()\n"
        "ours = ('oauth_tokens.models', 'oauth_tokens.admin.')\n"
        "print([name for name in passes if name.startswith(ours)], 'django.apps.config' in passes)"
    )
    assert done.stdout.strip() == "[] True", done.stderr


@pytest.mark.parametrize("works", [True, False])
def test_setup_leaves_the_garbage_collector_as_it_was(works: bool) -> None:
    done = python(
        f"{CONFIGURE}gc.enable() if {works} else gc.disable()\n"
        "django.setup()\n"
        "print(gc.isenabled())"
    )
    assert done.stdout.strip() == str(works), done.stderr


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


def readme_blocks() -> list[str]:
    """The README's Python, from the installation to what a view has to know."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start, end = text.index("## Use it"), text.index("## What a view has to know")
    return re.findall(r"^```python\n(.*?)^```", text[start:end], re.MULTILINE | re.DOTALL)


def test_the_quickstart_is_sound_as_it_stands(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTH_TOKENS_KEY", generate_key())
    monkeypatch.setenv("GOOGLE_ID", "id")
    monkeypatch.setenv("GOOGLE_SECRET", "secret")
    written, urls, celery, *_ = readme_blocks()
    names: dict[str, Any] = {"urlpatterns": [], "app": Celery(set_as_current=False)}
    for block in (written, urls, celery):
        exec(block, names)  # noqa: S102
    settings.OAUTH_TOKENS = names["OAUTH_TOKENS"]
    assert check_settings() == []
    assert get_provider("google").client_id == "id"
    assert len(names["urlpatterns"][0].url_patterns) > 3
    assert "refresh_due_tokens" in names["app"].conf.beat_schedule


def test_the_providers_of_the_readme_are_sound() -> None:
    described = [
        ast.literal_eval(f"{{{block}}}") for block in readme_blocks() if block.startswith('"')
    ]
    assert [list(providers) for providers in described] == [["acme"], ["acme", "other"]]
    for providers in described:
        for name, description in providers.items():
            assert list(provider_problems(name, description)) == []


def test_the_readme_knows_the_demos_server() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    demo = ast.literal_eval(f"{{{readme_blocks()[3]}}}")["acme"]
    assert demo["issuer"] == f"http://127.0.0.1:{environment.PORTS['AUTH_PORT']}/o"
    served = (ROOT / "project/authserver/settings.py").read_text(encoding="utf-8")
    assert all(f'"{scope}": "See' in served for scope in demo["scope"])
    assert f"`{ACME_ALICE.username}` with `{ACME_ALICE.password}`" in readme
    for name in ("ACME_CLIENT_ID", "ACME_CLIENT_SECRET"):
        assert name in readme
        assert name in environment.GENERATED
    (uri,) = re.findall(r"make demo EXTRA_REDIRECT_URI=(\S+)", readme)
    assert uri.endswith(reverse("oauth_tokens:callback", kwargs={"provider": "acme"}))
    environment.check_redirect_uris({"EXTRA_REDIRECT_URI": f"{uri},https://dev.example/oauth/cb"})


@pytest.mark.parametrize("uri", ["127.0.0.1:8001/cb/", "http://127.0.0.1:8001", "http://a/#x"])
def test_the_demo_refuses_what_is_no_redirect_uri(uri: str) -> None:
    with pytest.raises(environment.DemoError, match=r"EXTRA_REDIRECT_URI must be like http://"):
        environment.check_redirect_uris({"EXTRA_REDIRECT_URI": uri})
    environment.check_redirect_uris({})


def test_missing_settings_are_one_error_and_no_crash(settings: Settings) -> None:
    del settings.OAUTH_TOKENS
    found = [message.id for message in run_checks() if str(message.id).startswith("oauth_tokens.")]
    assert found == ["oauth_tokens.E001"]
