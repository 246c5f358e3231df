"""What an ID token says, where it may be believed (OpenID Connect Core section 3.1.3.7)."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from typing import Any

from django.views.decorators.debug import sensitive_variables

from .. import jwks
from ..conf import get_settings
from ..providers.base import Provider
from .failure import failing, rejected

#: Seconds that the provider's clock may be ahead of or behind ours.
CLOCK_SKEW = 30.0


@sensitive_variables()
def verified_claims(
    provider: Provider, id_token: str, nonce: str | None, now: datetime
) -> dict[str, Any]:
    """The claims of an ID token that came from the token endpoint.

    Raises:
        ConnectFailed: it is not for us, not from the provider, or its keys cannot be had.
    """
    claims = _signed(provider, id_token) if _has_keys(provider) else _readable(provider, id_token)
    audience, expires = claims.get("aud"), claims.get("exp")
    audiences = audience if isinstance(audience, list) else [audience]
    for check, good, fix in (
        ("iss", not provider.issuer or claims.get("iss") == provider.issuer, "Check issuer."),
        ("aud", provider.client_id in audiences, "Check client_id."),
        ("azp", claims.get("azp", provider.client_id) == provider.client_id, "Check client_id."),
        (
            "exp",
            isinstance(expires, (int, float)) and expires > now.timestamp() - CLOCK_SKEW,
            "Check this machine's clock.",
        ),
        (
            "nonce",
            nonce is None or claims.get("nonce") == nonce,
            "If the provider never sends it back, set nonce to False.",
        ),
    ):
        if not good:
            message = f"The id_token is not meant for us: {check}. {fix}"
            raise rejected(provider, f"id_token_{check}", message)
    return claims


def _has_keys(provider: Provider) -> bool:
    """Whether signatures can be verified. Where not, item 6 lets TLS stand for them."""
    symmetric = provider.id_token_signed_response_alg.startswith("HS")
    return bool(provider.jwks_uri) and not symmetric and find_spec("joserfc") is not None


@sensitive_variables()
def _signed(provider: Provider, id_token: str) -> dict[str, Any]:
    timeout = get_settings().HTTP_TIMEOUT
    wanted = provider.id_token_signed_response_alg
    try:
        _, claims = jwks.verify(
            id_token,
            partial(jwks.find_keys, provider.jwks_uri, timeout=timeout),
            algorithms={wanted} if wanted else jwks.ASYMMETRIC,
        )
    except jwks.InvalidJWT:
        raise rejected(
            provider,
            "id_token_signature",
            "The id_token is not signed by the provider. Check jwks_uri and "
            "id_token_signed_response_alg.",
        ) from None
    except jwks.KeysUnavailable as error:
        raise failing(provider, f"jwks_{error.code}") from None
    return claims


@sensitive_variables()
def _readable(provider: Provider, id_token: str) -> dict[str, Any]:
    try:
        payload = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise rejected(provider, "id_token_malformed", "The id_token cannot be read.")
    return claims
