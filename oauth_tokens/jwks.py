"""Keys of issuers, by the URL of their key set (RFC 7517), and JWTs verified with them.

Whoever has a JWT to judge, an id_token or an access token, verifies its signature here and judges
the claims themselves::

    header, claims = jwks.verify(
        id_token,
        partial(jwks.find_keys, provider.jwks_uri, timeout=10),
        algorithms=("RS256",),
    )

The header of a JWT chooses among the issuer's keys and the pinned algorithms and nothing else: keys
or addresses that it brings along (jwk, jku, x5c, x5u) are ignored, and symmetric algorithms and
"none" cannot be pinned. Needs joserfc, the extra ``bearer``. Reads no settings.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.views.decorators.debug import sensitive_variables

from .exceptions import ProviderMisconfigured
from .providers.base import Provider
from .providers.discovery import addresses, verified
from .providers.wire import Request, is_secure_url

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey
    from joserfc.jws import JWSRegistry

    Key = RSAKey | ECKey | OKPKey

#: Seconds for which a document is used without asking again.
FRESH_FOR = 600.0
#: Seconds for which the last known one serves while the issuer cannot be asked.
KEEP_FOR = 86400.0
#: Seconds between two attempts to fetch one document, whatever tokens ask for: a flood of unknown
#: kids costs the issuer no more than this, and a key added meanwhile waits no longer than this.
ATTEMPT_EVERY = 10.0
#: Bounds of what is kept.
MAX_DOCUMENTS = 256
MAX_KEYS = 64
MIN_RSA_BITS = 2048
#: Characters of the longest JWT that is looked at.
MAX_JWT = 16384

ASYMMETRIC = frozenset(
    f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)
) | {"EdDSA", "Ed25519", "Ed448"}
_FOR_ENCRYPTION = ("X25519", "X448")
_HEADERS = {
    "Accept": "application/json",
    # A body cap means little if a small body may unpack to a large one.
    "Accept-Encoding": "identity",
    "User-Agent": "django-user-oauth-tokens",
}

logger = logging.getLogger("oauth_tokens")

T = TypeVar("T")


class InvalidJWT(ValueError):
    """Not a JWT that one of the issuer's keys has signed. The message quotes nothing of it."""


class KeysUnavailable(Exception):
    """The issuer's keys could not be fetched, and none known fits: the token cannot be judged.

    Arguments:
        code: what happened, e.g. "read_timeout" or "http_500".
        retry_after: seconds until the issuer is asked again.
    """

    def __init__(self, message: str, *, code: str, retry_after: float) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


def find_keys(uri: str, kid: str | None = None, *, timeout: float) -> tuple[Key, ...]:
    """The public keys at ``uri`` that may have signed a JWT whose header says ``kid``.

    Kept for ``FRESH_FOR`` seconds; asked for again when there is no such ``kid``, at most every
    ``ATTEMPT_EVERY`` seconds. While the issuer fails, the last known keys serve.

    Arguments:
        uri: ``jwks_uri`` of the issuer (RFC 8414 section 2); https, or http on loopback.
        kid: as in the JWT's header; None where it names none, which gives all keys.
        timeout: seconds that this call may take at the most, where keys have to be fetched.

    Returns:
        joserfc keys, all of them asymmetric; empty where the issuer has no such key.

    Raises:
        KeysUnavailable: the issuer could not be asked, and no such key is known.
        ValueError: ``uri`` is neither https nor loopback.
    """
    if not is_secure_url(uri):
        raise ValueError(f"The key set {uri} is not fetched in the open: give an https address.")
    document = _document((uri,), _key_set)
    keys = document.get(timeout, lambda known: kid is None or any(k.kid == kid for k in known))
    return keys if kid is None else tuple(key for key in keys if key.kid == kid)


