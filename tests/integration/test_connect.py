"""Authorization code with PKCE, against a real authorization server."""

from __future__ import annotations

import pytest
import requests
from django.contrib.auth.models import AbstractUser
from django.test import Client

from oauth_tokens import OAuthToken
from tests.support.provider import Provider


def test_the_user_comes_back_connected(
    client: Client, user: AbstractUser, provider: Provider
) -> None:
    client.force_login(user)
    sent = client.get("/oauth/acme/connect/?next=/admin/")
    back = requests.get(sent["Location"], allow_redirects=False, timeout=5).headers["Location"]
    end = client.get(back)
    assert (end.status_code, end["Location"]) == (302, "/admin/")
    token = OAuthToken.objects.get()
    print(sent["Location"], token.scope, token.__dict__)
    print(client.get("/oauth/").content.decode())
    print(client.get("/oauth/acme/disconnect/?account=").content.decode())
    r=client.get(back); print(r.status_code, r.content.decode())
    assert 0
