"""Facts about well-known providers, as settings would give them. Each is dated.

A preset is what stands under a provider's own settings, which win over it key by key. What is for
people only is left out of :data:`PRESETS`: ``about``; ``access_token_lifetime`` in seconds, which
answers tell; and ``assumed``, the answers ("dead", to a dead refresh token; "wrong_client", to a
wrong secret) that the provider is not known to document, so that RFC 6749's words are expected. The
documentation's page is made of :func:`facts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

_FOR_PEOPLE = ("about", "access_token_lifetime", "assumed")


@cache
def facts() -> dict[str, dict[str, Any]]:
    """Every preset with what is for people; read on first use, since few processes use any."""
    from . import business, commerce, development, health, identity, productivity, social

    return {
        **identity.PRESETS,
        **development.PRESETS,
        **productivity.PRESETS,
        **business.PRESETS,
        **commerce.PRESETS,
        **social.PRESETS,
        **health.PRESETS,
    }


class _Presets(Mapping[str, dict[str, Any]]):
    def __getitem__(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in facts()[name].items() if key not in _FOR_PEOPLE}

    def __iter__(self) -> Iterator[str]:
        return iter(facts())

    def __len__(self) -> int:
        return len(facts())


PRESETS: Mapping[str, dict[str, Any]] = _Presets()
