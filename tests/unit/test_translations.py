"""The translations are complete, and those that are in use are those that can be read."""

from __future__ import annotations

import re

import pytest

from tests.support.messages import (
    LANGUAGES,
    compiled,
    messages_of_the_code,
    translations_of,
)

HINT = "run: make messages, then translate what is new in oauth_tokens/locale, and run it again"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_translated_is_what_there_is_to_translate(language: str) -> None:
    there_is = messages_of_the_code()
    assert len(there_is) > 200
    translated = set(translations_of(language)) - {("", "", "")}
    assert there_is - translated == set(), HINT
    assert translated - there_is == set(), HINT


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_empty(language: str) -> None:
    translations = translations_of(language)
    assert [key for key, texts in translations.items() if not all(texts)] == []


def markup(text: str) -> set[str]:
    """What a translation has to keep: placeholders and tags."""
    return set(re.findall(r"%\(\w+\)[sd]|%%|<[^>]+>", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_and_tags_are_kept(language: str) -> None:
    wrong = [
        (one, text)
        for (_context, one, many), texts in translations_of(language).items()
        for text in texts
        if one and text and markup(text) not in (markup(one), markup(many or one))
    ]
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    expected: dict[object, str] = {}
    for (context, one, many), texts in translations_of(language).items():
        key = f"{context}\x04{one}" if context else one
        for number, text in enumerate(filter(None, texts)):
            expected[(key, number) if many else key] = text
    # gettext takes the header apart.
    expected.pop("")
    found = compiled(language)
    found.pop("")
    assert found == expected, "run: make messages"


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_end_alike(language: str) -> None:
    """A full stop, colon or question mark is the same in all these languages."""
    ends = {
        (one, text)
        for (_context, one, _many), texts in translations_of(language).items()
        for text in texts
        if one and text and (one[-1] in ".:?") != (text[-1] in ".:?")
    }
    assert ends == set()
