"""What the pages of the admin have in common."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from ..models import OAuthToken
from ..providers.registry import provider_names
from ..words import display_name

STYLE = {"all": ["oauth_tokens/admin.css"]}
SYMBOLS = {"good": "✓", "warn": "!", "bad": "✕"}


def badge(tone: str, label: str) -> SafeString:
    """A state in words, set off by colour and symbol."""
    return format_html(
        '<span class="oauth-state {}"><span aria-hidden="true">{}</span> {}</span>',
        tone,
        SYMBOLS[tone],
        label,
    )


def labelled(label: str, text: str) -> SafeString:
    """``text`` with what it is about, which shows where a phone leaves no room for columns."""
    return format_html('<span class="oauth-label">{}</span> {}', label, text)


def with_second(first: str, second: str) -> SafeString:
    """``first``, and ``second`` below it in a quiet voice."""
    return format_html('{}<span class="oauth-second">{}</span>', first, second)


def sees(site: admin.AdminSite, request: HttpRequest, model: type[Model]) -> bool:
    """Whether the viewer has pages of ``model`` on this admin site, which may have but some."""
    shown = site.is_registered(model)
    return shown and site.get_model_admin(model).has_view_or_change_permission(request)


def name_of(row: OAuthToken) -> str:
    """Names a token to people: provider, user, and the account where it is known."""
    account = row.account_label or row.account_id
    name = f"{display_name(row.provider)} · {row.user}"
    return f"{name} ({account})" if account else name


class ReadOnly:
    """Rows that only the package writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ProviderFilter(admin.SimpleListFilter):
    """The providers of the settings; Django's own filter reads the whole table for its choices."""

    title = gettext_lazy("provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in provider_names()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(provider=self.value()) if self.value() else queryset
