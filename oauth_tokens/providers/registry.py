"""Providers by name, built from the settings on first use."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any

from django.conf import settings as django_settings

from .. import conf
from ..exceptions import ProviderMisconfigured
from .base import Provider
from .checking import ADDRESSES, REQUIRED, merged, provider_problems
from .discovery import discovered
from .variables import InvalidVariable, accept_all, fill_address, parse_variables

_TUPLES = tuple(f.name for f in fields(Provider) if str(f.type).startswith(("tuple", "_Words")))
_CREDENTIALS = ("client_secret", "private_key", "private_key_id", "token_endpoint_auth_signing_alg")


def get_provider(name: str) -> Provider:
    """The provider as configured, without asking it for its metadata: no I/O.

    Raises:
        ProviderMisconfigured: there is no such provider; the message names the likely meant one.
    """
    configured = conf.get_settings().PROVIDERS
    if name not in configured:
        close = difflib.get_close_matches(str(name), configured, n=1)
        fix = f"Did you mean {close[0]!r}?" if close else f"Configured: {sorted(configured)}."
        raise ProviderMisconfigured(
            f"OAUTH_TOKENS['PROVIDERS'] has no provider {name!r}. {fix}",
            code="unknown_provider",
            provider=name,
        )
    return _build(name)


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
    provider = _at(_as_client(get_provider(name), client_id), variables or {}, redirected)
    if provider.issuer and not all(getattr(provider, key) for key in REQUIRED):
        return discovered(provider)
    return provider


def provider_names() -> list[str]:
    """Names of all configured providers, in the order of the settings."""
    return list(conf.get_settings().PROVIDERS)


def _as_client(provider: Provider, client_id: str) -> Provider:
    """``provider`` with the credentials of an earlier client, where it is one."""
    if client_id != provider.client_id:
        for client in provider.previous_clients:
            if client["client_id"] == client_id:
                changes: dict[str, Any] = {**dict.fromkeys(_CREDENTIALS, ""), **client}
                if ("private_key" in client) != bool(provider.private_key):
                    # Another kind of credentials says itself how it authenticates.
                    changes.setdefault("token_endpoint_auth_method", "")
                return replace(provider, **changes)
    return provider


def _at(provider: Provider, variables: Mapping[str, str], redirected: bool) -> Provider:
    """``provider`` with ``variables`` in its addresses."""
    if not provider.url_variables:
        return provider
    try:
        values = accept_all(provider.url_variables, variables, redirected=redirected)
        addresses: dict[str, Any] = {
            key: fill_address(getattr(provider, key), values) for key in ADDRESSES
        }
    except InvalidVariable as error:
        raise ProviderMisconfigured(
            f"The addresses of provider {provider.name!r} need a value: {error}. Have the user "
            "connect, where it is asked for, or give store() extra={'url_variables': {...}}.",
            code="url_variable",
            provider=provider.name,
        ) from None
    return replace(provider, **addresses)


@cache
def _build(name: str) -> Provider:
    raw = conf.get_settings().PROVIDERS[name]
    for problem in provider_problems(name, raw):
        raise ProviderMisconfigured(
            f"{problem.message} {problem.hint} ({problem.id})", code="bad_settings", provider=name
        )
    values = merged(raw)
    for key in _TUPLES:
        if key in values:
            value = values[key]
            values[key] = tuple(value.split()) if isinstance(value, str) else tuple(value)
    if "url_variables" in values:
        values["url_variables"] = parse_variables(values["url_variables"])
    return Provider(name=name, **values)


conf.on_change(_build.cache_clear)


def all_provider_problems() -> Iterator[conf.Problem]:
    """The mistakes in the descriptions of all providers."""
    raw = getattr(django_settings, conf.NAME, None)
    providers = raw.get("PROVIDERS", {}) if isinstance(raw, Mapping) else {}
    if isinstance(providers, Mapping):
        for name, description in providers.items():
            yield from provider_problems(name, description)


__all__ = ["all_provider_problems", "get_provider", "provider_names", "resolve_provider"]
