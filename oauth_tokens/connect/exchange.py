"""A code for tokens: the requests to the token endpoint that a connection begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.views.decorators.debug import sensitive_variables

from .. import transport
from ..conf import get_settings
from ..providers.base import Provider
from ..providers.wire import Answer, Meaning, Request, parse_body
from ..token_set import TokenSet
from .failure import ConnectFailed, Started, failing, refused, stale

#: Words of GitHub and Slack for an authorization code that is used or expired.
_USED_CODE = ("bad_verification_code", "invalid_code", "code_already_used")


@sensitive_variables()
def exchange(
    provider: Provider, started: Started, code: str, known: Mapping[str, Any]
) -> tuple[TokenSet, dict[str, Any]]:
    """Code for tokens (RFC 6749 section 4.1.3), and the whole answer."""
    request = provider.exchange_request(
        code=code,
        redirect_uri=started.redirect_uri,
        code_verifier=started.code_verifier,
        known=known,
    )
    return _tokens(provider, request, (code, started.code_verifier or ""))


@sensitive_variables()
def long_lived(
    provider: Provider, token_set: TokenSet, body: dict[str, Any]
) -> tuple[TokenSet, dict[str, Any]]:
    """A token that lives for long, where the provider takes a second request for it."""
    request = provider.long_lived_request(access_token=token_set.access_token)
    if request is None:
        return token_set, body
    second, more = _tokens(provider, request, (token_set.access_token,))
    scope = token_set.scope if second.scope is None else second.scope
    extra = {**token_set.extra, **second.extra}
    return replace(second, scope=scope, extra=extra), {**body, **more}


@sensitive_variables()
def _tokens(
    provider: Provider, request: Request, sent: Iterable[str]
) -> tuple[TokenSet, dict[str, Any]]:
    try:
        response = transport.send(request, timeout=get_settings().HTTP_TIMEOUT)
    except transport.TransportError as error:
        raise failing(provider, error.code) from None
    answer = provider.classify(response, secrets=sent)
    if answer.token_set is None:
        raise _not_exchanged(provider, answer, response.status)
    return answer.token_set, parse_body(response)


def _not_exchanged(provider: Provider, answer: Answer, status: int) -> ConnectFailed:
    if answer.meaning is Meaning.DEAD_GRANT or answer.code in _USED_CODE:
        return stale(answer.code, provider.name)
    if answer.meaning is Meaning.OPERATOR_ERROR:
        return refused(
            provider,
            answer.code,
            "this site's own credentials or request",
            "Check client_id, client_secret, redirect_uris and token_endpoint_auth_method.",
        )
    return failing(provider, answer.code, retryable=answer.outage or status >= 500)
