"""The codes of ReauthenticationRequired in docs/calling-apis.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from oauth_tokens.exceptions import REAUTHENTICATION_CODES

PAGE = Path(__file__).parents[2] / "docs" / "calling-apis.md"


def test_every_code_has_its_row() -> None:
    table = PAGE.read_text().partition("| code | why ")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(REAUTHENTICATION_CODES)
