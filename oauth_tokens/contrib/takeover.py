"""Taking over tokens that another package has got: what its bridges share."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import router, transaction
from django.views.decorators.debug import sensitive_variables

from ..conf import get_settings
from ..exceptions import InvalidTokenResponse
from ..models import OAuthToken
from ..providers.registry import get_provider, provider_names
from ..providers.wire import is_token, lookup
from ..token_set import TokenSet

if TYPE_CHECKING:
    from ..providers.base import Provider

logger = logging.getLogger("oauth_tokens")


def names_elsewhere() -> dict[str, Provider]:
    """Our providers by what other packages may call them: our name, or one of ``aliases``."""
    ours = {name: get_provider(name) for name in provider_names()}
    return {**{alias: p for p in ours.values() for alias in p.aliases}, **ours}


def account_of(provider: Provider, uid: str, told: Mapping[str, Any]) -> str:
    """``account_id`` of the account that another package knows as ``uid``.

    Connecting again on our pages has to find the same row, so ``account_id_from`` counts, and
    where there is none, a user has one account.

    Arguments:
        told: what the package has kept, as "response", "userinfo" and "id_token".
    """
    source, _dot, path = provider.account_id_from.partition(".")
    found = lookup(told.get(source), path)
    known = isinstance(found, (str, int)) and not isinstance(found, bool) and found != ""
    return (str(found) if known else uid) if path else ""


def is_wider(row: OAuthToken, provider: Provider, asked: Iterable[str] | None) -> bool:
    """Whether the user granted more to ``row`` than what ``asked`` for, as logins often do less."""
    granted_for = set(provider.scope if asked is None else asked)
    return row.status == row.Status.ACTIVE and not set(row.requested_scope.split()) <= granted_for


@sensitive_variables()
def as_token_set(
    provider: Provider,
    access_token: object,
    refresh_token: object,
    lifetime: float | None,
    *,
    scope: frozenset[str] | None = None,
    id_token: object = None,
) -> TokenSet:
    """The token set, as ``provider`` would have it.

    Arguments:
        lifetime: seconds that are left, or None where the access token does not expire.

    Raises:
        InvalidTokenResponse: ``access_token`` is none.
    """
    if not is_token(access_token):
        raise InvalidTokenResponse(
            "There is no OAuth 2.0 access token in it. Ask the user to connect again.",
            provider=provider.name,
        )
    if provider.refresh_with == "access_token":
        refresh_token = access_token
    return TokenSet(
        access_token=str(access_token),
        token_type=provider.token_type or "Bearer",
        refresh_token=str(refresh_token) if is_token(refresh_token) else None,
        expires_in=lifetime,
        scope=scope,
        id_token=str(id_token) if is_token(id_token) else None,
    )


def seconds_until(expires_at: datetime | None, now: datetime) -> float | None:
    """Seconds that are left, 0 where none are; None where the end is not known."""
    return None if expires_at is None else max((expires_at - now).total_seconds(), 0.0)


def default_lifetime(provider: Provider) -> float | None:
    """Seconds that a token just issued lives where nobody says; None: it does not expire."""
    default = provider.default_expires_in
    return get_settings().DEFAULT_EXPIRES_IN if isinstance(default, str) else default


@sensitive_variables()
def take_over(
    user: Any,
    provider: Provider,
    token_set: TokenSet,
    account_id: str,
    asked: Iterable[str] | None,
) -> OAuthToken | None:
    """Store what another package has just been granted; None where the stored one is worth more.

    Arguments:
        asked: scopes that the user was asked for; None for those of our settings.
    """
    using = router.db_for_write(OAuthToken, instance=user)
    row = (
        OAuthToken._base_manager.using(using)
        .filter(user=user.pk, provider=provider.name, account_id=account_id)
        .first()
    )
    if row is not None and is_wider(row, provider, asked):
        return None
    stored: OAuthToken = user.oauth_tokens.store_grant(
        provider.name, token_set, account_id=account_id, requested_scope=asked
    )
    return stored


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Whatever goes wrong within is logged and undone: a login goes on without us."""
    try:
        with transaction.atomic(using=router.db_for_write(OAuthToken)):
            yield
    except Exception:
        logger.exception("%s", what)
