"""Client credentials out of django-allauth's ``SocialApp``."""

from __future__ import annotations

import time
from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp
from django.core.exceptions import MultipleObjectsReturned
from django.db.models.signals import post_delete, post_save
from django.views.decorators.debug import sensitive_variables

from ...conf import on_change
from ...exceptions import ProviderMisconfigured
from ...providers.registry import get_provider

#: Seconds after which other processes notice that the credentials were changed.
FRESH_FOR = 60.0

_known: dict[str, tuple[float, dict[str, str]]] = {}


@sensitive_variables()
def social_app(name: str) -> dict[str, str]:
    """``"client_from": "oauth_tokens.contrib.allauth.clients.social_app"``

    From the database or from ``SOCIALACCOUNT_PROVIDERS``, as django-allauth finds it.

    Arguments:
        name: of the provider, as in ``OAUTH_TOKENS``.

    Raises:
        ProviderMisconfigured: there is no such app, or more than one.
    """
    until, client = _known.get(name, (0.0, {}))
    if time.monotonic() >= until:
        app = _find(name)
        client = {"client_id": app.client_id, "client_secret": app.secret}
        _known[name] = (time.monotonic() + FRESH_FOR, client)
    return client


def _find(name: str) -> Any:
    for candidate in (name, *get_provider(name).aliases):
        try:
            return get_adapter().get_app(None, provider=candidate)
        except SocialApp.DoesNotExist:
            continue
        except MultipleObjectsReturned:
            raise ProviderMisconfigured(
                f"There are several social applications of {candidate!r}. Hide all but one, or "
                "write client_id and client_secret into OAUTH_TOKENS.",
                code="no_client",
                provider=name,
            ) from None
    raise ProviderMisconfigured(
        f"There is no social application of {name!r}. Add one, or write client_id and "
        "client_secret into OAUTH_TOKENS.",
        code="no_client",
        provider=name,
    )


def _forget(**kwargs: Any) -> None:
    _known.clear()


on_change(_known.clear)
for _signal in (post_save, post_delete):
    _signal.connect(_forget, sender=SocialApp, dispatch_uid="oauth_tokens.contrib.allauth.clients")
