"""Tokens: the list, and the page of one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import BooleanField, QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import OAuthToken, TokenEvent
from ..reader import without_secrets
from ..words import code_in_words, distance, next_step, state_of, when
from .actions import TokenActions
from .filters import ErrorFilter, ExpiringFilter, FailingFilter, OverFilter, UnusedFilter
from .shared import STYLE, ProviderFilter, ReadOnly, badge, labelled, name_of, sees, with_second

#: Entries of history on a token's page.
EVENTS_SHOWN = 50


@admin.register(OAuthToken)
class OAuthTokenAdmin(ReadOnly, TokenActions):
    """State, history, and what an operator can do."""

    list_display = (
        "provider_and_account",
        "state_and_error",
        "user_linked",
        "expiry",
        "refresh_token_end",
        "last_refresh",
    )
    list_filter = (
        "status",
        ProviderFilter,
        OverFilter,
        FailingFilter,
        ExpiringFilter,
        UnusedFilter,
        ErrorFilter,
    )
    show_full_result_count = False
    # By the one index that is there anyway: another would be written at each refresh. Without one,
    # a date_hierarchy would read the whole table for its first and last day.
    ordering = ("-pk",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "state",
                    "next_step",
                    "last_error",
                    "provider_said",
                    "provider",
                    "user_linked",
                    "account_label",
                    "account_id",
                )
            },
        ),
        (gettext_lazy("Access"), {"fields": ("scopes", "token_type", "client_id", "renewable")}),
        (
            gettext_lazy("Time"),
            {
                "fields": (
                    "expires_on",
                    "refresh_token_ends_on",
                    "next_refresh",
                    "last_refreshed_on",
                    "last_used",
                    "failures",
                    "connected_on",
                    "version",
                )
            },
        ),
    )
    change_form_template = "admin/oauth_tokens/oauthtoken/change_form.html"

    class Media:
        css = STYLE

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only where another model's page asks: deleting a user takes their tokens along."""
        match = request.resolver_match
        here = match is None or str(match.url_name).startswith("oauth_tokens_")
        return not here and admin.ModelAdmin.has_delete_permission(self, request, obj)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        # By filters in the address, what is not shown could be guessed letter by letter.
        hidden = lookup.startswith(("extra", "encrypted_"))
        return not hidden and super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OAuthToken]:
        # What the viewer may see is the same for all rows, and what prints one knows no viewer.
        shown = sees(self.admin_site, request, get_user_model())
        rows = without_secrets(super().get_queryset(request)).select_related("user")
        return rows.annotate(users_page_shown=Value(shown, output_field=BooleanField()))

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        user = get_user_model()
        names = {user.USERNAME_FIELD}
        if sees(self.admin_site, request, user):
            names.add(user.get_email_field_name())
        known = {field.name for field in user._meta.get_fields()}
        found = [f"user__{name}" for name in sorted(names & known)]
        return [*found, "account_label", "account_id"]

    # What the list and the page say

    @admin.display(description=gettext_lazy("state"), ordering="status")
    def state(self, row: OAuthToken) -> str:
        return badge(*state_of(row))

    @admin.display(description=gettext_lazy("provider, account"), ordering="provider")
    def provider_and_account(self, row: OAuthToken) -> str:
        account = row.account_label or row.account_id
        return with_second(row.provider, account)

    @admin.display(description=gettext_lazy("state, last error"), ordering="status")
    def state_and_error(self, row: OAuthToken) -> str:
        return with_second(self.state(row), code_in_words(row.error_code))

    @admin.display(description=gettext_lazy("user"), ordering="user")
    def user_linked(self, row: Any) -> str:
        if not row.users_page_shown:
            return str(row.user)
        options = row.user._meta
        name = f"admin:{options.app_label}_{options.model_name}_change"
        url = reverse(name, args=[row.user_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', url, row.user)

    @admin.display(description=gettext_lazy("expires"), ordering="expires_at")
    def expiry(self, row: OAuthToken) -> str:
        return labelled(_("expires"), when(row.expires_at) if row.expires_at else _("never"))

    @admin.display(
        description=gettext_lazy("refresh token dies"), ordering="refresh_token_expires_at"
    )
    def refresh_token_end(self, row: Any) -> str:
        return labelled(_("refresh token dies"), _refresh_token_end(row, when))

    @admin.display(description=gettext_lazy("last refresh"), ordering="last_refreshed_at")
    def last_refresh(self, row: OAuthToken) -> str:
        last = row.last_refreshed_at
        return labelled(_("last refresh"), when(last) if last else _("not yet"))

    # What the page alone says

    @admin.display(description=gettext_lazy("what happens next"))
    def next_step(self, row: OAuthToken) -> str:
        since = None
        if row.status == OAuthToken.Status.REAUTH_REQUIRED:
            asked = TokenEvent.objects.filter(token=row.pk, kind=TokenEvent.Kind.REAUTH_REQUIRED)
            since = asked.values_list("created_at", flat=True).first()
        return next_step(row, since)

    @admin.display(description=gettext_lazy("last error"))
    def last_error(self, row: OAuthToken) -> str:
        return code_in_words(row.error_code)

    @admin.display(description=gettext_lazy("the provider's words"))
    def provider_said(self, row: OAuthToken) -> str:
        return row.error_description

    @admin.display(description=gettext_lazy("scopes"))
    def scopes(self, row: OAuthToken) -> str:
        requested = frozenset(row.requested_scope.split())
        missing = requested - row.scopes
        lines = [
            (
                "missing" if scope in missing else "",
                scope,
                _scope_note(scope, row.scopes, requested),
            )
            for scope in sorted(row.scopes | requested, key=lambda scope: (scope in missing, scope))
        ]
        items = format_html_join("", '<li class="{}"><code>{}</code> {}</li>', lines)
        return format_html('<ul class="oauth-scopes">{}</ul>', items) if lines else "-"

    @admin.display(description=gettext_lazy("has a refresh token"), boolean=True)
    def renewable(self, row: Any) -> bool:
        return bool(row.renewable)

    @admin.display(description=gettext_lazy("expires"))
    def expires_on(self, row: OAuthToken) -> str:
        return _moment(row.expires_at) if row.expires_at else _("never")

    @admin.display(description=gettext_lazy("refresh token dies"))
    def refresh_token_ends_on(self, row: Any) -> str:
        return _refresh_token_end(row, _moment)

    @admin.display(description=gettext_lazy("next refresh"))
    def next_refresh(self, row: OAuthToken) -> str:
        return _moment(row.refresh_at) if row.refresh_at else _("none is planned")

    @admin.display(description=gettext_lazy("last refresh"))
    def last_refreshed_on(self, row: OAuthToken) -> str:
        return _moment(row.last_refreshed_at) if row.last_refreshed_at else _("not yet")

    @admin.display(description=gettext_lazy("last used"))
    def last_used(self, row: OAuthToken) -> str:
        return date_format(localtime(row.last_used_at)) if row.last_used_at else _("not yet")

    @admin.display(description=gettext_lazy("failures in a row"))
    def failures(self, row: OAuthToken) -> str:
        if not row.failure_count or row.failing_since is None:
            return str(row.failure_count)
        return format_html("{}, {}", row.failure_count, _since(row.failing_since))

    @admin.display(description=gettext_lazy("connected"))
    def connected_on(self, row: OAuthToken) -> str:
        return _moment(row.created_at)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without the facts that there is nothing to say about."""
        said = {"last_error": "error_code", "provider_said": "error_description"}
        optional = {**said, "account_label": "account_label", "account_id": "account_id"}
        empty = {name for name, column in optional.items() if not getattr(obj, column, "")}
        return [
            (title, {"fields": [name for name in options["fields"] if name not in empty]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        obj: OAuthToken | None = options.get("obj")
        if obj is not None:
            events = TokenEvent.objects.filter(token=obj.pk).select_related("actor")
            shown = [(event, code_in_words(event.code)) for event in events[:EVENTS_SHOWN]]
            more = ""
            if len(shown) == EVENTS_SHOWN and sees(self.admin_site, request, TokenEvent):
                more = f"{self.address('tokenevent_changelist')}?token__id__exact={obj.pk}"
            context.update(
                title=name_of(obj),
                subtitle=None,
                buttons=self.buttons(request, obj),
                events=shown,
                more=more,
            )
        return super().render_change_form(request, context, *args, **options)


def _refresh_token_end(row: Any, in_words: Callable[[datetime], str]) -> str:
    if not row.renewable:
        return _("there is none")
    end = row.refresh_token_expires_at
    return in_words(end) if end else _("not known")


def _scope_note(scope: str, granted: frozenset[str], requested: frozenset[str]) -> str:
    if scope not in granted:
        return _("asked for, not granted")
    return "" if scope in requested or not requested else _("granted without being asked for")


def _moment(moment: datetime) -> str:
    """How far away, and the date."""
    date = date_format(localtime(moment), "DATETIME_FORMAT")
    return format_html('{} <span class="quiet">{}</span>', when(moment), date)


def _since(moment: datetime) -> str:
    return _("for %(distance)s") % {"distance": distance(moment)}
