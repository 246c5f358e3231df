"""What is wrong with a provider's description, and how to mend it. No message shows a value."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..options import NAME, Problem, unknown_key
from .assertion import ALGORITHMS, key_problem
from .description import Description
from .presets import PRESETS, facts
from .social_core import BackendUnusable, read_backend
from .variables import parse_variables, unknown_placeholder, unsafe_variables, variable_problem
from .wire import is_secure_url

REQUIRED = ("authorization_endpoint", "token_endpoint")
AUTH_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
SOURCES = ("id_token", "response", "userinfo", "redirect", "url_variables")
ADDRESSES = (
    *("issuer", "authorization_endpoint", "token_endpoint", "refresh_endpoint", "jwks_uri"),
    *("revocation_endpoint", "introspection_endpoint", "userinfo_endpoint", "long_lived_endpoint"),
)
KNOWN = tuple(f.name for f in fields(Description) if f.name != "name")
#: Those that jwks verifies, and those where TLS stands for the signature.
ID_TOKEN_ALGORITHMS = (*ALGORITHMS, "Ed25519", "Ed448", "HS256", "HS384", "HS512")
#: What a description may build upon.
BASES = ("preset", "social_core_backend")
_CHOICES = {
    "token_endpoint_auth_method": ("", *AUTH_METHODS),
    "revocation_auth_method": ("", "bearer", *AUTH_METHODS),
    "token_endpoint_auth_signing_alg": ("", *ALGORITHMS),
    "id_token_signed_response_alg": ("", *ID_TOKEN_ALGORITHMS),
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Of whose absence something follows.
_NEEDED = (*REQUIRED, *BASES, "issuer", "client_id", "client_secret", "private_key")
_ALL_KEYS = "docs/settings.md lists all keys, and so does oauth_tokens.providers.description."
#: What other libraries call it.
_OTHERS_WORDS = {
    **dict.fromkeys(("authorize_url", "auth_url", "authorization_url"), "authorization_endpoint"),
    **dict.fromkeys(("token_url", "access_token_url"), "token_endpoint"),
    **dict.fromkeys(("refresh_url", "refresh_token_url"), "refresh_endpoint"),
    **dict.fromkeys(("revoke_url", "revoke_token_url"), "revocation_endpoint"),
    **dict.fromkeys(("userinfo_url", "profile_url"), "userinfo_endpoint"),
    **dict.fromkeys(("server_metadata_url", "server_url", "discovery_url"), "issuer"),
    **dict.fromkeys(("key", "consumer_key"), "client_id"),
    **dict.fromkeys(("secret", "consumer_secret"), "client_secret"),
    **dict.fromkeys(("redirect_uri", "redirect_url", "callback_url"), "redirect_uris"),
    **dict.fromkeys(("authorize_params", "auth_params"), "authorization_params"),
    "provider": "preset",
    "name": "label",
}
_PREVIOUS_CLIENT = (
    *("client_id", "client_secret", "token_endpoint_auth_method"),
    *("private_key", "private_key_id", "token_endpoint_auth_signing_alg"),
)


def merged(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A description over its preset, over what a backend of social-core says.

    Raises:
        BackendUnusable: the backend says nothing that settings could.
    """
    preset = PRESETS.get(str(raw["preset"]), {}) if "preset" in raw else {}
    backend = raw.get("social_core_backend")
    values = {**({} if backend is None else read_backend(backend)), **preset, **raw}
    return {key: value for key, value in values.items() if key not in BASES}


