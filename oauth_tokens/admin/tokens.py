"""Tokens: the list, the page of one, and what an operator can do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from ..exceptions import OAuthTokenError
from ..models import OAuthToken, TokenEvent
from ..words import code_in_words, state_of, when, without_secrets
from .shared import STYLE, ProviderFilter, ReadOnly, badge

if TYPE_CHECKING:
    TokenAdmin = admin.ModelAdmin[OAuthToken]
else:
    TokenAdmin = admin.ModelAdmin

#: Entries of history on a token's page.
EVENTS_SHOWN = 50
#: Tokens that one action takes: each costs up to a few requests to a provider.
MAX_SELECTED = 100


@admin.register(OAuthToken)
class OAuthTokenAdmin(ReadOnly, TokenAdmin):
    """State, history, and the two things an operator can do: refresh now, and revoke."""

    list_display = ("provider", "state_and_error", "user", "account", "expiry", "last_refresh")
    list_filter = ("status", ProviderFilter)
    list_select_related = ("user",)
    show_full_result_count = False
    # By the one index that is there anyway: another would be written at each refresh.
    ordering = ("-pk",)
    actions = ("refresh_now", "revoke")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "state",
                    "last_error",
                    "provider_said",
                    "user",
                    "provider",
                    "account",
                    "account_id",
                )
            },
        ),
        (
            gettext_lazy("Access"),
            {"fields": ("granted", "requested", "token_type", "client_id", "renewable")},
        ),
        (
            gettext_lazy("Time"),
            {
                "fields": (
                    "expiry",
                    "expires_at",
                    "refresh_token_expires_at",
                    "refresh_at",
                    "last_refreshed_at",
                    "failure_count",
                    "failing_since",
                    "retry_at",
                    "created_at",
                    "updated_at",
                    "version",
                )
            },
        ),
        (gettext_lazy("History"), {"fields": ("timeline",)}),
    )
    readonly_fields = (
        "state",
        "last_error",
        "provider_said",
        "account",
        "granted",
        "requested",
        "renewable",
        "expiry",
        "timeline",
    )
    change_form_template = "admin/oauth_tokens/oauthtoken/change_form.html"

    class Media:
        css = STYLE

    # Permissions

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only where another model's page asks: deleting a user takes their tokens along."""
        match = request.resolver_match
        here = match is None or str(match.url_name).startswith("oauth_tokens_")
        return not here and admin.ModelAdmin.has_delete_permission(self, request, obj)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        # By filters in the address, what is not shown could be guessed letter by letter.
        hidden = lookup.startswith(("extra", "encrypted_"))
        return not hidden and super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def has_refresh_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("oauth_tokens.refresh_oauthtoken"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("oauth_tokens.revoke_oauthtoken"))

    # Lists

    def get_queryset(self, request: HttpRequest) -> QuerySet[OAuthToken]:
        return without_secrets(super().get_queryset(request))

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        user = get_user_model()
        names = {user.USERNAME_FIELD, user.get_email_field_name()}
        known = {field.name for field in user._meta.get_fields()}
        found = [f"user__{name}" for name in sorted(names & known)]
        return [*found, "account_label", "account_id"]

    @admin.display(description=gettext_lazy("state"), ordering="status")
    def state(self, row: OAuthToken) -> str:
        return badge(*state_of(row))

    @admin.display(description=gettext_lazy("state, last error"), ordering="status")
    def state_and_error(self, row: OAuthToken) -> str:
        error = code_in_words(row.error_code)
        if not error:
            return self.state(row)
        return format_html('{}<div class="oauth-error">{}</div>', self.state(row), error)

    @admin.display(description=gettext_lazy("account"), ordering="account_label")
    def account(self, row: OAuthToken) -> str:
        return row.account_label or row.account_id or "-"

    @admin.display(description=gettext_lazy("expires"), ordering="expires_at")
    def expiry(self, row: OAuthToken) -> str:
        return when(row.expires_at) if row.expires_at else _("never")

    @admin.display(description=gettext_lazy("last refresh"), ordering="last_refreshed_at")
    def last_refresh(self, row: OAuthToken) -> str:
        return when(row.last_refreshed_at) if row.last_refreshed_at else _("not yet")

    @admin.display(description=gettext_lazy("last error"))
    def last_error(self, row: OAuthToken) -> str:
        return code_in_words(row.error_code) or "-"

    # The page of one token

    @admin.display(description=gettext_lazy("the provider's words"))
    def provider_said(self, row: OAuthToken) -> str:
        return row.error_description or "-"

    @admin.display(description=gettext_lazy("granted scopes"))
    def granted(self, row: OAuthToken) -> str:
        return ", ".join(sorted(row.scopes)) or "-"

    @admin.display(description=gettext_lazy("requested scopes"))
    def requested(self, row: OAuthToken) -> str:
        return ", ".join(row.requested_scope.split()) or "-"

    @admin.display(description=gettext_lazy("has a refresh token"), boolean=True)
    def renewable(self, row: Any) -> bool:
        return bool(row.renewable)

    @admin.display(description=gettext_lazy("latest first"))
    def timeline(self, row: OAuthToken) -> str:
        events = list(TokenEvent.objects.filter(token=row.pk)[:EVENTS_SHOWN])
        everything = self._url("tokenevent_changelist")
        return render_to_string(
            "admin/oauth_tokens/oauthtoken/timeline.html",
            {
                "events": [(event, code_in_words(event.code)) for event in events],
                "more": f"{everything}?token__id__exact={row.pk}"
                if len(events) == EVENTS_SHOWN
                else "",
            },
        )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        name = "oauth_tokens_oauthtoken"
        return [
            path(
                "<path:object_id>/refresh/",
                wrap(require_POST(self.refresh_view)),
                name=f"{name}_refresh",
            ),
            path("<path:object_id>/revoke/", wrap(self.revoke_view), name=f"{name}_revoke"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {
            "may_refresh": self.has_refresh_permission(request),
            "may_revoke": self.has_revoke_permission(request),
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, context)

    def refresh_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The button "Refresh now"."""
        if not self.has_refresh_permission(request):
            raise PermissionDenied
        rows = self._one(request, object_id)
        self._refresh(request, rows)
        return HttpResponseRedirect(self._url("oauthtoken_change", object_id))

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The button "Revoke": asks first."""
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        rows = self._one(request, object_id)
        if request.method != "POST":
            return self._confirm_page(request, rows)
        self._revoke(request, rows)
        return HttpResponseRedirect(self._url("oauthtoken_changelist"))

    def _one(self, request: HttpRequest, object_id: str) -> QuerySet[OAuthToken]:
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404
        return self.get_queryset(request).filter(pk=row.pk)

    # Actions

    @admin.action(description=gettext_lazy("Refresh now"), permissions=["refresh"])
    def refresh_now(self, request: HttpRequest, rows: QuerySet[OAuthToken]) -> None:
        """Refresh each selected token through the same locked entry point as everyone."""
        if not self._too_many(request, rows):
            self._refresh(request, rows)

    @admin.action(description=gettext_lazy("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet[OAuthToken]) -> HttpResponse | None:
        """Disconnect each selected token, after asking."""
        if self._too_many(request, rows):
            return None
        if "confirmed" not in request.POST:
            return self._confirm_page(request, rows)
        self._revoke(request, rows)
        return None

    def _refresh(self, request: HttpRequest, rows: QuerySet[OAuthToken]) -> None:
        for row in rows:
            before, name = row.version, self._name(row)
            try:
                row.refresh()
            except OAuthTokenError as error:
                outcome = _("%(token)s was not refreshed: %(reason)s.") % {
                    "token": name,
                    "reason": code_in_words(error.code),
                }
                level = messages.ERROR
            else:
                outcome = _("%(token)s was refreshed: version %(before)d is now %(after)d.") % {
                    "token": name,
                    "before": before,
                    "after": row.version,
                }
                level = messages.SUCCESS
            self.log_change(request, row, outcome)
            self.message_user(request, outcome, level)

    def _revoke(self, request: HttpRequest, rows: QuerySet[OAuthToken]) -> None:
        actor = request.user.get_username()
        for row in rows:
            name = self._name(row)
            OAuthToken.objects.disconnect_row(row, detail=f"by {actor}")
            outcome = _("%(token)s was revoked.") % {"token": name}
            self.log_change(request, row, outcome)
            self.message_user(request, outcome, messages.SUCCESS)

    def _confirm_page(self, request: HttpRequest, rows: QuerySet[OAuthToken]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": ngettext("Revoke this token?", "Revoke these tokens?", rows.count()),
            "opts": self.opts,
            "media": self.media,
            "rows": [(row, self._name(row)) for row in rows],
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/oauth_tokens/oauthtoken/revoke.html", context)

    def _too_many(self, request: HttpRequest, rows: QuerySet[OAuthToken]) -> bool:
        if rows.count() <= MAX_SELECTED:
            return False
        text = _("Select at most %(number)d tokens at once.") % {"number": MAX_SELECTED}
        self.message_user(request, text, messages.ERROR)
        return True

    def _url(self, name: str, *args: str) -> str:
        return reverse(f"admin:oauth_tokens_{name}", args=args, current_app=self.admin_site.name)

    def _name(self, row: OAuthToken) -> str:
        return f"{row.provider} · {row.user}"
