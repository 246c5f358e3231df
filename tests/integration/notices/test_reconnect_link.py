"""Where the link in a mail leads, and for whom."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import AbstractUser
from django.core import mail, signing
from django.test import Client

from oauth_tokens import OAuthToken, notices
from tests.support.consent import consent
from tests.support.outbox import link_in
from tests.support.provider import Provider


def path_for(token: OAuthToken) -> str:
    return urlsplit(notices.reconnect_url(token)).path


def test_the_whole_way_back(
    ended: OAuthToken, user: AbstractUser, provider: Provider, client: Client
) -> None:
    notices.send_notices()
    link = link_in(mail.outbox[0])
    for _ in range(2):
        # What programs do that look at links before users do.
        assert client.head(link).status_code == 302
        assert client.get(link)["Location"] == f"/admin/login/?next={link}"
    client.force_login(user)
    there = client.get(link)["Location"]
    assert there == "/oauth/acme/connect/?next=%2Foauth%2F"
    back = client.get(consent(client.get(there)["Location"]))["Location"]
    assert back == "/oauth/"
    assert "Acme is connected." in client.get(back).content.decode()
    assert OAuthToken.objects.get().status == "active"


def test_a_link_for_somebody_else(token: OAuthToken, admin_user: AbstractUser) -> None:
    client = Client()
    client.force_login(admin_user)
    answer = client.get(path_for(token))
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "This link is for another user" in page
    assert "You are logged in as admin" in page
    assert "alice" not in page
    assert "/admin/login/?next=" in page
    assert not client.session.keys() - {"_auth_user_id", "_auth_user_backend", "_auth_user_hash"}


def test_a_link_that_is_too_old(
    token: OAuthToken, user: AbstractUser, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = path_for(token)
    client.force_login(user)
    monkeypatch.setattr(notices, "LINK_MAX_AGE", timedelta(seconds=-1))
    answer = client.get(link)
    assert answer.status_code == 410
    assert 'href="/oauth/"' in answer.content.decode()


def test_a_link_that_was_changed(token: OAuthToken, user: AbstractUser, client: Client) -> None:
    client.force_login(user)
    forged = signing.TimestampSigner(sep="~").sign_object([str(user.pk), "acme"])
    for link in (
        path_for(token).replace("reconnect/", "reconnect/x"),
        f"/oauth/reconnect/{forged}/",
    ):
        assert client.get(link).status_code == 404
    assert client.post(path_for(token)).status_code == 405
