"""Providers by name, built from the settings on first use and checked in one place."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from django.conf import settings as django_settings

from .. import conf
from ..exceptions import ProviderMisconfigured
from .base import Provider
from .discovery import discovered
from .presets import PRESETS
from .wire import is_secure_url

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")
_CHOICES = {
    "token_endpoint_auth_method": AUTH_METHODS,
    "token_body": ("form", "json"),
    "refresh_token_rotation": ("none", "grace", "strict"),
    "refresh_policy": ("ahead", "on_demand", "keep_alive"),
    "zero_expires_in": ("never", "unknown"),
}
_TUPLES = (
    "scope",
    "redirect_uris",
    "metadata_fields",
    "dead_grant_errors",
    "operator_errors",
    "transient_errors",
    "unauthorized_statuses",
)
_MAPPINGS = ("authorization_params", "token_params", "refresh_params", "token_headers")
_NUMBERS = ("rotation_grace", "refresh_token_lifetime", "refresh_token_idle_lifetime")
_BOOLS = (
    "pkce",
    "refresh_scope",
    "revocation_revokes_siblings",
    "authorization_response_iss_parameter_supported",
)
_ENDPOINTS = (
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "refresh_endpoint",
)
_REQUIRED = ("authorization_endpoint", "token_endpoint")
_KNOWN = [f.name for f in fields(Provider) if f.name != "name"]


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
    name: str, *, client_id: str = "", variables: Mapping[str, str] | None = None
) -> Provider:
    """As :func:`get_provider`, with endpoints from the issuer's metadata where they are not set.

    May ask the issuer over HTTP, once in a while.

    Arguments:
        client_id: of the client that the token was issued to; "" for the one in use now.
        variables: values of the variables in the provider's addresses.

    Raises:
        ProviderMisconfigured: no such provider, or its metadata names another issuer.
        ProviderUnavailable: its metadata was never fetched and cannot be fetched now.
    """
    provider = get_provider(name)
    if provider.issuer and not all(getattr(provider, key) for key in _REQUIRED):
        return discovered(provider)
    return provider


def provider_names() -> list[str]:
    """Names of all configured providers, in the order of the settings."""
    return list(conf.get_settings().PROVIDERS)


@cache
def _build(name: str) -> Provider:
    raw = conf.get_settings().PROVIDERS[name]
    for problem in provider_problems(name, raw):
        raise ProviderMisconfigured(
            f"{problem.message} {problem.hint} ({problem.id})", code="bad_settings", provider=name
        )
    values = _merged(raw)
    for key in _TUPLES:
        if key in values:
            value = values[key]
            values[key] = tuple(value.split()) if isinstance(value, str) else tuple(value)
    return Provider(name=name, **values)


conf.on_change(_build.cache_clear)


def _merged(raw: Mapping[str, Any]) -> dict[str, Any]:
    values = {**PRESETS.get(str(raw.get("preset", "")), {}), **raw}
    values.pop("preset", None)
    return values


def all_provider_problems() -> Iterator[conf.Problem]:
    """The mistakes in the descriptions of all providers."""
    raw = getattr(django_settings, conf.NAME, None)
    providers = raw.get("PROVIDERS", {}) if isinstance(raw, Mapping) else {}
    if isinstance(providers, Mapping):
        for name, description in providers.items():
            yield from provider_problems(name, description)


def provider_problems(name: object, raw: object) -> Iterator[conf.Problem]:
    """Each mistake in one provider's description, with its fix. No message shows a value."""
    where = f"{conf.NAME}['PROVIDERS'][{name!r}]"
    if not isinstance(raw, Mapping) or not isinstance(name, str) or not _is_name(name):
        yield conf.Problem(
            "oauth_tokens.E010",
            f"{where} is no provider description under a usable name.",
            "Map a name of letters, digits, '-' and '_' (64 at most) to a dict.",
        )
        return
    preset = raw.get("preset")
    if preset is not None and preset not in PRESETS:
        close = difflib.get_close_matches(str(preset), PRESETS, n=1)
        fix = f"Did you mean {close[0]!r}?" if close else f"Presets: {', '.join(sorted(PRESETS))}."
        yield conf.Problem("oauth_tokens.E011", f"{where}: there is no preset {preset!r}.", fix)
    for key in raw:
        if key not in _KNOWN and key != "preset":
            message, hint = conf.unknown_key(where, key, [*_KNOWN, "preset"])
            yield conf.Problem("oauth_tokens.E012", message, hint)
    values = _merged(raw)
    yield from _value_problems(where, values)
    yield from _missing_problems(where, values)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 64 and name.replace("-", "").replace("_", "").isalnum()


def _value_problems(where: str, values: Mapping[str, Any]) -> Iterator[conf.Problem]:
    for key, value in values.items():
        expected = _expected(key, value)
        if expected:
            yield conf.Problem(
                "oauth_tokens.E013", f"{where}[{key!r}] must be {expected}.", f"Correct {key}."
            )
        elif key in _ENDPOINTS and value and not is_secure_url(value):
            yield conf.Problem(
                "oauth_tokens.E014",
                f"{where}[{key!r}] is not an https:// address.",
                "Use https; plain http is for addresses of this machine (127.0.0.1, localhost).",
            )


def _expected(key: str, value: object) -> str:
    """What ``key`` should have been given, or "" where ``value`` will do."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    if key in _CHOICES:
        return "" if value in _CHOICES[key] else f"one of {', '.join(_CHOICES[key])}"
    if key in _TUPLES:
        kind = int if key == "unauthorized_statuses" else str
        if isinstance(value, str) and kind is str:
            return ""
        sound = isinstance(value, (list, tuple)) and all(isinstance(v, kind) for v in value)
        return "" if sound else f"a list of {kind.__name__}"
    if key in _MAPPINGS:
        sound = isinstance(value, Mapping) and all(
            isinstance(part, str) for pair in value.items() for part in pair
        )
        return "" if sound else "a dict of str to str"
    if key in _NUMBERS:
        return "" if number or value is None else "a number of seconds"
    if key in _BOOLS:
        return "" if isinstance(value, bool) else "True or False"
    if key == "default_expires_in":
        return "" if number or value in (None, "default") else "a number of seconds or None"
    return "" if isinstance(value, str) or key not in _KNOWN else "a str"


def _missing_problems(where: str, values: Mapping[str, Any]) -> Iterator[conf.Problem]:
    if not values.get("client_id"):
        yield conf.Problem(
            "oauth_tokens.E015",
            f"{where} has no client_id.",
            "Register your site with the provider and set the client_id that it gives you.",
        )
    method = values.get("token_endpoint_auth_method")
    needed = method in ("client_secret_basic", "client_secret_post")
    empty = "client_secret" in values and method != "none"
    if (needed or empty) and not values.get("client_secret"):
        yield conf.Problem(
            "oauth_tokens.E016",
            f"{where} has no client_secret, or an empty one.",
            "Set client_secret, or token_endpoint_auth_method to 'none' for a public client.",
        )
    if not values.get("issuer"):
        for key in _REQUIRED:
            if not values.get(key):
                yield conf.Problem(
                    "oauth_tokens.E017",
                    f"{where} has no {key}.",
                    f"Set {key}, an issuer whose metadata has it, or a preset.",
                )
