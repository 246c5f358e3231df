"""Connecting a provider: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636, RFC 9700).

:func:`start` says where to send the user; :func:`complete` takes what the provider sent them back
with. Requests that are under way are kept in the login session, each usable once.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db import router
from django.http import QueryDict
from django.views.decorators.debug import sensitive_variables

from ..models import OAuthToken, PendingRevocation
from ..providers.base import Provider
from ..providers.registry import get_provider, resolve_provider
from ..providers.variables import InvalidVariable, accept_all
from ..providers.wire import clean
from ..reader import database_now
from ..token_set import TokenSet
from .account import find_account
from .exchange import exchange, long_lived
from .failure import Cause, ConnectFailed, Started, refused, rejected, stale

__all__ = ["Cause", "ConnectFailed", "Connected", "Started", "check_scope", "complete", "start"]

SESSION_KEY = "oauth_tokens_started"
#: Authorization requests kept in one session (tabs, providers), and seconds that each is good for.
MAX_STARTED = 10
MAX_AGE = 600.0
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,255}")
_MAX_SCOPES = 100
_DENIED = ("access_denied", "consent_required", "user_cancelled_login", "user_cancelled_authorize")
_PROVIDER_DOWN = ("server_error", "temporarily_unavailable")


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
    variables: Mapping[str, str] | None = None,
) -> str:
    """The URL at the provider to send the user to (RFC 6749 section 4.1.1).

    Asks for the provider's scopes, for those already granted, so that nothing is lost, and for
    ``scope``.

    Arguments:
        redirect_uri: absolute URL of the callback; the provider's own setting wins.
        next_url: where to send the user in the end; the caller has checked that it is ours.
        variables: values of the variables in the provider's addresses, as the user gave them.

    Raises:
        ConnectFailed: ``scope`` is not made of scope tokens.
        ProviderMisconfigured, ProviderUnavailable: the provider cannot be used; code
            "url_variable" where a variable lacks a usable value.
    """
    provider = resolve_provider(provider_name, variables=variables, redirected=False)
    asked = sorted(set(scope))
    check_scope(provider.name, asked)
    wanted = sorted({*provider.scope, *_granted(user, provider.name), *asked})
    state = secrets.token_urlsafe(32)
    verifier: str | None = None
    if provider.pkce:
        verifier = secrets.token_urlsafe(48)  # 64 characters, RFC 7636 section 4.1
    started = Started(
        provider=provider.name,
        user=str(user.pk),
        next_url=next_url,
        redirect_uri=next(iter(provider.redirect_uris), redirect_uri),
        asked=asked,
        scope=wanted,
        code_verifier=verifier,
        nonce=secrets.token_urlsafe(32) if provider.nonce and "openid" in wanted else None,
        at=time.time(),
        variables=accept_all(provider.url_variables, variables or {}, redirected=False),
    )
    url = provider.authorization_url(
        redirect_uri=started.redirect_uri,
        state=state,
        scope=wanted,
        code_verifier=started.code_verifier,
        nonce=started.nonce,
        known={"url_variables": started.variables},
    )
    _remember(session, state, started)
    return url


def check_scope(provider_name: str, asked: Collection[str]) -> None:
    """Raises:
    ConnectFailed: ``asked`` is not made of scope tokens, or of far too many.
    """
    if len(asked) > _MAX_SCOPES or not all(_SCOPE_TOKEN.fullmatch(token) for token in asked):
        raise ConnectFailed(
            f"scope holds something that is no scope (RFC 6749 section 3.3), or more than "
            f"{_MAX_SCOPES} of them. Separate scopes by spaces.",
            cause=Cause.REJECTED,
            code="invalid_scope",
            provider=provider_name,
        )


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
    # False for a session that is kept in a cookie: the server cannot tell whether it has ended.
    tells = _exists(session)
    try:
        granted = "error" not in answer
        started = _with_redirected(get_provider(provider_name), started, answer, granted)
        provider = resolve_provider(provider_name, variables=started.variables, redirected=granted)
        code = _code(provider, answer)
        known = _known(provider, started, answer)
        using = router.db_for_write(OAuthToken, instance=user)
        sent_at = database_now(using)
        token_set, body = exchange(provider, started, code, {**known, "state": answer["state"]})
        try:
            token_set, body = long_lived(provider, token_set, body)
            account_id, account_label = find_account(
                provider, started, token_set, {"response": body, "redirect": answer}, sent_at
            )
            if tells and not _exists(session):
                # Logged out meanwhile: REVOKE_ON_LOGOUT has promised that nothing stays behind.
                session.modified = False  # nor is it to be saved
                raise stale("session_ended", provider.name)
        except Exception:
            _give_back(user, provider, started, token_set)
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
        extra={key: value for key, value in known.items() if key not in token_set.extra},
        sent_at=sent_at,
    )
    return Connected(token, started.next_url, frozenset(started.asked) - token.scopes)


def _granted(user: Any, provider_name: str) -> set[str]:
    rows = user.oauth_tokens.filter(provider=provider_name).exclude(status="revoking")
    return {token for scope in rows.values_list("scope", flat=True) for token in scope.split()}


def _with_redirected(
    provider: Provider, started: Started, answer: QueryDict, granted: bool
) -> Started:
    """``started`` with the variables that the redirect brings. Anybody may have written them."""
    brought = {
        name: answer[variable.redirect]
        for name, variable in provider.url_variables.items()
        if variable.redirect in answer
    }
    try:
        variables = accept_all(
            provider.url_variables, {**started.variables, **brought}, redirected=granted
        )
    except InvalidVariable:
        raise rejected(
            provider,
            "url_variable",
            "The answer does not say where to go on, or says it wrong. Check what url_variables "
            "expects of the redirect.",
        ) from None
    return replace(started, variables=variables)


def _known(provider: Provider, started: Started, answer: QueryDict) -> dict[str, Any]:
    """What is known of the connection before there is a token, worth keeping with it."""
    redirect = {key: answer[key][:255] for key in provider.metadata_fields if key in answer}
    return {**redirect, "url_variables": started.variables} if started.variables else redirect


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


def _exists(session: SessionBase) -> bool:
    return session.exists(session.session_key or "")


# Answers


def _code(provider: Provider, answer: QueryDict) -> str:
    """The authorization code, unless ``answer`` is an error or not from ``provider``."""
    for name in (provider.code_parameter, "error", "iss"):
        if len(answer.getlist(name)) > 1:
            raise rejected(provider, "repeated_parameter", f"The answer repeats {name!r}.")
    issuer = answer.get("iss")
    # An error without it is believed: nothing comes of it, and django-oauth-toolkit sends such.
    wanted = provider.authorization_response_iss_parameter_supported and not answer.get("error")
    if issuer is None and wanted:
        raise rejected(
            provider,
            "missing_issuer",
            "The answer lacks iss (RFC 9207 section 2.4). If the provider never sends it, leave "
            "out authorization_response_iss_parameter_supported.",
        )
    if issuer is not None and provider.issuer and issuer != provider.issuer:
        raise rejected(
            provider,
            "issuer_mismatch",
            "The answer is another issuer's (RFC 9207 section 2.4). Set issuer to exactly what "
            "the provider's metadata says.",
        )
    if answer.get("error"):
        raise _refused(provider, answer)
    code = answer.get(provider.code_parameter)
    if not code:
        raise rejected(
            provider,
            "missing_code",
            f"The answer has neither {provider.code_parameter} nor error. Set code_parameter to "
            "what this provider calls the code.",
        )
    return code


def _refused(provider: Provider, answer: QueryDict) -> ConnectFailed:
    """The provider's error response (RFC 6749 section 4.1.2.1)."""
    code = clean(answer.get("error") or "", (), 64)
    description = clean(answer.get("error_description") or "", (), 250)
    if code not in (*_DENIED, *_PROVIDER_DOWN):
        fix = (
            "Check scope, authorization_params, pkce, and what the client is registered for there."
        )
        return refused(provider, code, "an authorization request", fix, description=description)
    return ConnectFailed(
        f"{provider.name} answered the authorization request with {code}. Start again.",
        cause=Cause.DENIED if code in _DENIED else Cause.PROVIDER,
        code=code,
        provider=provider.name,
        description=description,
        retryable=code == "temporarily_unavailable",
    )


@sensitive_variables()
def _give_back(user: Any, provider: Provider, started: Started, token_set: TokenSet) -> None:
    """Revoke what was received and will not be used."""
    using = router.db_for_write(OAuthToken, instance=user)
    now = database_now(using)
    pending = PendingRevocation.of(
        token_set,
        provider=provider.name,
        client_id=provider.client_id,
        using=using,
        now=now,
        user_id=user.pk,
        variables=started.variables,
    )
    if pending is not None:
        pending.attempt(now)