def provider_problems(name: object, raw: object) -> Iterator[Problem]:
    """Each mistake in one provider's description, with its fix."""
    where = f"{NAME}['PROVIDERS'][{name!r}]"
    if not isinstance(raw, Mapping):
        yield Problem(
            "oauth_tokens.E010",
            f"{where} is no provider's description, but {type(raw).__name__}.",
            'PROVIDERS maps names to dicts: {"google": {"preset": "google", "client_id": "...", '
            '"client_secret": "..."}}.',
        )
        return
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Problem(
            "oauth_tokens.E010",
            f"{where}: the name is unusable in the address of a page.",
            "Name it with letters of ASCII, digits, '-' and '_', 64 at most; what users read is "
            "the description's label.",
        )
        return
    problems, raw = _spelling(where, raw)
    yield from problems
    if raw.get("jwks_uri") and find_spec("joserfc") is None:
        yield Problem(
            "oauth_tokens.E020",
            f"{where} has a jwks_uri, but joserfc, which verifies with it, is not installed.",
            "pip install 'django-user-oauth-tokens[bearer]', or leave it out: then TLS alone says "
            "that an id_token is the provider's.",
        )
    try:
        values = merged(raw)
    except BackendUnusable as error:
        yield Problem("oauth_tokens.E021", f"{where}: {error}", error.fix)
        return
    yield from _value_problems(where, values)
    yield from _address_problems(where, values)
    yield from _endpoint_problems(where, values, raw.get("preset"))
    yield from _client_problems(where, values)
    for number, client in enumerate(_previous(values), 1):
        inside = f"{where}['previous_clients'], number {number},"
        for key in client:
            if key not in _PREVIOUS_CLIENT:
                yield Problem(
                    "oauth_tokens.E012", *unknown_key(inside, key, list(_PREVIOUS_CLIENT))
                )
        yield from _client_problems(inside, client)


def _previous(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    clients = values.get("previous_clients", ())
    sound = isinstance(clients, (list, tuple))
    return [client for client in clients if isinstance(client, Mapping)] if sound else []


def _spelling(where: str, raw: Mapping[Any, Any]) -> tuple[list[Problem], dict[str, Any]]:
    """Names that do not exist, and ``raw`` with those that are probably meant: what follows from a
    misspelt name is no mistake of its own."""
    problems: list[Problem] = []
    meant: dict[str, Any] = {}
    for key, value in raw.items():
        if key in KNOWN or key in BASES:
            meant[key] = value
            continue
        close = _OTHERS_WORDS.get(str(key).lower())
        likely = [close] if close else difflib.get_close_matches(str(key), [*KNOWN, *BASES])
        hint = f"Did you mean {' or '.join(map(repr, likely))}?" if likely else _ALL_KEYS
        problems.append(Problem("oauth_tokens.E012", f"{where} has no key {key!r}.", hint))
        if likely and likely[0] in _NEEDED and likely[0] not in raw:
            meant.setdefault(likely[0], value)
    preset = meant.get("preset")
    if preset is not None and str(preset) not in PRESETS:
        likely = difflib.get_close_matches(str(preset), PRESETS, n=1)
        meant["preset"] = likely[0] if likely else str(preset)
        fix = (
            f"Did you mean {likely[0]!r}?" if likely else f"Presets: {', '.join(sorted(PRESETS))}."
        )
        message = f"{where}: there is no preset {preset!r}."
        problems.insert(0, Problem("oauth_tokens.E011", message, fix))
    return problems, meant


def _value_problems(where: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in values.items():
        if key in KNOWN and key != "url_variables" and (expected := _expected(key, value)):
            fix = f"Set {key}, or leave it out for its default."
            if value is None:
                expected += ", not None"
                fix = f"Set {key}; if it comes from an environment variable, that one is not set."
            yield Problem("oauth_tokens.E013", f"{where}[{key!r}] must be {expected}.", fix)


def _expected(key: str, value: object) -> str:
    """What ``key`` should have been given, or "" where ``value`` will do."""
    hint = _hints()[key]
    choices = _CHOICES.get(key) or (get_args(hint) if get_origin(hint) is Literal else ())
    if choices:
        return "" if value in choices else f"one of {', '.join(c for c in choices if c)}"
    if key in ("account_id_from", "account_label_from"):
        source, dot, path = value.partition(".") if isinstance(value, str) else ("", "", "")
        sound = value == "" or (source in SOURCES and dot and path)
        return "" if sound else f"one of {', '.join(SOURCES)}, a dot, and a path in it"
    for kind, what, sound in (
        (bool, "True or False", isinstance(value, bool)),
        (str, "a str", isinstance(value, str)),
        (float, "a number of seconds", _is_number(value)),
        (float | None, "a number of seconds or None", value is None or _is_number(value)),
        (tuple[int, ...], "a list of int", _is_list(value, int)),
        (tuple[str, ...], "a list of str", isinstance(value, str) or _is_list(value, str)),
        (Mapping[str, str], "a dict of str to str", _is_strings(value)),
        (tuple[Mapping[str, str], ...], "a list of dicts of str to str", _is_dicts(value)),
    ):
        if hint == kind:
            return "" if sound else what
    sound = value in (None, "default") or _is_number(value)
    return "" if sound else "a number of seconds or None"


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Description)


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value < math.inf  # type: ignore[operator]


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, kind) for item in value)


