"""Write docs/settings.md from what the code says: ``python docs/generate_settings.py``."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from oauth_tokens import options
from oauth_tokens.providers import description

PAGE = Path(__file__).parent / "settings.md"
_INTRO = """\
<!-- Written by docs/generate_settings.py from options.py and providers/description.py. -->

# Settings

Everything is in one dict, `OAUTH_TOKENS`. `python manage.py check` names mistakes in it, and the
fix of each ([all checks](checks.md)). Durations are in seconds.

"""
_PROVIDERS = """
## Describing a provider

The keys of one entry of `PROVIDERS`, beside `preset` ([all presets](providers.md)). Most are names
registered for server metadata (RFC 8414) and client metadata (RFC 7591); the others are one for
each way in which providers were seen to differ.

A path is dotted, and a number in it counts within a list: "authed_user.id", "errors.0.errorType".
`{name}` in an address stands for `client_id` or a variable of `url_variables`; in the value of a
parameter, also for `redirect_uri`, `random`, one of the `metadata_fields` kept at connect or, when
a code is exchanged, `state`.

"""


def page() -> str:
    """The whole page."""
    own = _table(fields(options.Settings), _arguments(options.Settings))
    providers = [field for field in fields(description.Description) if field.name != "name"]
    return _INTRO + own + _PROVIDERS + _table(providers, _docstrings(description.Description))


def _table(keys: Any, words: dict[str, str]) -> str:
    lines = ["| key | default | |", "| --- | --- | --- |"]
    lines += [f"| `{key.name}` | {_default(key)} | {words.get(key.name, '')} |" for key in keys]
    return "\n".join(lines) + "\n"


def _default(field: Field[Any]) -> str:
    value = field.default
    if value is MISSING:
        value = None if field.default_factory is MISSING else field.default_factory()
        if value is None:
            return "required"
    if value in ("", (), [], {}):
        return "—"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value!r}`".replace('"', "'")


def _arguments(kind: type) -> dict[str, str]:
    """Name to words, from the "Arguments" of a docstring."""
    found = re.findall(
        r"^    (\w+): (.*?)(?=^    \w+: |\Z)", inspect.getdoc(kind) or "", re.M | re.S
    )
    return {name: _words(text) for name, text in found}


def _docstrings(kind: type) -> dict[str, str]:
    """Name to words, from the string below each field."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    return dict(_below(tree.body))  # type: ignore[attr-defined]


def _below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, words in itertools.pairwise(body):
        told = isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and told:
            yield field.target.id, _words(str(words.value.value))


def _words(text: str) -> str:
    text = re.sub(r":\w+:`[~.]*([^`]+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
