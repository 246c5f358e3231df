"""Giving tokens back to their provider (RFC 7009)."""

from __future__ import annotations

from .conf import get_settings
from .exceptions import OAuthTokenError
from .providers.registry import get_provider, resolve_provider


def revoke(provider_name: str, token: str, token_type_hint: str) -> str:
    """Ask the provider to revoke ``token``, once.

    Returns:
        "" where there is nothing more to do: revoked, unknown to the provider (RFC 7009 section
        2.2), or the provider offers no revocation. Else the code of a failure that may pass.
    """
    from . import transport

    try:
        provider = resolve_provider(provider_name)
    except OAuthTokenError as error:
        # A provider that was taken out of the settings can be told nothing any more.
        return "" if error.code == "unknown_provider" else error.code
    request = provider.revocation_request(token=token, token_type_hint=token_type_hint)
    if request is None:
        return ""
    try:
        response = transport.send(request, timeout=get_settings().HTTP_TIMEOUT)
    except transport.TransportError as error:
        return error.code
    if 200 <= response.status < 300:
        return ""
    code = provider.classify(response, secrets=(token,)).code
    # Not a token that it knows, or not a kind that it revokes (RFC 7009 section 2.2.1): final.
    return "" if code in ("invalid_token", "unsupported_token_type") else code


def can_revoke(provider_name: str) -> bool:
    """Whether the provider, as configured, may have a revocation endpoint."""
    try:
        provider = get_provider(provider_name)
    except OAuthTokenError:
        return False
    return bool(provider.revocation_endpoint or provider.issuer)
