"""The keys of the ``OAUTH_TOKENS`` setting, their defaults and what can be wrong with them."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

NAME = "OAUTH_TOKENS"
KEY_BYTES = 32
GENERATE_HINT = "Run `python manage.py oauth_tokens_generate_key` and put its output first."
KEY_HINT = (
    "Tokens are stored already? Put back the whole key that they were encrypted with, all 44 "
    "characters: no other opens them. If it comes from an environment variable, see that it is "
    f"set. No tokens yet? {GENERATE_HINT}"
)
LIST_HINT = (
    'If it is a key, put it in a list: "ENCRYPTION_KEYS": [key]. If not, give the dotted path of a '
    "callable that returns a list of keys."
)


class Problem(NamedTuple):
    """One mistake in the settings: ``id`` of the system check, what is wrong, and the fix."""

    id: str
    message: str
    hint: str


# Nobody compares two, and a repr would show keys; writing both methods takes half a millisecond.
@dataclass(frozen=True, eq=False, repr=False)
class Settings:
    """The keys of ``OAUTH_TOKENS``; durations are in seconds.

    Arguments:
        ENCRYPTION_KEYS: url-safe base64 of 32 bytes each; the first encrypts, all decrypt. Or the
            dotted path of a callable that returns such a list (keys from a KMS or vault).
        REDIS_URL: where callers wait for each other; absent, they poll the database.
        PROVIDERS: name -> description, see :mod:`oauth_tokens.providers.base`.
        REFRESH_THRESHOLD: before expiry a token counts as stale; never more than 20 % of its
            lifetime.
        EXPIRY_LEEWAY: before expiry it counts as expired (clock skew).
        DEFAULT_EXPIRES_IN: for a response without ``expires_in``, unless the provider says.
        HTTP_TIMEOUT: total wall clock of one request to a provider, headers and body.
        MAX_RETRIES: attempts that never reached the provider.
        LOCK_TIMEOUT: lease of a refresh attempt.
        WAIT_TIMEOUT: how long a caller waits for another caller's refresh.
        GIVE_UP_AFTER: of nothing but transient failures until re-authentication is asked for.
        REVOKE_ON_LOGOUT: disconnect all of a user's tokens when they log out.
        RESCUE_DIR: folder for token sets that neither database nor Redis would take; "" for none.
        SITE_URL: where this site is, "https://your.site", for links in e-mails.
        NOTIFY_USERS: e-mail users who have to connect again.
        NOTIFY_AHEAD: before the known end of a refresh token its user is told; 0 for not at all.
        NOTIFY_LANGUAGE: dotted path of a callable that gives the language code of a user's e-mails;
            "" means LANGUAGE_CODE.
        NOTIFY_OPERATORS: addresses of those who are told, once a day at most, what needs them.
        NOTIFY_FROM: sender of these e-mails; "" means DEFAULT_FROM_EMAIL.
    """

    ENCRYPTION_KEYS: list[str] | str = field(default_factory=list, repr=False)
    REDIS_URL: str = field(default="", repr=False)
    PROVIDERS: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    REFRESH_THRESHOLD: float = 300
    EXPIRY_LEEWAY: float = 30
    DEFAULT_EXPIRES_IN: float = 3600
    HTTP_TIMEOUT: float = 10
    MAX_RETRIES: int = 3
    LOCK_TIMEOUT: float = 60
    WAIT_TIMEOUT: float = 15
    GIVE_UP_AFTER: float = 4 * 86400
    REVOKE_ON_LOGOUT: bool = False
    RESCUE_DIR: str = ""
    SITE_URL: str = ""
    NOTIFY_USERS: bool = False
    NOTIFY_AHEAD: float = 7 * 86400
    NOTIFY_LANGUAGE: str = ""
    NOTIFY_OPERATORS: list[str] | tuple[str, ...] = ()
    NOTIFY_FROM: str = ""

    def encryption_keys(self) -> list[bytes]:
        """The decoded keys, the encrypting one first.

        Raises:
            ImproperlyConfigured: there is no usable key.
        """
        keys, problems = _decode_keys(self.ENCRYPTION_KEYS)
        if problems:
            raise ImproperlyConfigured(f"{problems[0].message} {problems[0].hint}")
        return keys


_TYPES: dict[str, tuple[type, ...]] = {
    "REDIS_URL": (str,),
    "PROVIDERS": (dict,),
    "MAX_RETRIES": (int,),
    "REVOKE_ON_LOGOUT": (bool,),
    "RESCUE_DIR": (str,),
    "SITE_URL": (str,),
    "NOTIFY_USERS": (bool,),
    "NOTIFY_LANGUAGE": (str,),
    "NOTIFY_OPERATORS": (list, tuple),
    "NOTIFY_FROM": (str,),
}
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_REDIS_URL = re.compile(r"(redis|rediss|unix)://.")
_SITE_URL = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")
_SMALLEST = {"HTTP_TIMEOUT": 0.1, "MAX_RETRIES": 1, "LOCK_TIMEOUT": 1, "DEFAULT_EXPIRES_IN": 1}


def unknown_key(kind: str, key: object, known: list[str]) -> tuple[str, str]:
    """Message and hint for a key that does not exist, with the likely meant one."""
    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(sorted(known))}."
    return f"{kind} has no key {key!r}.", hint


def settings_problems() -> Iterator[Problem]:
    """All mistakes in the top level of ``OAUTH_TOKENS``; the providers are checked elsewhere."""
    raw = getattr(django_settings, NAME, None)
    if not isinstance(raw, Mapping):
        yield Problem(
            "oauth_tokens.E001",
            f"The setting {NAME} is missing or not a dict.",
            f'Set {NAME} = {{"ENCRYPTION_KEYS": [...], "PROVIDERS": {{...}}}}. {GENERATE_HINT}',
        )
        return
    known = [f.name for f in fields(Settings)]
    sound = True
    for key, value in raw.items():
        if key not in known:
            yield Problem("oauth_tokens.E002", *unknown_key(NAME, key, known))
            continue
        problem = _type_problem(key, value) if key != "ENCRYPTION_KEYS" else None
        if problem:
            sound = False
            yield problem
    yield from _decode_keys(raw.get("ENCRYPTION_KEYS", []))[1]
    if sound:
        values = Settings(**{k: v for k, v in raw.items() if k in known})
        yield from _timing_problems(values)
        yield from _mail_problems(values)


def _type_problem(key: str, value: object) -> Problem | None:
    expected = _TYPES.get(key, (int, float))
    if key == "REDIS_URL" and isinstance(value, str) and value and not _REDIS_URL.match(value):
        return Problem(
            "oauth_tokens.E003",
            f"{NAME}['REDIS_URL'] is no address of a Redis server.",
            "Write it as redis://host:6379/0, rediss:// for TLS, or unix:///path.",
        )
    wrong = not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)
    if wrong:
        names = " or ".join(t.__name__ for t in expected)
        return Problem(
            "oauth_tokens.E003",
            f"{NAME}[{key!r}] must be {names}, not {type(value).__name__}.",
            f"Give {key} a value of that type, or leave it out for its default.",
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        smallest = _SMALLEST.get(key, 0)
        if not smallest <= value < float("inf"):
            return Problem(
                "oauth_tokens.E003",
                f"{NAME}[{key!r}] is {value}, which is out of range.",
                f"Give {key} a finite value of at least {smallest}.",
            )
    return None


def _timing_problems(values: Settings) -> Iterator[Problem]:
    longest = values.HTTP_TIMEOUT * values.MAX_RETRIES
    if longest >= values.LOCK_TIMEOUT:
        yield Problem(
            "oauth_tokens.E005",
            f"{NAME}['LOCK_TIMEOUT'] is {values.LOCK_TIMEOUT} s, but one attempt can take "
            f"{longest} s (HTTP_TIMEOUT x MAX_RETRIES).",
            f"Raise LOCK_TIMEOUT above {longest}, or lower HTTP_TIMEOUT or MAX_RETRIES.",
        )


def _mail_problems(values: Settings) -> Iterator[Problem]:
    if values.SITE_URL and not _SITE_URL.fullmatch(values.SITE_URL):
        yield Problem(
            "oauth_tokens.E003",
            f"{NAME}['SITE_URL'] is no address of a site.",
            'Write it as "https://your.site", with the path if the site is below one.',
        )
    if not all(_ADDRESS.fullmatch(str(text)) for text in values.NOTIFY_OPERATORS):
        yield Problem(
            "oauth_tokens.E003",
            f"{NAME}['NOTIFY_OPERATORS'] holds something that is no e-mail address.",
            'Write it as ["ops@your.site"].',
        )
    told = [key for key in ("NOTIFY_USERS", "NOTIFY_OPERATORS") if getattr(values, key)]
    if told and not values.SITE_URL:
        yield Problem(
            "oauth_tokens.E022",
            f"{NAME}[{told[0]!r}] is set, and SITE_URL is not: e-mails could hold no links.",
            'Set SITE_URL to the address of this site, e.g. "https://your.site".',
        )


def _decode_keys(value: object) -> tuple[list[bytes], list[Problem]]:
    """Decoded keys and what is wrong with them. No message shows a key."""
    if isinstance(value, str) and value:
        if not _DOTTED_PATH.fullmatch(value):
            return [], [_key_problem(" is a str that is no dotted path.", LIST_HINT)]
        try:
            value = import_string(value)()
        except Exception as error:  # noqa: BLE001
            # Whatever a key service raises, its text may hold a secret: name its type alone.
            failure = f" names a callable that failed: {type(error).__name__}."
            return [], [_key_problem(failure, LIST_HINT)]
    if not value:
        return [], [_key_problem(" has no key.", KEY_HINT)]
    if not isinstance(value, (list, tuple)):
        return [], [_key_problem(" is no list of keys.", LIST_HINT)]
    keys: list[bytes] = []
    problems: list[Problem] = []
    for number, text in enumerate(value, 1):
        key = _decode_key(text)
        if len(key) == KEY_BYTES:
            keys.append(key)
            continue
        what = f"not url-safe base64 of {KEY_BYTES} bytes" if text else "empty"
        problems.append(_key_problem(f": key number {number} is {what}.", KEY_HINT))
    return keys, problems


def _decode_key(text: object) -> bytes:
    try:
        return base64.b64decode(str(text).encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _key_problem(what: str, hint: str) -> Problem:
    return Problem("oauth_tokens.E004", f"{NAME}['ENCRYPTION_KEYS']{what}", hint)
