"""A site's own ``AdminSite``, on which only the tokens are registered."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AbstractUser
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from oauth_tokens import OAuthToken
from oauth_tokens.admin.tokens import OAuthTokenAdmin

own_site = admin.AdminSite(name="own")
own_site.register(OAuthToken, OAuthTokenAdmin)
urlpatterns = [
    path("own/", own_site.urls),
    path("oauth/", include("oauth_tokens.urls")),
]


@pytest.mark.parametrize("address", ["", "oauthtoken/", "oauthtoken/{pk}/change/"])
def test_its_pages_leave_out_what_is_not_there(
    client: Client,
    settings: Settings,
    admin_user: AbstractUser,
    token: OAuthToken,
    address: str,
) -> None:
    settings.ROOT_URLCONF = __name__
    client.force_login(admin_user)
    page: Any = client.get("/own/oauth_tokens/" + address.format(pk=token.pk))
    assert page.status_code == 200
    assert "taskrun" not in page.content.decode()
