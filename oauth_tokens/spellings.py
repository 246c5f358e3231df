"""Values of token responses and of callers, in all the spellings that there are."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: Longest lifetime believed, in seconds: larger ones would overflow dates and mean "never".
MAX_LIFETIME = 100 * 365 * 86400


def scope_tokens(scopes: str | Iterable[str]) -> tuple[str, ...]:
    """Scopes as callers write them: a list, or a string with spaces (RFC 6749 section 3.3)."""
    return tuple(scopes.split() if isinstance(scopes, str) else scopes)


def parse_seconds(value: object) -> float | None:
    """A lifetime in any of the spellings seen in the field, in seconds.

    Accepts int, float, numeric string. Returns None where there is no usable number: absent,
    null, "", text, NaN, a bool, a negative number. ``0`` is returned as 0: what it means depends
    on the provider.
    """
    seconds = parse_number(value)
    return None if seconds is None else min(seconds, float(MAX_LIFETIME))


def parse_number(value: object) -> float | None:
    """As :func:`parse_seconds`, however large: a Unix time, say."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(number) or number < 0 else number


def parse_scope(value: object, separator: str = " ") -> frozenset[str] | None:
    """Scopes from a string (RFC 6749 section 3.3) or a list; None where the response has none.

    Arguments:
        separator: what the provider puts between scopes; white space always separates, too.
    """
    if isinstance(value, str):
        words = value.replace(separator, " ").split()
    elif isinstance(value, (list, tuple)):
        words = [word for item in value if isinstance(item, str) for word in item.split()]
    else:
        return None
    return frozenset(word for word in words if word.isprintable()) or None