def find_jwks_uri(issuer: str, *, timeout: float) -> str:
    """``jwks_uri`` from the metadata of ``issuer`` (RFC 8414; OpenID Connect Discovery 1.0).

    Kept like keys are.

    Raises:
        KeysUnavailable: there is no metadata, or it is not this issuer's, or names no key set.
        ValueError: ``issuer`` is neither https nor loopback.
    """
    if not is_secure_url(issuer):
        raise ValueError(f"The issuer {issuer} is not asked in the open: give an https address.")
    document = _document(tuple(addresses(issuer)), partial(_jwks_uri, issuer=issuer))
    return document.get(timeout, bool)


@sensitive_variables()
def verify(
    token: str,
    find: Callable[[str | None], Sequence[Key]],
    *,
    algorithms: Collection[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT (RFC 7519) in compact serialization, its signature verified.

    Claims are not judged: ``iss``, ``aud``, ``exp`` and the rest are the caller's.

    Arguments:
        find: gives the keys that may have signed for a ``kid``, e.g. a partial of
            :func:`find_keys`; what it raises passes through.
        algorithms: the algorithms accepted, out of :data:`ASYMMETRIC`.

    Raises:
        InvalidJWT: malformed, of another algorithm, or signed by nobody known.
        ValueError: ``algorithms`` names one that is not asymmetric.
    """
    from joserfc.errors import JoseError
    from joserfc.jws import extract_compact, validate_compact

    registry = pinned(frozenset(algorithms))
    if len(token) > MAX_JWT:
        raise InvalidJWT("The token is too long.")
    try:
        parts = extract_compact(token.encode("ascii"), registry=registry)
        header = parts.headers()
        registry.check_header(header)
        registry.get_alg(header["alg"])
        claims = json.loads(parts.payload)
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidJWT("The token is not a JWT that is accepted here.") from None
    if "crit" in header or not isinstance(claims, dict):
        raise InvalidJWT("The token is not a JWT that is accepted here.")
    keys = find(header.get("kid"))
    if not keys:
        raise InvalidJWT("The token names a key that its issuer does not have.")
    for key in keys:
        try:
            if validate_compact(parts, key, registry=registry):
                return header, claims
        except (JoseError, ValueError, TypeError):
            # A key for another algorithm; the issuer may have several under one kid, or no kids.
            continue
    raise InvalidJWT("The signature of the token is not valid.")


def parse_keys(document: Mapping[str, Any]) -> tuple[Key, ...]:
    """The usable public keys of a JWK Set (RFC 7517 section 5): asymmetric, strong, for signatures.

    What is not understood is left out, as the RFC wants it.

    Raises:
        ValueError: it is no JWK Set, or has no usable key.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    found: list[Key] = []
    kinds: dict[object, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    entries = document.get("keys")
    for entry in entries[:MAX_KEYS] if isinstance(entries, list) else ():
        kind = kinds.get(str(entry.get("kty"))) if isinstance(entry, dict) else None
        if kind is None or entry.get("use", "sig") != "sig" or entry.get("crv") in _FOR_ENCRYPTION:
            continue
        try:
            if kind is not RSAKey or _bits(entry["n"]) >= MIN_RSA_BITS:
                found.append(kind.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not found:
        raise ValueError("no_usable_key")
    return tuple(found)


def _bits(number: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(number + "==")).bit_length()


def _jwks_uri(body: bytes, *, issuer: str) -> str:
    metadata = verified(Provider(name=issuer, client_id="", issuer=issuer), body)
    uri = metadata.get("jwks_uri")
    if not isinstance(uri, str) or not uri:
        raise ValueError("no_jwks_uri")
    return uri


def _key_set(body: bytes) -> tuple[Key, ...]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    return parse_keys(document if isinstance(document, dict) else {})


@cache
def pinned(algorithms: frozenset[str]) -> JWSRegistry:
    """What joserfc verifies with: these algorithms and no others.

    Raises:
        ValueError: one of them is not asymmetric, or not known to the installed joserfc.
    """
    from joserfc.errors import UnsupportedAlgorithmError
    from joserfc.jws import JWSRegistry

    if not algorithms or not algorithms <= ASYMMETRIC & JWSRegistry.algorithms.keys():
        raise ValueError(
            f"algorithms must name some of {', '.join(sorted(ASYMMETRIC))}, not "
            f"{', '.join(sorted(algorithms)) or 'none'}."
        )

    class Pinned(JWSRegistry):
        # An x5c chain makes long headers; the JWT as a whole is bounded already.
        max_header_length = MAX_JWT

        def get_alg(self, name: str) -> Any:
            # joserfc's own warns about "EdDSA", at each token.
            if name not in algorithms:
                raise UnsupportedAlgorithmError
            return self.algorithms[name]

    return Pinned(strict_check_header=False)


class _Document(Generic[T]):
    """What one of an issuer's documents says: fetched by one thread at a time, and kept."""

    def __init__(self, urls: Iterable[str], read: Callable[[bytes], T]) -> None:
        self._urls = tuple(urls)
        self._read = read
        self._lock = threading.Lock()
        self._value: T | None = None
        self._fetched_at = -math.inf
        self._next_attempt = -math.inf
        self._failure = ""
        self.used_at = -math.inf

    def get(self, timeout: float, suffices: Callable[[T], bool]) -> T:
        value = self._known(FRESH_FOR)
        if value is not None and suffices(value):
            return value
        value = self._known(KEEP_FOR)
        # Without a lock where there is nothing to wait for. Nor does anyone wait for a thread that
        # asks who has keys already: forged kids would hold every worker while the issuer hangs.
        asked = value is not None and time.monotonic() < self._next_attempt
        if not asked:
            end = time.monotonic() + timeout
            asked = self._lock.acquire(timeout=timeout if value is None else 0.0)
            if asked:
                try:
                    self._renew(end, suffices)
                finally:
                    self._lock.release()
        asked = asked and not self._failure
        value = self._known(KEEP_FOR)
        if value is None or not (asked or suffices(value)):
            code = self._failure or "timeout"
            raise KeysUnavailable(
                f"{self._urls[0]} could not be fetched ({code}).",
                code=code,
                retry_after=max(1.0, self._next_attempt - time.monotonic()),
            )
        return value

    def _known(self, age: float) -> T | None:
        return self._value if time.monotonic() - self._fetched_at < age else None

    def _renew(self, end: float, suffices: Callable[[T], bool]) -> None:
        value = self._known(FRESH_FOR)
        wanting = value is None or not suffices(value)
        if wanting and time.monotonic() >= self._next_attempt:
            self._fetch(end)

    def _fetch(self, end: float) -> None:
        self._failure = self._attempt(end)
        self._next_attempt = time.monotonic() + ATTEMPT_EVERY
        if self._failure:
            logger.warning("%s could not be fetched: %s", self._urls[0], self._failure)

    def _attempt(self, end: float) -> str:
        """What went wrong, or ""."""
        from . import transport

        failure = ""
        for url in self._urls:
            left = max(0.1, end - time.monotonic())
            try:
                response = transport.send(Request("GET", url, _HEADERS), timeout=left)
            except transport.TransportError as error:
                failure = error.code
                continue
            if response.status != 200:
                failure = f"http_{response.status}"
                continue
            try:
                self._value = self._read(response.body)
            except ProviderMisconfigured as error:
                logger.error("%s", error)
                return error.code
            except ValueError as error:
                return str(error)
            self._fetched_at = time.monotonic()
            return ""
        return failure


_documents: dict[tuple[str, ...], _Document[Any]] = {}


def _document(urls: tuple[str, ...], read: Callable[[bytes], T]) -> _Document[T]:
    document = _documents.get(urls)
    if document is None:
        # Issuers that callers may choose must not drive out the one that everybody needs.
        by_use = sorted(_documents.items(), key=lambda item: item[1].used_at)
        for oldest, _ in by_use[: 1 - MAX_DOCUMENTS]:
            _documents.pop(oldest, None)
        document = _documents.setdefault(urls, _Document(urls, read))
    document.used_at = time.monotonic()
    return document


def forget_all() -> None:
    """Forget all keys and metadata of this process (tests; a key that has leaked)."""
    _documents.clear()


# A lock that another thread held during the fork is never released in the child.
os.register_at_fork(after_in_child=forget_all)
