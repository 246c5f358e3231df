"""A site's own templates for the app's pages, written by the table in docs/views.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.template import RequestContext
from django.test import Client
from pytest_django import Settings

import oauth_tokens
from oauth_tokens import OAuthToken
from tests.support.provider import Provider

#: Template -> what the table says that there is in its context.
TABLE = {
    template: set(re.findall(r"`(\w+)`", context))
    for template, context in re.findall(
        r"^\| `(\w+\.html)` \|[^|]*\|([^|]*)\|$",
        (Path(__file__).parents[2] / "docs/views.md").read_text(),
        re.MULTILINE,
    )
}

OF_TAGS = {"block", "forloop", "LANGUAGE_CODE", "LANGUAGE_BIDI"}


@pytest.fixture(autouse=True)
def _accounts(client: Client, user: AbstractUser, provider: Provider) -> None:
    """Alice is signed in, and has connected two accounts."""
    for account in ("one", "two"):
        user.oauth_tokens.store("acme", provider.issue(), account_id=account)
    client.force_login(user)


def given(answer: Any, name: str) -> set[str]:
    """What a template of this answer had, beyond what it has of context processors and tags."""
    template, context = next(
        (template, context)
        for template, context in zip(answer.templates, answer.context, strict=True)
        if template.name == f"oauth_tokens/{name}"
    )
    bare = RequestContext(answer.wsgi_request)
    with bare.bind_template(template):
        return set(context.flatten()) - set(bare.flatten()) - OF_TAGS


def test_the_table_knows_every_template() -> None:
    pages = (Path(oauth_tokens.__file__).parent / "templates/oauth_tokens").glob("*.html")
    assert {path.name for path in pages} - {"base.html"} == set(TABLE)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("connections.html", "/oauth/"),
        ("disconnect.html", "/oauth/acme/disconnect/?account=one"),
        ("address.html", "/oauth/acme/connect/"),
        ("result.html", "/oauth/none/connect/"),
    ],
)
def test_the_table_names_what_the_pages_give(
    client: Client, configure: Callable[..., None], name: str, path: str
) -> None:
    configure(acme={"url_variables": {"shop": {}}})
    assert given(client.get(path), name) == TABLE[name]


def test_the_table_names_what_the_page_of_connections_gives_to_each(client: Client) -> None:
    answer = client.get("/oauth/")
    outside = given(answer, "connections.html")
    assert given(answer, "connection.html") - outside == TABLE["connection.html"]


def test_whoever_makes_a_form_of_what_the_table_says_disconnects_that_account_alone(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    own = tmp_path / "oauth_tokens/disconnect.html"
    own.parent.mkdir()
    own.write_text('{{ label }} {{ next }}<form method="post">{% csrf_token %}<button></form>')
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = "/oauth/acme/disconnect/?account=one&next=/wanted/"
    answer = client.get(page)
    assert answer.content.decode().startswith("Acme /wanted/<form")
    assert client.post(page)["Location"] == "/wanted/"
    assert OAuthToken.objects.get().account_id == "two"
