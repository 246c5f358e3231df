"""Providers by name.

Light to import, since the models need it: what a provider is made of is imported with the first one
that somebody asks for.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .. import conf
from ..exceptions import ProviderMisconfigured

if TYPE_CHECKING:
    from ..options import Problem
    from .base import Provider


def get_provider(name: str) -> Provider:
    """The provider as configured, without asking it for its metadata: no I/O.

    Raises:
        ProviderMisconfigured: there is no such provider; the message names the likely meant one.
    """
    configured = conf.get_settings().PROVIDERS
    if name not in configured:
        raise ProviderMisconfigured(
            f"OAUTH_TOKENS['PROVIDERS'] has no provider {name!r}. {_fix(name, configured)}",
            code="unknown_provider",
            provider=name,
        )
    from .building import build

    return build(name)


def _fix(name: str, configured: Mapping[str, Any]) -> str:
    from .presets import PRESETS

    close = difflib.get_close_matches(str(name), configured, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    preset = f"'preset': {name!r}, " if name in PRESETS else ""
    return (
        f"Add {name!r}: {{{preset}'client_id': '...', 'client_secret': '...', ...}} to it, or ask "
        f"for one that is configured ({', '.join(configured) or 'none is'})."
    )


def resolve_provider(
    name: str,
    *,
    client_id: str = "",
    variables: Mapping[str, str] | None = None,
    redirected: bool = True,
) -> Provider:
    """As :func:`get_provider`, ready to be talked to: with the credentials of the client that a
    token was issued to, the variables in its addresses filled in, and endpoints from the issuer's
    metadata where they are not set.

    May ask the issuer over HTTP, once in a while.

    Arguments:
        client_id: of the client that the token was issued to; "", or one that is not among
            ``previous_clients``, for the one in use now.
        variables: values of the variables in the provider's addresses.
        redirected: False before the user is back, when what the redirect brings is not known yet.

    Raises:
        ProviderMisconfigured: no such provider, a variable without a usable value, or metadata that
            names another issuer.
        ProviderUnavailable: its metadata was never fetched and cannot be fetched now.
    """
    from .building import as_client, at, with_client
    from .checking import REQUIRED
    from .discovery import discovered

    provider = with_client(get_provider(name))
    provider = at(as_client(provider, client_id), variables or {}, redirected)
    if provider.issuer and not all(getattr(provider, key) for key in REQUIRED):
        return discovered(provider)
    return provider


def provider_names() -> list[str]:
    """Names of all configured providers, in the order of the settings."""
    return list(conf.get_settings().PROVIDERS)


def all_provider_problems() -> Iterator[Problem]:
    """The mistakes in the descriptions of all providers."""
    from .checking import provider_problems

    providers = conf.raw().get("PROVIDERS", {})
    if isinstance(providers, Mapping):
        for name, description in providers.items():
            yield from provider_problems(name, description)
