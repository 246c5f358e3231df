"""Connecting a provider: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636, RFC 9700).

:func:`start` says where to send the user; :func:`complete` takes what the provider sent them back
with. Requests that are under way are kept in the login session, each usable once.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db import router
from django.http import QueryDict
from django.views.decorators.debug import sensitive_variables
from oauthlib.oauth2 import WebApplicationClient

from .. import transport
from ..conf import get_settings
from ..exceptions import OAuthTokenError
from ..models import OAuthToken, PendingRevocation
from ..providers.base import Provider
from ..providers.registry import resolve_provider
from ..providers.wire import Answer, Meaning, clean, parse_body
from ..reader import database_now
from ..token_set import TokenSet
from .account import find_account
from .failure import Cause, ConnectFailed, Started, failing, rejected, stale

logger = logging.getLogger("oauth_tokens")

__all__ = ["Cause", "ConnectFailed", "Connected", "Started", "complete", "start"]

SESSION_KEY = "oauth_tokens_started"
#: Authorization requests kept in one session (tabs, providers), and seconds that each is good for.
MAX_STARTED = 10
MAX_AGE = 600.0
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,255}")
_MAX_SCOPES = 100
_DENIED = ("access_denied", "consent_required", "user_cancelled_login", "user_cancelled_authorize")
_PROVIDER_DOWN = ("server_error", "temporarily_unavailable")
#: Words of GitHub and Slack for an authorization code that is used or expired.
_USED_CODE = ("bad_verification_code", "invalid_code", "code_already_used")


@dataclass(frozen=True, slots=True)
class Connected:
    """A provider was connected.

    Arguments:
        next_url: where the user wanted to go.
        missing: the scopes that the caller had named and the user or provider did not grant.
    """

    token: OAuthToken
    next_url: str
    missing: frozenset[str]


def start(
    session: SessionBase,
    user: Any,
    provider_name: str,
    *,
    redirect_uri: str,
    next_url: str,
    scope: Iterable[str] = (),
) -> str:
    """The URL at the provider to send the user to (RFC 6749 section 4.1.1).

    Asks for the provider's scopes, for those already granted, so that nothing is lost, and for
    ``scope``.

    Arguments:
        redirect_uri: absolute URL of the callback; the provider's own setting wins.
        next_url: where to send the user in the end; the caller has checked that it is ours.

    Raises:
        ConnectFailed: ``scope`` is not made of scope tokens.
        ProviderMisconfigured, ProviderUnavailable: the provider cannot be used.
    """
    provider = resolve_provider(provider_name)
    asked = sorted(set(scope))
    if len(asked) > _MAX_SCOPES or not all(_SCOPE_TOKEN.fullmatch(token) for token in asked):
        raise ConnectFailed(
            "scope holds something that is no scope (RFC 6749 section 3.3).",
            cause=Cause.REJECTED,
            code="invalid_scope",
            provider=provider.name,
        )
    wanted = sorted({*provider.scope, *_granted(user, provider.name), *asked})
    state = secrets.token_urlsafe(32)
    verifier: str | None = None
    if provider.pkce:
        verifier = WebApplicationClient(provider.client_id).create_code_verifier(64)
    started = Started(
        provider=provider.name,
        user=str(user.pk),
        next_url=next_url,
        redirect_uri=next(iter(provider.redirect_uris), redirect_uri),
        asked=asked,
        scope=wanted,
        code_verifier=verifier,
        nonce=secrets.token_urlsafe(32) if "openid" in wanted else None,
        at=time.time(),
    )
    url = provider.authorization_url(
        redirect_uri=started.redirect_uri,
        state=state,
        scope=wanted,
        code_verifier=started.code_verifier,
        nonce=started.nonce,
    )
    _remember(session, state, started)
    return url


@sensitive_variables()
def complete(session: SessionBase, user: Any, provider_name: str, answer: QueryDict) -> Connected:
    """Take the authorization response (RFC 6749 section 4.1.2) and store what it is good for.

    Arguments:
        answer: the parameters that the provider sent the user back with.

    Raises:
        ConnectFailed: nothing was connected.
        ProviderMisconfigured, ProviderUnavailable: the provider cannot be used.
    """
    started = _take(session, user, provider_name, answer)
    try:
        provider = resolve_provider(provider_name)
        code = _code(provider, answer)
        using = router.db_for_write(OAuthToken, instance=user)
        sent_at = database_now(using)
        token_set, body = _exchange(provider, started, code)
        try:
            account_id, account_label = find_account(provider, started, token_set, body, sent_at)
        except OAuthTokenError:
            _give_back(user, provider, token_set, using, sent_at)
            raise
    except ConnectFailed as error:
        error.started = started
        raise
    token = user.oauth_tokens.store_grant(
        provider.name,
        token_set,
        account_id=account_id,
        account_label=account_label,
        requested_scope=started.scope,
        # What the provider says itself stands; anybody can add parameters to the address.
        extra={
            key: answer[key][:255]
            for key in provider.metadata_fields
            if key in answer and key not in token_set.extra
        },
        sent_at=sent_at,
    )
    return Connected(token, started.next_url, frozenset(started.asked) - token.scopes)


def _granted(user: Any, provider_name: str) -> set[str]:
    rows = user.oauth_tokens.filter(provider=provider_name).exclude(status="revoking")
    return {token for scope in rows.values_list("scope", flat=True) for token in scope.split()}


# State


def _remember(session: SessionBase, state: str, started: Started) -> None:
    kept = session.get(SESSION_KEY)
    entries = {
        key: entry
        for key, entry in (kept.items() if isinstance(kept, dict) else ())
        if started.at - entry.get("at", 0) < MAX_AGE
    }
    entries[state] = asdict(started)
    session[SESSION_KEY] = dict(list(entries.items())[-MAX_STARTED:])


def _take(session: SessionBase, user: Any, provider_name: str, answer: QueryDict) -> Started:
    """The request that ``answer`` is for, which from now on is unknown (RFC 9700 section 4.7)."""
    entries = session.get(SESSION_KEY)
    states = answer.getlist("state")
    found = None
    if isinstance(entries, dict) and len(states) == 1:
        found = entries.pop(states[0], None)
    if found is None:
        raise stale("unknown_state", provider_name)
    session[SESSION_KEY] = entries
    try:
        # Now, not with the response: a second answer with this state may already be on its way.
        session.save()
        started = Started(**found)
    except (UpdateError, TypeError):
        raise stale("unknown_state", provider_name) from None
    if started.user != str(user.pk):
        raise stale("other_user", provider_name)
    if started.provider != provider_name:
        raise stale("other_provider", provider_name)
    if time.time() - started.at > MAX_AGE:
        raise stale("expired_state", provider_name)
    return started


# Answers


def _code(provider: Provider, answer: QueryDict) -> str:
    """The authorization code, unless ``answer`` is an error or not from ``provider``."""
    for name in ("code", "error", "iss"):
        if len(answer.getlist(name)) > 1:
            raise rejected(provider, "repeated_parameter", f"The answer repeats {name!r}.")
    issuer = answer.get("iss")
    if issuer is None and provider.authorization_response_iss_parameter_supported:
        raise rejected(provider, "missing_issuer", "The answer lacks iss (RFC 9207 section 2.4).")
    if issuer is not None and provider.issuer and issuer != provider.issuer:
        raise rejected(
            provider, "issuer_mismatch", "The answer is another issuer's (RFC 9207 section 2.4)."
        )
    if answer.get("error"):
        raise _refused(provider, answer)
    code = answer.get("code")
    if not code:
        raise rejected(provider, "missing_code", "The answer has neither code nor error.")
    return code


def _refused(provider: Provider, answer: QueryDict) -> ConnectFailed:
    """The provider's error response (RFC 6749 section 4.1.2.1)."""
    code = clean(answer.get("error") or "", (), 64)
    cause = Cause.OPERATOR
    if code in _DENIED:
        cause = Cause.DENIED
    elif code in _PROVIDER_DOWN:
        cause = Cause.PROVIDER
    else:
        logger.error("Provider %s refused an authorization request: %s", provider.name, code)
    return ConnectFailed(
        f"{provider.name} answered the authorization request with {code}.",
        cause=cause,
        code=code,
        provider=provider.name,
        description=clean(answer.get("error_description") or "", (), 250),
        retryable=code == "temporarily_unavailable",
    )


