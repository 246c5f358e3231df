"""social-auth: a step of its pipeline that takes over tokens, and its rows, to be imported.

``SOCIAL_AUTH_PIPELINE = (..., "oauth_tokens.contrib.social_auth.store_token")``, after
``social_core.pipeline.social_auth.associate_user``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ..spellings import parse_scope
from .importing import ForeignToken
from .takeover import account_of, harmless, names_elsewhere, take_over


@sensitive_variables()
def store_token(
    backend: Any, response: Any, user: Any = None, uid: Any = "", *args: Any, **kwargs: Any
) -> None:
    """Takes over the token that social-auth has just been given for a configured provider."""
    with harmless("The token of a login by social-auth could not be taken over"):
        provider = names_elsewhere().get(backend.name)
        if user is None or provider is None:
            return
        token_set = provider.parse_token_response(response)
        account_id = account_of(provider, str(uid), _told(response))
        take_over(user, provider, token_set, account_id, backend.get_scope())


def disconnect(
    backend: Any, user: Any, entries: Sequence[Any] = (), *args: Any, **kwargs: Any
) -> None:
    """What a user disconnects in social-auth is disconnected with us as well: in
    ``SOCIAL_AUTH_DISCONNECT_PIPELINE``, after ``social_core.pipeline.disconnect.get_entries``."""
    with harmless("What a user disconnected in social-auth could not be disconnected"):
        provider = names_elsewhere().get(backend.name)
        if provider is None:
            return
        for entry in entries:
            account_id = account_of(provider, entry.uid, _told(entry.extra_data))
            user.oauth_tokens.disconnect(provider.name, account_id)


def _told(mixed: Any) -> dict[str, Any]:
    """Token response, profile and claims: social-auth keeps them in one dict."""
    return dict.fromkeys(("response", "userinfo", "id_token"), mixed)


# Stored rows


def _model() -> Any:
    from social_django.models import UserSocialAuth

    return UserSocialAuth


def __getattr__(name: str) -> Any:
    # The pipeline needs no models: they may be those of another framework than Django.
    if name == "model":
        return _model()
    raise AttributeError(name)


def counts() -> dict[str, int]:
    """How many rows there are of each provider, by social-auth's names."""
    rows = _model().objects.order_by().values_list("provider")
    return dict(rows.annotate(number=Count("pk")))


def read(names: Collection[str], after: Any, size: int, *, lock: bool) -> list[ForeignToken]:
    """The next ``size`` tokens of the providers ``names``, after the primary key ``after``."""
    rows = _model().objects.filter(provider__in=names).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    if lock:
        rows = rows.select_for_update()
    scopes = {name: _asked(name) for name in names}
    return [_read(row, scopes[row.provider]) for row in rows.prefetch_related("user")[:size]]


@sensitive_variables()
def _read(row: Any, asked: list[str] | None) -> ForeignToken:
    extra = row.extra_data if isinstance(row.extra_data, dict) else {}
    return ForeignToken(
        pk=row.pk,
        user=row.user,
        name=row.provider,
        uid=row.uid,
        access_token=extra.get("access_token"),
        refresh_token=extra.get("refresh_token"),
        expires_at=_expires_at(row, extra),
        asked=asked,
        told=_told(extra),
        scope=parse_scope(extra.get("scope") or extra.get("scopes"), ","),
        id_token=extra.get("id_token"),
    )


def _expires_at(row: Any, extra: dict[str, Any]) -> datetime | None:
    """As social-auth reckons it; None where it would have to guess when the token was issued."""
    from social_core.exceptions import AuthResponseError

    if not extra.get("auth_time") and "expires_on" not in extra:
        return None
    try:
        left = row.expiration_timedelta()
    except (AuthResponseError, OverflowError):
        return None
    return None if left is None else timezone.now() + left


def _asked(name: str) -> list[str] | None:
    from social_core.exceptions import AuthConfigurationError
    from social_django import utils

    strategies: Any = utils
    try:
        scope: list[str] = strategies.load_strategy().get_backend(name).get_scope()
    except (AuthConfigurationError, AttributeError):
        # No backend any more, or one without scopes.
        return None
    return scope


def forget_refresh_tokens(pks: Sequence[Any]) -> None:
    """Remove the refresh tokens from these rows."""
    rows = list(_model().objects.filter(pk__in=pks))
    for row in rows:
        row.extra_data.pop("refresh_token", None)
    _model().objects.bulk_update(rows, ["extra_data"], batch_size=100)
