"""A provider as its settings, its preset, a token's own client and address make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any

from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from .. import conf
from ..exceptions import ProviderMisconfigured
from .base import Provider
from .checking import ADDRESSES, merged, provider_problems
from .variables import InvalidVariable, accept_all, fill_address, parse_variables

_TUPLES = tuple(f.name for f in fields(Provider) if str(f.type).startswith(("tuple", "_Words")))
_CREDENTIALS = ("client_secret", "private_key", "private_key_id", "token_endpoint_auth_signing_alg")


@sensitive_variables()
def with_client(provider: Provider) -> Provider:
    """``provider`` with the credentials that ``client_from`` gives."""
    if not provider.client_from:
        return provider
    try:
        client = import_string(provider.client_from)(provider.name)
        found: dict[str, Any] = {
            key: str(client[key]) for key in ("client_id", "client_secret") if client.get(key)
        }
    except ProviderMisconfigured:
        raise
    except Exception as error:  # noqa: BLE001
        # Whatever a vault or a database raises, its text may hold a secret: name its type alone.
        found = {}
        reason = f"failed: {type(error).__name__}"
    else:
        reason = "gave no client_id"
    if "client_id" not in found:
        raise ProviderMisconfigured(
            f"The client_from of provider {provider.name!r}, {provider.client_from}, {reason}. It "
            "has to return a dict with client_id and client_secret.",
            code="no_client",
            provider=provider.name,
        )
    return replace(provider, **found)


def as_client(provider: Provider, client_id: str) -> Provider:
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


def at(provider: Provider, variables: Mapping[str, str], redirected: bool) -> Provider:
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
def build(name: str) -> Provider:
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
    return Provider(name=name, **{"client_id": "", **values})


conf.on_change(build.cache_clear)
