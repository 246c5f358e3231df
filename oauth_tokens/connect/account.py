"""Which account at the provider granted access."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.views.decorators.debug import sensitive_variables

from .. import transport
from ..conf import get_settings
from ..providers.base import Provider
from ..providers.wire import lookup, parse_body
from ..token_set import TokenSet
from .failure import Started, failing, rejected

#: Seconds that the provider's clock may be ahead of or behind ours.
CLOCK_SKEW = 30.0


@sensitive_variables()
def find_account(
    provider: Provider,
    started: Started,
    token_set: TokenSet,
    body: Mapping[str, Any],
    now: datetime,
) -> tuple[str, str]:
    """Id and label of the account that granted access."""
    paths = (provider.account_id_from, provider.account_label_from)
    found: dict[str, Any] = {"response": body}
    if token_set.id_token and (started.nonce or any(p.startswith("id_token.") for p in paths)):
        found["id_token"] = _claims(provider, token_set.id_token, started.nonce, now)
    if any(path.startswith("userinfo.") for path in paths):
        found["userinfo"] = _userinfo(provider, token_set)
        subjects = {lookup(found, "id_token.sub"), lookup(found, "userinfo.sub")} - {None}
        if len(subjects) > 1:
            # OpenID Connect Core section 5.3.2: the answer is about someone else.
            raise rejected(provider, "subject_mismatch", "userinfo and id_token name two users.")
    account_id, label = (_text(lookup(found, path)) if path else "" for path in paths)
    if provider.account_id_from and not 0 < len(account_id) <= 255:
        raise failing(provider, "account_unknown", retryable=False)
    return account_id, label[:255]


def _text(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


@sensitive_variables()
def _claims(provider: Provider, id_token: str, nonce: str | None, now: datetime) -> dict[str, Any]:
    """The claims of an ID token, checked (OpenID Connect Core section 3.1.3.7).

    It came from the token endpoint over TLS, which item 6 there lets stand for its signature.
    """
    try:
        payload = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise rejected(provider, "id_token_malformed", "The id_token cannot be read.")
    audience, expires = claims.get("aud"), claims.get("exp")
    for check, good in (
        ("iss", not provider.issuer or claims.get("iss") == provider.issuer),
        (
            "aud",
            provider.client_id in (audience if isinstance(audience, list) else [audience]),
        ),
        (
            "exp",
            isinstance(expires, (int, float)) and expires > now.timestamp() - CLOCK_SKEW,
        ),
        ("nonce", nonce is None or claims.get("nonce") == nonce),
    ):
        if not good:
            raise rejected(
                provider, f"id_token_{check}", f"The id_token is not meant for us: {check}."
            )
    return claims


@sensitive_variables()
def _userinfo(provider: Provider, token_set: TokenSet) -> dict[str, Any]:
    """What the provider says about the user; {} where it says nothing."""
    request = provider.userinfo_request(access_token=token_set.access_token)
    try:
        response = transport.send(request, timeout=get_settings().HTTP_TIMEOUT)
    except transport.TransportError:
        return {}
    return parse_body(response) if response.status == 200 else {}
