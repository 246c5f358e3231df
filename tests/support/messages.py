"""What there is to translate, and the translations, read without gettext's tools."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from gettext import GNUTranslations
from pathlib import Path

from django.utils.translation.template import templatize

PACKAGE = Path(__file__).parents[2] / "oauth_tokens"
LANGUAGES = ("de", "es")
#: Context, message, and its plural; "" where there is none.
Message = tuple[str, str, str]
_ARGUMENTS = {
    "gettext": (None, 0, None),
    "ngettext": (None, 0, 1),
    "pgettext": (0, 1, None),
    "npgettext": (0, 1, 2),
}
_STRING = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CALL = re.compile(
    rf"\b(_|n?p?gettext)\(({_STRING})(?:,\s*({_STRING}))?(?:,\s*({_STRING}))?", re.DOTALL
)


@cache
def messages_of_the_code() -> set[Message]:
    """Every message that Python and templates of the package give to gettext."""
    found: set[Message] = set()
    for path in PACKAGE.rglob("*.py"):
        found.update(_of_python(path.read_text(encoding="utf-8")))
    for path in (PACKAGE / "templates").rglob("*.*"):
        found.update(_of_template(path.read_text(encoding="utf-8")))
    return found


def _of_python(source: str) -> Iterator[Message]:
    tree = ast.parse(source)
    # As xgettext does, "_" is taken for it wherever it comes from.
    names = {"_": "gettext"} | {
        alias.asname or alias.name: alias.name.removesuffix("_lazy").removesuffix("_noop")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            function = names.get(node.func.id, "")
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if function in _ARGUMENTS and texts:
                yield _message(function, [str(text) for text in texts])


def _of_template(source: str) -> Iterator[Message]:
    for call in _CALL.finditer(templatize(source)):
        function = "gettext" if call[1] == "_" else call[1]
        yield _message(function, [ast.literal_eval(text) for text in call.groups()[1:] if text])


def _message(function: str, texts: list[str]) -> Message:
    context, one, many = ("" if at is None else texts[at] for at in _ARGUMENTS[function])
    return context, one, many


@cache
def translations_of(language: str) -> dict[Message, list[str]]:
    """What ``django.po`` has for each message: one text, or one for each plural form."""
    path = PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po"
    found: dict[Message, list[str]] = {}
    for entry in path.read_text(encoding="utf-8").split("\n\n"):
        assert "#, fuzzy" not in entry, entry
        fields: dict[str, str] = {}
        field = ""
        for line in entry.splitlines():
            if match := re.match(r"(msg\w+(?:\[\d\])?) ", line):
                field, line = match[1], line[match.end() :]  # noqa: PLW2901
                fields[field] = ""
            if line.startswith('"'):
                fields[field] += ast.literal_eval(line)
        key = fields.pop("msgctxt", ""), fields.pop("msgid"), fields.pop("msgid_plural", "")
        assert key not in found, key
        found[key] = list(fields.values())
    return found


def compiled(language: str) -> dict[object, str]:
    """What ``django.mo`` holds, by message, and by message and number of the plural form."""
    path = PACKAGE / "locale" / language / "LC_MESSAGES" / "django.mo"
    with path.open("rb") as file:
        catalog: dict[object, str] = GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    return catalog