@sensitive_variables()
def _exchange(provider: Provider, started: Started, code: str) -> tuple[TokenSet, dict[str, Any]]:
    """Code for tokens (RFC 6749 section 4.1.3), and the whole answer."""
    request = provider.exchange_request(
        code=code, redirect_uri=started.redirect_uri, code_verifier=started.code_verifier
    )
    try:
        response = transport.send(request, timeout=get_settings().HTTP_TIMEOUT)
    except transport.TransportError as error:
        raise failing(provider, error.code) from None
    answer = provider.classify(response, secrets=(code, started.code_verifier or ""))
    if answer.token_set is None:
        raise _not_exchanged(provider, answer, response.status)
    return answer.token_set, parse_body(response)


def _not_exchanged(provider: Provider, answer: Answer, status: int) -> ConnectFailed:
    if answer.meaning is Meaning.DEAD_GRANT or answer.code in _USED_CODE:
        return stale(answer.code, provider.name)
    if answer.meaning is Meaning.OPERATOR_ERROR:
        logger.error("Provider %s refused to exchange a code: %s", provider.name, answer.code)
        return ConnectFailed(
            f"{provider.name} refused this site's own credentials or request ({answer.code}). "
            "Check client_id, client_secret, redirect_uris and token_endpoint_auth_method.",
            cause=Cause.OPERATOR,
            code=answer.code,
            provider=provider.name,
        )
    return failing(provider, answer.code, retryable=answer.outage or status >= 500)


@sensitive_variables()
def _give_back(
    user: Any, provider: Provider, token_set: TokenSet, using: str, now: datetime
) -> None:
    """Revoke what was received and will not be used."""
    pending = PendingRevocation.of(
        token_set,
        provider=provider.name,
        client_id=provider.client_id,
        using=using,
        now=now,
        user_id=user.pk,
    )
    if pending is not None:
        pending.attempt(now)
