"""django-allauth's ``SocialToken`` rows, to be imported."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp, SocialToken
from allauth.socialaccount.providers import registry
from allauth.socialaccount.providers.oauth2.provider import OAuth2Provider
from django.core.exceptions import MultipleObjectsReturned
from django.db.models import Count
from django.views.decorators.debug import sensitive_variables

from ..importing import ForeignToken
from .receivers import told

model = SocialToken


def counts() -> dict[str, int]:
    """How many rows there are of each provider, by django-allauth's names."""
    rows = SocialToken.objects.order_by().values_list("account__provider")
    return dict(rows.annotate(number=Count("pk")))


def read(names: Collection[str], after: Any, size: int, *, lock: bool) -> list[ForeignToken]:
    """The next ``size`` tokens of the providers ``names``, after the primary key ``after``."""
    rows = SocialToken.objects.filter(account__provider__in=names).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    if lock:
        # Without the join, of which databases would lock both sides.
        pks = list(rows.values_list("pk", flat=True)[:size])
        rows = SocialToken.objects.filter(pk__in=pks).order_by("pk").select_for_update()
    known: dict[tuple[str, Any], Any] = {}
    return [_read(row, known) for row in rows.prefetch_related("account__user", "app")[:size]]


@sensitive_variables()
def _read(row: SocialToken, known: dict[tuple[str, Any], Any]) -> ForeignToken:
    name = row.account.provider
    if (name, row.app_id) not in known:
        known[name, row.app_id] = _provider(name, row.app)
    provider = known[name, row.app_id]
    speaks_oauth2 = isinstance(provider, OAuth2Provider)
    return ForeignToken(
        pk=row.pk,
        user=row.account.user,
        name=name,
        uid=row.account.uid,
        # In OAuth 1.0 both columns hold something else.
        access_token=row.token if provider is None or speaks_oauth2 else None,
        refresh_token=row.token_secret,
        expires_at=row.expires_at,
        asked=provider.get_scope() if speaks_oauth2 else None,
        told=told(row.account),
    )


def _provider(name: str, app: SocialApp | None) -> Any:
    """django-allauth's own provider, or None where it is not known any more."""
    try:
        app = app or get_adapter().get_app(None, provider=name)
    except (SocialApp.DoesNotExist, MultipleObjectsReturned):
        return None
    registry.load()
    kind = registry.get_class(app.provider)
    return None if kind is None else kind(None, app=app)


def forget_refresh_tokens(pks: Sequence[Any]) -> None:
    """Blank the refresh tokens of these rows."""
    SocialToken.objects.filter(pk__in=pks).update(token_secret="")
