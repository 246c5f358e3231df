"""What a refusal means and where a token may go: plain functions, no I/O, for every client."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ..exceptions import OAuthTokenError
from ..providers.wire import is_secure_url

#: Bytes of a refusal's body that are looked at; a longer one is a page, not an error.
MAX_ERROR_BODY = 64 * 1024
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Refusal(enum.Enum):
    """Whether a response says that the access token is expired or invalid."""

    NO = "no"
    #: A 401 that does not say why.
    MAYBE = "maybe"
    YES = "yes"


# Refusals

#: Errors that another access token of the same grant meets as well.
_OTHER_ERRORS = frozenset(
    {
        *("insufficient scope", "insufficient claims", "insufficient permissions"),
        *("invalid client", "unauthorized client", "invalid request", "mfa required"),
    }
)
#: Schemes whose credentials are not the user's token.
_OTHER_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm", "hawk"})
_STATES = r"expired|invalid|revoked|inactive|malformed|bad|unrecognized|not valid|no longer valid"
_SUBJECTS = r"tokens?|session|credentials|authentication|auth|bearer"
_DEAD = re.compile(
    rf"\b({_STATES})\b( \w+){{0,4}} ({_SUBJECTS})\b|\b({_SUBJECTS})\b( \w+){{0,8}} ({_STATES})\b"
)
_OTHER = re.compile(r"\b(pass ?words?|user ?names?|csrf|scopes?|permissions?)\b")
_CODE_FIELDS = (
    *("error", "code", "errorCode", "error_code", "status", "category", "reason", "type"),
    *(".tag", "error_summary", "title", "Title"),
)
_WORD_FIELDS = ("error_description", "message", "detail", "Detail", "description", "msg")
_NESTED_FIELDS = ("error", "errors", "fault", "Fault", "details")
#: Statuses with so many meanings that only the body can tell.
_AMBIGUOUS = frozenset({400, 403, 404})


def has_telling_body(status: int, headers: Mapping[str, str], statuses: Collection[int]) -> bool:
    """Whether :func:`refusal` wants to see the body of this response.

    Arguments:
        statuses: ``unauthorized_statuses`` of the provider.
    """
    if status not in statuses:
        return False
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > MAX_ERROR_BODY:
        return False
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type.endswith("json") or (status >= 400 and media_type == "text/plain")


def refusal(
    status: int, headers: Mapping[str, str], body: bytes, statuses: Collection[int]
) -> Refusal:
    """What a response to a request with an access token says about that token.

    In this order: the ``WWW-Authenticate`` header (RFC 6750 section 3), error codes in the body,
    words in the body. A 401 that says nothing may well mean an expired token.

    Arguments:
        headers: of the response, case-insensitive.
        body: b"" unless :func:`has_telling_body`.
        statuses: ``unauthorized_statuses`` of the provider.
    """
    if status not in statuses:
        return Refusal.NO
    told = _of_challenge(headers.get("WWW-Authenticate", "")) or _of_body(status, body)
    if told:
        return told
    return Refusal.NO if status < 400 or status in _AMBIGUOUS else Refusal.MAYBE


def _of_challenge(header: str) -> Refusal | None:
    error = re.search(r'(?<!\w)error\s*=\s*"?([^",\s]+)', header)
    if error:
        told = _of_code(_normal(error[1]))
        # RFC 6750 names three errors, and only invalid_token is about the token.
        return told or Refusal.MAYBE
    schemes = set()
    for part in re.sub(r'"[^"]*"', '""', header).split(","):
        scheme, _, rest = part.strip().partition(" ")
        if scheme and "=" not in scheme and not rest.lstrip().startswith("="):
            schemes.add(scheme.lower())
    return Refusal.NO if schemes and schemes <= _OTHER_SCHEMES else None


def _of_body(status: int, body: bytes) -> Refusal | None:
    if not body or len(body) > MAX_ERROR_BODY:
        return None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = {"message": body[:1000].decode(errors="replace")} if status >= 400 else {}
    if isinstance(content, list) and content:
        content = content[0]  # Salesforce
    if not isinstance(content, dict):
        return None
    if status < 400:
        # What a success holds is content, whatever its words; only its error is an error.
        content = {"error": content.get("error")}
    codes = list(_texts(content, _CODE_FIELDS))
    for code in codes:
        told = _of_code(code)
        if told:
            return told
    words = [] if status < 400 else list(_texts(content, _WORD_FIELDS))
    if any(_DEAD.search(text) for text in words):
        return Refusal.YES
    if any(_OTHER.search(text) for text in (*codes, *words)):
        return Refusal.NO
    return None


def _of_code(code: str) -> Refusal | None:
    if code in _OTHER_ERRORS:
        return Refusal.NO
    return Refusal.YES if _DEAD.search(code) else None


def _texts(content: Mapping[str, Any], fields: Collection[str], depth: int = 3) -> Iterator[str]:
    """The texts in ``fields``, also of objects that errors are wrapped in."""
    for field in fields:
        if isinstance(content.get(field), str):
            yield _normal(content[field])
    for field in _NESTED_FIELDS if depth else ():
        nested = content.get(field)
        for part in nested if isinstance(nested, list) else [nested]:
            if isinstance(part, dict):
                yield from _texts(part, fields, depth - 1)
            elif isinstance(part, str) and field != "error":
                yield _normal(part)


def _normal(text: str) -> str:
    """Words in lower case, of ``InvalidToken`` and ``INVALID_TOKEN`` as of "Invalid token."."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text[:1000])
    return " ".join(re.findall(r"[a-z0-9]+", spaced.lower()))


