"""``{% oauth_connection %}``: the state of a user's connections in templates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.template import Context, RequestContext, Template, TemplateSyntaxError
from django.test import RequestFactory
from django.utils import timezone
from django.utils.html import escape
from pytest_django import Settings

from oauth_tokens import OAuthToken, exceptions
from oauth_tokens.answers import with_next
from oauth_tokens.encryption import Keyring
from tests.support.provider import Provider

CONNECT = "/oauth/acme/connect/?next=%2Fpage%2F%3Fa%3Db"


class Page:
    """A request of ``user``, in which templates are rendered."""

    def __init__(self, user: Any, *, method: str = "GET", **headers: str) -> None:
        self.request = RequestFactory().generic(method, "/page/?a=b", headers=headers)
        self.request.user = user

    def __call__(self, source: str, **context: Any) -> str:
        template = Template("{% load oauth_tokens %}" + source)
        return template.render(RequestContext(self.request, context))


@pytest.fixture
def page(user: AbstractUser, provider: Provider) -> Page:
    return Page(user)


SHOWN = (
    "{% oauth_connection 'acme' scopes=scopes as acme %}{{ acme.name }}|{{ acme.state }}|"
    "{{ acme.label }}|{{ acme.account }}|{{ acme.missing|join:' ' }}|{{ acme.connected }}"
)


def change(**values: Any) -> None:
    OAuthToken.objects.update(**values)


def test_nothing_connected(page: Page) -> None:
    assert page(SHOWN) == "Acme|not_connected|not connected|||False"
    assert page("{% oauth_connection 'acme' %}") == f'<a href="{CONNECT}">Connect Acme</a>'


@pytest.mark.usefixtures("token")
def test_connected(page: Page, user: AbstractUser) -> None:
    change(account_label="alice@<acme>")
    assert page(SHOWN) == "Acme|connected|connected|alice@&lt;acme&gt;||True"
    assert page("{% oauth_connection 'acme' %}") == "Acme: connected (alice@&lt;acme&gt;)"
    plain = "{% autoescape off %}{% oauth_connection 'acme' %}{% endautoescape %}"
    assert page(plain) == "Acme: connected (alice@&lt;acme&gt;)"
    again = "{% oauth_connection 'acme' as acme %}{{ acme }}"
    assert page(again) == "Acme: connected (alice@&lt;acme&gt;)"
    change(account_label="", account_id="7&8")
    assert Page(user)("{% oauth_connection 'acme' %}") == "Acme: connected (7&amp;8)"


@pytest.mark.usefixtures("token")
def test_needs_re_authentication(page: Page) -> None:
    change(status="reauth_required")
    assert page(SHOWN) == "Acme|reauth_required|reconnect needed|||False"
    assert page("{% oauth_connection 'acme' %}") == f'<a href="{CONNECT}">Reconnect Acme</a>'


@pytest.mark.usefixtures("token")
def test_expired_and_not_renewable(user: AbstractUser) -> None:
    change(expires_at=timezone.now() - timedelta(minutes=1))
    assert "|connected|" in Page(user)(SHOWN)
    change(encrypted_refresh_token=None)
    assert "|reauth_required|" in Page(user)(SHOWN)


@pytest.mark.usefixtures("token")
def test_a_provider_that_is_down(page: Page) -> None:
    change(failure_count=1)
    assert page(SHOWN) == "Acme|connected|not answering|||True"


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("scopes", ["profile drive", ["profile", "drive"]])
def test_lacks_a_scope(page: Page, scopes: object) -> None:
    shown = page(SHOWN, scopes=scopes)
    assert shown == "Acme|insufficient_scope|not everything is allowed||drive|False"
    link = page("{% oauth_connection 'acme' scopes=scopes %}", scopes=scopes)
    url = with_next(exceptions.connect_url("acme", ["drive"]) or "", "/page/?a=b")
    assert f'href="{escape(url)}"' in link


@pytest.mark.usefixtures("token")
def test_being_revoked_is_not_connected(page: Page) -> None:
    change(status="revoking")
    assert "|not_connected|" in page(SHOWN)


def test_several_accounts(page: Page, user: AbstractUser, provider: Provider) -> None:
    for account in ("dead", "alive"):
        user.oauth_tokens.store("acme", provider.issue(), account_id=account)
    OAuthToken.objects.filter(account_id="dead").update(status="reauth_required")
    assert page(SHOWN).split("|")[1:4] == ["connected", "connected", "alive"]
    one = "{% oauth_connection 'acme' account='dead' as acme %}{{ acme.state }}"
    assert page(one) == "reauth_required"
    assert page(one.replace("dead", "none")) == "not_connected"


def test_one_query_for_all_and_nothing_decrypted(
    page: Page,
    user: AbstractUser,
    provider: Provider,
    settings: Settings,
    django_assert_num_queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = provider.settings()
    settings.OAUTH_TOKENS = {**settings.OAUTH_TOKENS, "PROVIDERS": {"acme": values, "b": values}}
    user.oauth_tokens.store("acme", provider.issue())
    opened: list[object] = []
    monkeypatch.setattr(Keyring, "decrypt", lambda *given: opened.append(given))
    with django_assert_num_queries(1):
        shown = page("{% oauth_connection 'acme' %}{% oauth_connection 'b' %}") + page(SHOWN)
    assert "Connect B" in shown
    assert opened == []
    OAuthToken.objects.get().access_token  # noqa: B018 - what decrypts is seen
    assert len(opened) == 1


@pytest.mark.usefixtures("token")
def test_the_user_may_change_within_a_request(
    page: Page, django_user_model: type[AbstractUser]
) -> None:
    assert "|connected|" in page(SHOWN)
    for other in (AnonymousUser(), django_user_model.objects.create_user("bob")):
        page.request.user = other
        assert "|not_connected|" in page(SHOWN)


@pytest.mark.usefixtures("token")
def test_anonymous_users(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert Page(AnonymousUser())("{% oauth_connection 'acme' %}") == (
            f'<a href="{CONNECT}">Connect Acme</a>'
        )


@pytest.mark.usefixtures("token")
def test_without_a_request(user: AbstractUser) -> None:
    template = Template("{% load oauth_tokens %}{% oauth_connection 'acme' scopes='x' %}")
    url = escape(exceptions.connect_url("acme", ["x"]) or "")
    assert template.render(Context()) == f'<a href="{url}">Connect Acme</a>'
    told = template.render(Context({"user": user}))
    assert told == f'<a href="{url}">Reconnect Acme</a>'


@pytest.mark.usefixtures("provider")
def test_a_form_that_is_shown_again_leads_back_to_its_page(user: AbstractUser) -> None:
    page = Page(user, method="POST", referer="http://testserver/form/")
    assert "next=%2Fform%2F" in page("{% oauth_connection 'acme' %}")


def test_without_the_pages_there_is_no_link(page: Page, settings: Settings) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    assert page("{% oauth_connection 'acme' %}") == "Acme: not connected"


def test_an_unknown_provider(page: Page) -> None:
    with pytest.raises(exceptions.ProviderMisconfigured, match="'amce'"):
        page("{% oauth_connection 'amce' %}")


@pytest.mark.parametrize(
    "arguments", ["", "as acme", "'acme' 'email'", "'acme' scope='email'", "'acme' as a b"]
)
def test_what_is_written_wrongly(page: Page, arguments: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="Write it as"):
        page(f"{{% oauth_connection {arguments} %}}")
