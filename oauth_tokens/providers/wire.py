"""What goes over the wire to a provider and back, and how its answers are read.

Plain data and functions: no I/O, and nothing of any one provider.
"""

from __future__ import annotations

import base64
import email.utils
import enum
import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from ..spellings import parse_seconds
from ..token_set import TokenSet

FORM = "application/x-www-form-urlencoded"
#: Seconds: the longest Retry-After obeyed.
MAX_RETRY_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to a provider, ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        # Nor the address: some providers want the token in it.
        return f"<Request {self.method} {urlsplit(self.url).hostname}>"


@dataclass(frozen=True, slots=True)
class Response:
    """One complete HTTP response; ``headers`` is case-insensitive."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Meaning(enum.Enum):
    """What an answer of the token endpoint says about the grant."""

    SUCCESS = "success"
    DEAD_GRANT = "dead_grant"
    OPERATOR_ERROR = "operator_error"
    #: Certainly not processed: the refresh token that was sent is as good as before.
    TRANSIENT = "transient"
    #: The provider may have rotated the refresh token without us receiving the new one.
    OUTCOME_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """A classified answer of the token endpoint.

    Arguments:
        code: stable identifier of a failure: the provider's ``error``, or e.g. "http_502".
        description: the provider's words, shortened, with every secret that was sent cut out.
        retry_after: seconds, from the header of that name, or None.
        outage: whether the failure speaks of the provider as a whole rather than of this grant.
    """

    meaning: Meaning
    token_set: TokenSet | None = None
    code: str = ""
    description: str = ""
    retry_after: float | None = None
    outage: bool = False


def lookup(body: Any, path: str) -> Any:
    """The value at a dotted ``path``, or None. A number counts within a list."""
    for key in path.split("."):
        if isinstance(body, Mapping):
            body = body.get(key)
        elif isinstance(body, list) and key.isdecimal():
            body = next(iter(body[int(key) : int(key) + 1]), None)
        else:
            return None
    return body


def clean(text: str, secrets: Iterable[str], length: int) -> str:
    """Words of a provider made fit to be stored and shown: printable, short, without secrets."""
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote_plus(secret), _base64(secret)):
            text = text.replace(form, "[...]")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:length]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode(errors="replace")).decode().rstrip("=")


def is_secure_url(url: str) -> bool:
    """https, or http on loopback (RFC 8252 section 7.3 reasons the same)."""
    if "\\" in url:
        # Where the host ends is then a matter of opinion, and urllib3 has another than urlsplit.
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and loopback))


_TOKEN = re.compile(r"[\x20-\x7e]*[\x21-\x7e][\x20-\x7e]*")


def is_token(value: object) -> bool:
    """Whether ``value`` is made of what tokens are made of (RFC 6749 appendices A.12 and A.17)."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def storable(value: Any) -> Any:
    """A JSON value without what databases refuse: NUL, lone surrogates, numbers that are none."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list) else value


def parse_body(response: Response) -> dict[str, Any]:
    """The answer as a dict: JSON, or form-encoded where it says so; {} where it is neither."""
    text = response.body.decode("utf-8", "replace")
    if FORM in response.headers.get("Content-Type", "") or (
        not text.lstrip().startswith(("{", "[", "<")) and "access_token=" in text
    ):
        return dict(parse_qsl(text))
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def retry_after(response: Response) -> float | None:
    """Retry-After in seconds or as a date (RFC 9110 section 10.2.3), capped at an hour."""
    value = response.headers.get("Retry-After")
    if not value:
        return None
    seconds = parse_seconds(value)
    if seconds is None:
        try:
            seconds = max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (TypeError, ValueError, OverflowError):
            return None
    return min(seconds, MAX_RETRY_AFTER)


_PATTERN = re.compile(r"([\w.-]+)([=~])(.+)", re.DOTALL)


def matches(pattern: str, status: int, code: str, body: Mapping[str, Any]) -> bool:
    """``pattern`` is "code", "status:code", "status:", "path=value" or "path~part of it"."""
    if by_path := _PATTERN.fullmatch(pattern):
        path, sign, value = by_path.groups()
        found = lookup(body, path)
        values = [str(item) for item in (found if isinstance(found, list) else [found])]
        return any(value == item if sign == "=" else value in item for item in values)
    wanted_status, colon, wanted_code = pattern.rpartition(":")
    if colon and wanted_status.isdigit():
        return int(wanted_status) == status and wanted_code in ("", code)
    return pattern == code