# Addresses


def join_url(base_url: str, url: str) -> str:
    """``url`` below ``base_url``; an absolute one as it is.

    Raises:
        OAuthTokenError: a relative ``url`` that would leave ``base_url``, or without one.
    """
    url = url.strip()
    if re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE):
        return url
    if not base_url:
        raise _incomplete(url)
    if url.startswith("//"):  # another host, by the same scheme
        return f"{urlsplit(base_url).scheme}:{url}"
    path = re.split(r"[?#]", url)[0]
    if ".." in re.split(r"[/\\]", unquote(path)):
        raise OAuthTokenError(
            "A relative address must not leave base_url with '..': pass the whole address.",
            code="url_not_allowed",
        )
    return f"{base_url.rstrip('/')}/{url.lstrip('/')}" if path else base_url + url


def allowed_hosts(base_url: str, more: Collection[str]) -> frozenset[str] | None:
    """The hosts that may receive the token; None for any.

    Arguments:
        more: host names, with ":port" where it is not the scheme's own.

    Raises:
        OAuthTokenError: ``base_url`` is no https address.
        TypeError: ``more`` is a single text.
    """
    if isinstance(more, str):
        raise TypeError(f"allowed_hosts takes a list of host names: [{more!r}].")
    if base_url:
        check_url(base_url, None)
        return frozenset({host_of(base_url), *(host.lower() for host in more)})
    return frozenset(host.lower() for host in more) if more else None


def check_url(url: str, hosts: Collection[str] | None) -> None:
    """See that the token may go to ``url``.

    Raises:
        OAuthTokenError: plain http to another machine (RFC 6750 section 5.3), or a host that is not
            among ``hosts``. Codes ``insecure_url`` and ``url_not_allowed``.
    """
    host = host_of(url)
    if not host or "://" not in url:
        raise _incomplete(url)
    if not is_secure_url(url):
        raise OAuthTokenError(
            f"An access token is not sent to {host} without TLS: use an https:// address "
            "(http:// is for this machine only).",
            code="insecure_url",
        )
    if hosts is not None and host not in hosts:
        raise OAuthTokenError(
            f"{host} is not the host of base_url, so it gets no access token. If it should, pass "
            f"allowed_hosts=[{host!r}].",
            code="url_not_allowed",
        )


def _incomplete(url: str) -> OAuthTokenError:
    # Without query and user, in which there may be secrets.
    shown = re.split(r"[?#]", url)[0].rpartition("@")[2][:100]
    return OAuthTokenError(
        f"{shown!r} is no whole address: it takes https:// and a host, in base_url or in the "
        "address of each request.",
        code="insecure_url",
    )


def host_of(url: str) -> str:
    """Host name, with ":port" where it is not the scheme's own; "" where there is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}"
