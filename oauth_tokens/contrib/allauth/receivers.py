"""What a login or connection by django-allauth brings is stored with us, whatever
``SOCIALACCOUNT_STORE_TOKENS`` says."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import user_signed_up
from allauth.socialaccount.signals import (
    social_account_added,
    social_account_removed,
    social_account_updated,
)
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ..takeover import (
    account_of,
    as_token_set,
    default_lifetime,
    harmless,
    names_elsewhere,
    seconds_until,
    take_over,
)


@sensitive_variables()
def store_token(request: Any, sociallogin: Any = None, **kwargs: Any) -> None:
    """A user logged in, signed up or connected: take over the token of a configured provider."""
    with harmless("The token of a login by django-allauth could not be taken over"):
        token = getattr(sociallogin, "token", None)
        if token is None:
            return
        account = sociallogin.account
        provider = names_elsewhere().get(account.provider)
        if provider is None:
            return
        lifetime = seconds_until(token.expires_at, timezone.now())
        if lifetime is None:
            lifetime = default_lifetime(provider)
        token_set = as_token_set(provider, token.token, token.token_secret, lifetime)
        asked = sociallogin.provider.get_scope()
        account_id = account_of(provider, account.uid, told(account))
        take_over(sociallogin.user, provider, token_set, account_id, asked)


def told(account: Any) -> dict[str, Any]:
    """What a ``SocialAccount`` knows: the profile, or profile and claims of OpenID Connect."""
    extra = account.extra_data if isinstance(account.extra_data, dict) else {}
    return {"userinfo": extra.get("userinfo", extra), "id_token": extra.get("id_token", extra)}


def disconnect(request: Any, socialaccount: Any, **kwargs: Any) -> None:
    """A user removed the account from django-allauth, which forgets its token; so do we."""
    with harmless("What a user disconnected in django-allauth could not be disconnected"):
        provider = names_elsewhere().get(socialaccount.provider)
        if provider is not None:
            account_id = account_of(provider, socialaccount.uid, told(socialaccount))
            socialaccount.user.oauth_tokens.disconnect(provider.name, account_id)


def connect_all() -> None:
    """Called once, when Django is ready."""
    for signal in (user_signed_up, social_account_added, social_account_updated):
        signal.connect(store_token, dispatch_uid="oauth_tokens.contrib.allauth.store_token")
    social_account_removed.connect(
        disconnect, dispatch_uid="oauth_tokens.contrib.allauth.disconnect"
    )
