"""Marking texts for translation where there may be no settings: Django's own mark reads them."""

from __future__ import annotations


def gettext_noop(text: str) -> str:
    """``text`` as it is; whoever shows it translates it."""
    return text
