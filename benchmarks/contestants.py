"""The contestants: each gets a valid access token in the way that its own documentation shows."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol

import requests
from allauth.socialaccount.models import SocialAccount, SocialToken
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc6749 import OAuth2Token as AuthlibToken
from django.conf import settings
from django.utils import timezone
from requests_oauthlib import OAuth2Session
from social_core.backends.oauth import BaseOAuth2
from social_django.models import UserSocialAuth
from social_django.utils import load_strategy

from benchmarks.plain.models import PlainToken
from oauth_tokens import OAuthToken

CLIENT = {"client_id": settings.CLIENT_ID, "client_secret": settings.CLIENT_SECRET}


class Contestant(Protocol):
    """One way to keep a user's token.

    ``name`` is for the tables. ``refreshes`` is False where the package leaves that to others.
    """

    name: ClassVar[str]
    refreshes: ClassVar[bool]

    def store(self, user: Any, response: dict[str, Any]) -> None:
        """Keep a token response for ``user``."""

    def expire(self, user: Any) -> None:
        """Let the stored access token have expired an hour ago."""

    def get(self, user: Any) -> str:
        """A valid access token of ``user``, refreshed where the package does that."""


class OAuthTokens:
    name = "oauth_tokens"
    refreshes = True

    def store(self, user: Any, response: dict[str, Any]) -> None:
        user.oauth_tokens.store("acme", response)

    def expire(self, user: Any) -> None:
        now = timezone.now()
        OAuthToken._base_manager.filter(user=user).update(
            issued_at=now - timedelta(hours=2), expires_at=now - timedelta(hours=1)
        )

    def get(self, user: Any) -> str:
        token: str = user.oauth_tokens.get_valid("acme").access_token
        return token


class AcmeOAuth2(BaseOAuth2):  # type: ignore[type-arg]
    """The endpoint as a backend of social-auth, in the way of its own Google backend."""

    name = "acme"
    EXTRA_DATA: ClassVar[list[Any]] = [
        ("refresh_token", "refresh_token", True),
        ("expires_in", "expires_in"),
        ("token_type", "token_type", True),
    ]

    def access_token_url(self) -> str:
        return settings.TOKEN_ENDPOINT


class SocialAuth:
    name = "social-auth-app-django"
    refreshes = True

    def store(self, user: Any, response: dict[str, Any]) -> None:
        backend = load_strategy().get_backend("acme")
        UserSocialAuth.objects.create(
            user=user,
            provider="acme",
            uid=str(user.pk),
            extra_data=backend.extra_data(user, str(user.pk), response, {}, {}),
        )

    def expire(self, user: Any) -> None:
        social = user.social_auth.get(provider="acme")
        social.extra_data["auth_time"] = int(time.time()) - 7200
        social.save()

    def get(self, user: Any) -> str:
        social = user.social_auth.get(provider="acme")
        token: str = social.get_access_token(load_strategy())
        return token


class Plain:
    """What the two clients on a plain model share."""

    refreshes = True
    row_name: ClassVar[str]

    def store(self, user: Any, response: dict[str, Any]) -> None:
        PlainToken.objects.create(
            user=user,
            name=self.row_name,
            token_type=response["token_type"],
            access_token=response["access_token"],
            refresh_token=response["refresh_token"],
            expires_at=int(time.time() + response["expires_in"]),
        )

    def expire(self, user: Any) -> None:
        rows = PlainToken.objects.filter(user=user, name=self.row_name)
        rows.update(expires_at=int(time.time()) - 3600)

    def save(self, row: PlainToken, token: dict[str, Any]) -> None:
        row.access_token = token["access_token"]
        row.refresh_token = token["refresh_token"]
        row.expires_at = int(token["expires_at"])
        row.save()


class Authlib(Plain):
    name = "Authlib, plain model"
    row_name = "authlib"

    def get(self, user: Any) -> str:
        row = PlainToken.objects.get(user=user, name=self.row_name)
        token = AuthlibToken.from_dict(row.to_token())
        if token.is_expired():
            session = AuthlibSession(
                **CLIENT,
                token=token,
                token_endpoint=settings.TOKEN_ENDPOINT,
                update_token=self.update,
            )
            session.ensure_active_token()
            token = session.token
        access_token: str = token["access_token"]
        return access_token

    def update(self, token: dict[str, Any], refresh_token: str = "", **_: Any) -> None:
        # As its documentation does it: the row is found by the refresh token that was used.
        self.save(PlainToken.objects.get(name=self.row_name, refresh_token=refresh_token), token)


class RequestsOAuthlib(Plain):
    name = "requests-oauthlib, plain model"
    row_name = "requests-oauthlib"

    def get(self, user: Any) -> str:
        row = PlainToken.objects.get(user=user, name=self.row_name)
        if row.expires_at <= time.time():
            session = OAuth2Session(settings.CLIENT_ID, token=row.to_token())
            self.save(row, session.refresh_token(settings.TOKEN_ENDPOINT, **CLIENT))
        return row.access_token


class Allauth:
    name = "django-allauth"
    refreshes = False

    def store(self, user: Any, response: dict[str, Any]) -> None:
        account = SocialAccount.objects.create(user=user, provider="acme", uid=str(user.pk))
        SocialToken.objects.create(
            account=account,
            token=response["access_token"],
            token_secret=response["refresh_token"],
            expires_at=timezone.now() + timedelta(seconds=response["expires_in"]),
        )

    def expire(self, user: Any) -> None:
        rows = SocialToken.objects.filter(account__user=user)
        rows.update(expires_at=datetime.now(UTC) - timedelta(hours=1))

    def get(self, user: Any) -> str:
        row = SocialToken.objects.get(account__user=user, account__provider="acme")
        token: str = row.token
        return token


CONTESTANTS: tuple[Contestant, ...] = (
    OAuthTokens(),
    SocialAuth(),
    Authlib(),
    RequestsOAuthlib(),
    Allauth(),
)


class BarePost:
    """The floor of a refresh: the same request on a connection that stays open, and its JSON."""

    def __init__(self, refresh_token: str) -> None:
        self.refresh_token = refresh_token
        self.session = requests.Session()

    def __call__(self) -> None:
        response = self.session.post(
            settings.TOKEN_ENDPOINT,
            data={"grant_type": "refresh_token", "refresh_token": self.refresh_token, **CLIENT},
            timeout=10,
        )
        response.raise_for_status()
        self.refresh_token = response.json()["refresh_token"]