def _is_strings(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(part, str) for pair in value.items() for part in pair
    )


def _is_dicts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(_is_strings(item) for item in value)


def _address_problems(where: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    raw = values.get("url_variables", {})
    problem = variable_problem(raw)
    if problem:
        yield Problem(
            "oauth_tokens.E019",
            f"{where}['url_variables'] {problem}.",
            'Write it as {"subdomain": {"label": "Your subdomain"}}, with what limits its values.',
        )
    variables = {} if problem else parse_variables(raw)
    for key in ADDRESSES:
        value = values.get(key)
        if not isinstance(value, str) or not value:
            continue
        if not is_secure_url(value):
            yield Problem(
                "oauth_tokens.E014",
                f"{where}[{key!r}] is not an https:// address.",
                "Use https; plain http is for addresses of this machine (127.0.0.1, localhost).",
            )
        known = {"client_id", *variables}
        if key == "revocation_endpoint":
            known.add("token")
        elif key == "authorization_endpoint":
            known -= {name for name, variable in variables.items() if variable.redirect}
        unknown = unknown_placeholder(value, known)
        if unknown and not problem:
            yield Problem(
                "oauth_tokens.E019",
                f"{where}[{key!r}] has {{{unknown}}}, which is no variable.",
                f'Describe it: "url_variables": {{"{unknown}": {{}}}}, or write out the address.',
            )
        for name in unsafe_variables(value, variables):
            yield Problem(
                "oauth_tokens.E019",
                f"{where}[{key!r}] lets users choose the server with {{{name}}}.",
                f"Have a domain follow it, as in {{{name}}}.provider.example, or limit "
                f"url_variables[{name!r}] to choices.",
            )


def _endpoint_problems(
    where: str, values: Mapping[str, Any], preset: str | None
) -> Iterator[Problem]:
    if preset is not None and preset not in PRESETS:
        return  # which may have had them
    missing = [key for key in REQUIRED if values.get(key, "") == ""]
    if not missing or values.get("issuer", "") != "":
        return
    if preset and not any(key in PRESETS[preset] for key in REQUIRED):
        # The preset's own words begin with what an issuer looks like there.
        example = facts()[preset].get("about", "").partition(". ")[0]
        yield Problem(
            "oauth_tokens.E017",
            f"{where} has no issuer, and the preset {preset!r} cannot know yours.",
            f"{example}." if "issuer" in example else "Set issuer to the address of yours.",
        )
        return
    yield Problem(
        "oauth_tokens.E017",
        f"{where} has no {' and no '.join(missing)}.",
        f"Set {' and '.join(missing)}, an issuer whose metadata tells, or a preset.",
    )


def _client_problems(where: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    """What is missing; what is of the wrong type has been named already."""
    elsewhere = bool(values.get("client_from"))
    if values.get("client_id", "") == "" and not elsewhere:
        yield Problem(
            "oauth_tokens.E015",
            f"{where} has no client_id.",
            "Register your site with the provider and set the client_id that it gives you; if it "
            "comes from an environment variable, that one is empty.",
        )
    method, key = values.get("token_endpoint_auth_method"), values.get("private_key", "")
    needed = method in ("client_secret_basic", "client_secret_post")
    empty = "client_secret" in values and not (key or method in ("none", "private_key_jwt"))
    if (needed or empty) and values.get("client_secret", "") == "" and not elsewhere:
        yield Problem(
            "oauth_tokens.E016",
            f"{where} has no client_secret, or an empty one.",
            "Set client_secret, or token_endpoint_auth_method to 'none' for a public client.",
        )
    if isinstance(key, str) and (key or method == "private_key_jwt"):
        problem = key_problem(key, str(values.get("token_endpoint_auth_signing_alg") or ""))
        if problem:
            yield Problem(
                "oauth_tokens.E018",
                f"{where}['private_key'] is {problem}.",
                "Set private_key to the PEM text of an RSA, EC or Ed25519 private key, without a "
                "passphrase, and give the provider the public one.",
            )
