"""docs/settings.md is what the code says of its settings."""

from __future__ import annotations

import re
import runpy
from dataclasses import fields
from pathlib import Path

from oauth_tokens.options import Settings
from oauth_tokens.providers.description import Description

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    generator = runpy.run_path(str(DOCS / "generate_settings.py"))
    fix = "Run: make docs"
    assert generator["page"]() == (DOCS / "settings.md").read_text(), fix


def test_every_key_is_there_and_told_of() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.*) \|$", (DOCS / "settings.md").read_text(), re.M)
    told = dict(rows)
    names = [field.name for kind in (Settings, Description) for field in fields(kind)]
    assert set(told) == set(names) - {"name"}
    plain = {"client_id", "client_secret", "authorization_endpoint", "token_endpoint"}
    assert {name for name, words in told.items() if not words} <= plain
