"""Giving tokens back to their provider (RFC 7009)."""

from __future__ import annotations

from collections.abc import Mapping

from django.views.decorators.debug import sensitive_variables

from .conf import get_settings
from .exceptions import OAuthTokenError
from .providers.registry import get_provider, resolve_provider


@sensitive_variables()
def revoke(
    provider_name: str,
    token: str,
    token_type_hint: str,
    *,
    client_id: str = "",
    variables: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Ask the provider to revoke ``token``, once.

    Arguments:
        client_id, variables: as for :func:`~oauth_tokens.providers.registry.resolve_provider`.
        timeout: seconds to wait for the provider, if less than HTTP_TIMEOUT.

    Returns:
        "" where there is nothing more to do: revoked, unknown to the provider (RFC 7009 section
        2.2), or the provider offers no revocation. Else the code of a failure that may pass.
    """
    from . import transport

    try:
        provider = resolve_provider(provider_name, client_id=client_id, variables=variables)
    except OAuthTokenError as error:
        # A provider that was taken out of the settings, or whose address is not known any more, can
        # be told nothing.
        return "" if error.code in ("unknown_provider", "url_variable") else error.code
    request = provider.revocation_request(token=token, token_type_hint=token_type_hint)
    if request is None:
        return ""
    try:
        longest = get_settings().HTTP_TIMEOUT
        response = transport.send(request, timeout=min(timeout or longest, longest))
    except transport.TransportError as error:
        return error.code
    if 200 <= response.status < 300:
        return ""
    code = provider.classify(response, secrets=(token,)).code
    # Not a token that it knows, or not a kind that it revokes (RFC 7009 section 2.2.1): final.
    return "" if code in ("invalid_token", "unsupported_token_type") else code


def token_to_revoke(
    provider_name: str, access_token: str, refresh_token: str | None
) -> tuple[str, str]:
    """The token that ends the grant, and its ``token_type_hint`` (RFC 7009 section 2.1)."""
    try:
        provider = get_provider(provider_name)
    except OAuthTokenError:
        return access_token, "access_token"
    return provider.token_to_revoke(access_token, refresh_token)


def can_revoke(provider_name: str) -> bool:
    """Whether the provider, as configured, may have a revocation endpoint."""
    try:
        provider = get_provider(provider_name)
    except OAuthTokenError:
        return False
    return bool(provider.revocation_endpoint or provider.issuer)
