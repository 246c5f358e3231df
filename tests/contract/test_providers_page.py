"""docs/providers.md is what the presets say, and what it says works."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from oauth_tokens.providers.checking import provider_problems
from oauth_tokens.providers.presets import PRESETS

DOCS = Path(__file__).parents[2] / "docs"
SNIPPET = re.compile(r'^"(\w+)": (\{"preset": .*\}),$', re.MULTILINE)


def test_the_page_is_up_to_date() -> None:
    generator = runpy.run_path(str(DOCS / "generate_providers.py"))
    fix = "Run: python docs/generate_providers.py"
    assert generator["page"]() == (DOCS / "providers.md").read_text(), fix


@pytest.mark.parametrize("preset", PRESETS)
def test_its_settings_are_sound(preset: str) -> None:
    written = dict(SNIPPET.findall((DOCS / "providers.md").read_text()))
    description = ast.literal_eval(written[preset].replace('"https://..."', '"https://id.example"'))
    assert [problem.message for problem in provider_problems(preset, description)] == []


def test_every_provider_is_in_the_overview_and_linked_to_its_section() -> None:
    text = (DOCS / "providers.md").read_text()
    links = re.findall(r"^\| \[[^]]+\]\(#([^)]+)\) \| `(\w+)`", text, re.MULTILINE)
    assert {name for _, name in links} == set(PRESETS)
    headings = {
        "".join(c for c in heading.lower() if c.isalnum() or c in " -").replace(" ", "-")
        for heading in re.findall(r"^### (.+)$", text, re.MULTILINE)
    }
    assert {anchor for anchor, _ in links} == headings
