"""Which account at the provider granted access."""

from __future__ import annotations

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
from .id_token import verified_claims


@sensitive_variables()
def find_account(
    provider: Provider,
    started: Started,
    token_set: TokenSet,
    told: Mapping[str, Any],
    now: datetime,
) -> tuple[str, str]:
    """Id and label of the account that granted access.

    Arguments:
        told: what came without asking for it: "response" of the token endpoint, and "redirect".
    """
    paths = (provider.account_id_from, provider.account_label_from)
    found: dict[str, Any] = {**told, "url_variables": started.variables}
    if token_set.id_token and (started.nonce or any(p.startswith("id_token.") for p in paths)):
        found["id_token"] = verified_claims(provider, token_set.id_token, started.nonce, now)
    if any(path.startswith("userinfo.") for path in paths):
        found["userinfo"] = _userinfo(provider, token_set)
        subjects = {lookup(found, "id_token.sub"), lookup(found, "userinfo.sub")} - {None}
        if len(subjects) > 1:
            # OpenID Connect Core section 5.3.2: the answer is about someone else.
            raise rejected(
                provider,
                "subject_mismatch",
                "userinfo and id_token name two users. Check userinfo_endpoint.",
            )
    account_id, label = (_text(lookup(found, path)) if path else "" for path in paths)
    if provider.account_id_from and not 0 < len(account_id) <= 255:
        fix = (
            f"There is nothing at {provider.account_id_from}: correct account_id_from, or ask for "
            "the scope that brings it."
        )
        raise failing(provider, "account_unknown", fix, retryable=False)
    return account_id, label[:255]


def _text(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


@sensitive_variables()
def _userinfo(provider: Provider, token_set: TokenSet) -> dict[str, Any]:
    """What the provider says about the user; {} where it says nothing."""
    request = provider.userinfo_request(access_token=token_set.access_token)
    try:
        response = transport.send(request, timeout=get_settings().HTTP_TIMEOUT)
    except transport.TransportError:
        return {}
    return parse_body(response) if response.status == 200 else {}
