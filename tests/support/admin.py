"""Walk through the admin as an operator does."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from oauth_tokens import OAuthToken

LIST = "/admin/oauth_tokens/oauthtoken/"


def operator(*codenames: str) -> Client:
    """A member of staff with these permissions."""
    staff = get_user_model().objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(staff)
    return client


def page(client: Client, path: str, **data: Any) -> str:
    """The text of the page at ``path``."""
    answer = client.get(path, data)
    assert answer.status_code == 200
    return answer.content.decode().replace("\xa0", " ")


def one(token: OAuthToken, what: str = "change") -> str:
    """The path of a page of one token."""
    return f"{LIST}{token.pk}/{what}/"


def act(client: Client, action: str, *tokens: OAuthToken, **more: str) -> str:
    """Choose an action in the list; returns the page that it ends on."""
    selected = [token.pk for token in tokens]
    data = {"action": action, "_selected_action": selected, **more}
    answer = client.post(LIST, data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def change(token: OAuthToken, **values: Any) -> None:
    """Write columns of ``token`` behind its back."""
    OAuthToken.objects.filter(pk=token.pk).update(**values)
