"""Endpoints from the issuer's own metadata (RFC 8414; OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..conf import get_settings, on_change
from ..exceptions import ProviderMisconfigured, ProviderUnavailable
from .base import Provider
from .wire import Request, is_secure_url

#: Seconds for which metadata is used without asking again, and between attempts that fail.
FRESH_FOR = 86400.0
RETRY_AFTER = 15.0
#: Issuers of which metadata is kept: where an issuer's address has variables, users choose them.
MAX_KNOWN = 256
_ADDRESSES = (
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
)
_LISTS = ("scopes_supported", "code_challenge_methods_supported")
_ISS = "authorization_response_iss_parameter_supported"

logger = logging.getLogger("oauth_tokens")

_known: dict[str, tuple[float, Mapping[str, Any]]] = {}
on_change(_known.clear)


def discovered(provider: Provider) -> Provider:
    """``provider`` with what its issuer says filled in where the settings say nothing.

    Metadata is kept for a day; when the issuer fails after that, the last known stays in use.

    Raises:
        ProviderMisconfigured: the metadata is not this issuer's, or lacks an endpoint.
        ProviderUnavailable: it could not be fetched, and never was before.
    """
    metadata = _metadata(provider)
    found: dict[str, Any] = {
        key: metadata[key] for key in _ADDRESSES if metadata.get(key) and not getattr(provider, key)
    }
    for key in _LISTS:
        if isinstance(metadata.get(key), list) and not getattr(provider, key):
            found[key] = tuple(item for item in metadata[key] if isinstance(item, str))
    if metadata.get(_ISS) is True:
        found[_ISS] = True
    if provider.auth_method == "client_secret_basic" and not provider.token_endpoint_auth_method:
        # RFC 8414: absent means client_secret_basic.
        methods = metadata.get("token_endpoint_auth_methods_supported")
        methods = methods if isinstance(methods, list) else ["client_secret_basic"]
        if "client_secret_basic" not in methods and "client_secret_post" in methods:
            found["token_endpoint_auth_method"] = "client_secret_post"
    return replace(provider, **found)


def _metadata(provider: Provider) -> Mapping[str, Any]:
    # No lock: two threads that ask the same issuer do no harm, and one issuer that does not answer
    # must not keep those waiting who want another's.
    until, metadata = _known.get(provider.issuer, (0.0, {}))
    if time.monotonic() >= until:
        try:
            metadata = _fetch(provider)
            until = time.monotonic() + FRESH_FOR
        except (ProviderUnavailable, ProviderMisconfigured):
            until = time.monotonic() + RETRY_AFTER
            if not metadata:
                _keep(provider.issuer, until, metadata)
                raise
        _keep(provider.issuer, until, metadata)
    if not metadata:
        raise _unavailable(provider, until - time.monotonic())
    return metadata


def _keep(issuer: str, until: float, metadata: Mapping[str, Any]) -> None:
    while len(_known) >= MAX_KNOWN and issuer not in _known:
        _known.pop(next(iter(_known), ""), None)
    _known[issuer] = (until, metadata)


def _fetch(provider: Provider) -> dict[str, Any]:
    from .. import transport

    failure = "no answer"
    for url in addresses(provider.issuer):
        try:
            response = transport.send(
                Request("GET", url, {"Accept": "application/json"}),
                timeout=get_settings().HTTP_TIMEOUT,
            )
        except transport.TransportError as error:
            failure = error.code
            continue
        if response.status != 200:
            failure = f"http_{response.status}"
            continue
        return verified(provider, response.body)
    logger.warning(
        "No metadata at %s (%s). Correct the issuer of provider %r, or set its endpoints.",
        ", ".join(addresses(provider.issuer)),
        failure,
        provider.name,
    )
    raise _unavailable(provider, RETRY_AFTER)


def _unavailable(provider: Provider, retry_after: float) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"The metadata of issuer {provider.issuer} could not be fetched. Check the issuer of "
        f"provider {provider.name!r}, or set its endpoints.",
        code="discovery_failed",
        provider=provider.name,
        retry_after=retry_after,
    )


def addresses(issuer: str) -> list[str]:
    """OpenID Connect appends the well-known path, RFC 8414 section 3.1 inserts it, and some append
    the latter's as well (django-oauth-toolkit)."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    well_known = ".well-known/oauth-authorization-server"
    inserted = f"/{well_known}{path}"
    return [
        urlunsplit((*parts[:2], f"{path}/.well-known/openid-configuration", "", "")),
        urlunsplit((*parts[:2], inserted, "", "")),
        *([urlunsplit((*parts[:2], f"{path}/{well_known}", "", ""))] if path else []),
    ]


def verified(provider: Provider, body: bytes) -> dict[str, Any]:
    try:
        metadata = json.loads(body)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict) or metadata.get("issuer") != provider.issuer:
        # RFC 8414 section 3.3: it must be identical, or someone else speaks for the issuer.
        raise ProviderMisconfigured(
            f"The metadata fetched for provider {provider.name!r} does not name {provider.issuer} "
            "as its issuer. Set issuer to exactly what the provider's metadata says.",
            code="issuer_mismatch",
            provider=provider.name,
        )
    for key in _ADDRESSES:
        value = metadata.get(key)
        # Plain http is for issuers of this machine only, not for what others say is on it.
        secure = is_secure_url(str(value)) and (
            str(value).startswith("https:") or not provider.issuer.startswith("https:")
        )
        if value and not secure:
            raise ProviderMisconfigured(
                f"The metadata of provider {provider.name!r} has a {key} that is not https.",
                code="insecure_endpoint",
                provider=provider.name,
            )
    return metadata
