"""What an operator can do with a token: on its page, or with some of the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseErrors
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from ..exceptions import OAuthTokenError
from ..models import OAuthToken
from ..words import code_in_words
from .shared import name_of

if TYPE_CHECKING:
    TokenAdmin = admin.ModelAdmin[OAuthToken]
else:
    TokenAdmin = admin.ModelAdmin

#: Tokens that one action takes: each costs up to a few requests to a provider.
MAX_SELECTED = 100


class Refused(Exception):
    """It was not done; the message says why, for the operator."""


# Not a dataclass, whose making takes a millisecond of django.setup().
class Action(NamedTuple):
    """One thing that an operator can do.

    Arguments:
        name: in addresses and in the list's form.
        permission: the verb of its codename.
        perform: does it to one row, and returns values for ``done``. Raises OAuthTokenError or
            Refused.
        done, failed: the outcome in words; ``token`` is the row's name, ``reason`` why not.
        offered: whether it makes sense for a row as ``reader.without_secrets()`` reads it.
        question, consequence, confirm: of the page that asks first; without them nothing does.
    """

    name: str
    permission: str
    label: Any
    perform: Callable[[HttpRequest, OAuthToken], dict[str, Any]]
    done: Any
    failed: Any
    offered: Callable[[Any], bool]
    question: Any = ""
    consequence: Any = ""
    confirm: Any = ""
    takes_away: bool = False


def _refresh(request: HttpRequest, row: OAuthToken) -> dict[str, Any]:
    if _in_use(row) and not row.renewable:  # type: ignore[attr-defined]
        raise Refused(_("there is no refresh token"))
    before = row.version
    row.refresh()
    return {"before": before, "after": row.version}


def _ask(request: HttpRequest, row: OAuthToken) -> dict[str, Any]:
    from ..notices import CannotAsk, ask_to_reconnect

    try:
        ask_to_reconnect(row, actor=request.user)
    except CannotAsk as error:
        raise Refused(str(error)) from None
    return {}


def _mark(request: HttpRequest, row: OAuthToken) -> dict[str, Any]:
    if not _in_use(row):
        raise Refused(_("it is not in use"))
    try:
        with row.own_connection():
            row.reload()
            row.require_reauthentication("provider_reported", "marked in the admin")
    except DatabaseErrors:
        raise Refused(code_in_words("database_locked")) from None
    row.send_notices()
    _must_stay(row)
    if row.status == OAuthToken.Status.ACTIVE:
        raise Refused(_("it is being refreshed at this moment; try again in a few seconds"))
    return {}


def _revoke(request: HttpRequest, row: OAuthToken) -> dict[str, Any]:
    _must_stay(row)
    OAuthToken.objects.disconnect_row(row)
    return {}


def _must_stay(row: OAuthToken) -> None:
    if not _not_leaving(row):
        raise Refused(_("it is being revoked already"))


def _in_use(row: Any) -> bool:
    return bool(row.status == OAuthToken.Status.ACTIVE)


def _not_leaving(row: Any) -> bool:
    return bool(row.status != OAuthToken.Status.REVOKING)


ACTIONS = (
    Action(
        name="refresh",
        permission="refresh",
        label=gettext_lazy("Refresh now"),
        perform=_refresh,
        done=gettext_lazy("%(token)s was refreshed: version %(before)d is now %(after)d."),
        failed=gettext_lazy("%(token)s was not refreshed: %(reason)s."),
        offered=lambda row: _in_use(row) and row.renewable,
    ),
    Action(
        name="ask",
        permission="reauthenticate",
        label=gettext_lazy("Ask user to reconnect"),
        perform=_ask,
        done=gettext_lazy("%(token)s: the user is asked by e-mail to connect again."),
        failed=gettext_lazy("%(token)s: %(reason)s."),
        offered=_not_leaving,
        question=ngettext_lazy(
            "Ask this user to connect again?", "Ask these users to connect again?"
        ),
        consequence=gettext_lazy(
            "The user gets an e-mail with a link that leads to connecting again. The token stays "
            "in use for as long as it works."
        ),
        confirm=gettext_lazy("Yes, send the e-mail"),
    ),
    Action(
        name="mark",
        permission="reauthenticate",
        label=gettext_lazy("Mark for re-authentication"),
        perform=_mark,
        done=gettext_lazy("%(token)s was marked: the user has to connect again."),
        failed=gettext_lazy("%(token)s was not marked: %(reason)s."),
        offered=_in_use,
        question=ngettext_lazy(
            "Mark this token for re-authentication?", "Mark these tokens for re-authentication?"
        ),
        consequence=gettext_lazy(
            "What is marked is out of use at once, and the user has to connect again. The provider "
            "is not told. This cannot be undone."
        ),
        confirm=gettext_lazy("Yes, mark"),
        takes_away=True,
    ),
    Action(
        name="revoke",
        permission="revoke",
        label=gettext_lazy("Revoke"),
        perform=_revoke,
        done=gettext_lazy("%(token)s was revoked."),
        failed=gettext_lazy("%(token)s was not revoked: %(reason)s."),
        offered=_not_leaving,
        question=ngettext_lazy("Revoke this token?", "Revoke these tokens?"),
        consequence=gettext_lazy(
            "The provider is told to end the grant, and the user has to connect again. This cannot "
            "be undone."
        ),
        confirm=gettext_lazy("Yes, revoke"),
        takes_away=True,
    ),
)


def _list_action(action: Action) -> Callable[..., HttpResponse | None]:
    @admin.action(description=action.label, permissions=[action.permission])
    def act(
        model_admin: TokenActions, request: HttpRequest, rows: QuerySet[OAuthToken]
    ) -> HttpResponse | None:
        return model_admin.act_on_selected(request, action, rows)

    act.__name__ = action.name
    return act


class TokenActions(TokenAdmin):
    """The actions as buttons of a token's page and as actions of the list.

    Each is noted in Django's log of the admin, and in the token's history with who did it.
    """

    actions = tuple(_list_action(action) for action in ACTIONS)

    def has_refresh_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("oauth_tokens.refresh_oauthtoken"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("oauth_tokens.revoke_oauthtoken"))

    def has_reauthenticate_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("oauth_tokens.reauthenticate_oauthtoken"))

    def may(self, request: HttpRequest, action: Action) -> bool:
        """Whether the viewer has the permission for ``action``."""
        return bool(getattr(self, f"has_{action.permission}_permission")(request))

    def buttons(self, request: HttpRequest, row: Any) -> list[tuple[str, Action]]:
        """What the page of ``row`` offers to the viewer, each with its address."""
        return [
            (self.address(f"oauthtoken_{action.name}", row.pk), action)
            for action in ACTIONS
            if self.may(request, action) and action.offered(row)
        ]

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{action.name}/",
                self.admin_site.admin_view(self.act_on_one),
                {"action": action},
                name=f"oauth_tokens_oauthtoken_{action.name}",
            )
            for action in ACTIONS
        ]
        return [*own, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        chosen = request.POST.getlist("action")
        # Django would say that no action was selected.
        if any(action.name in chosen and not self.may(request, action) for action in ACTIONS):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def act_on_one(self, request: HttpRequest, object_id: str, action: Action) -> HttpResponse:
        """A button of a token's page; GET asks first, where that is wanted."""
        if not self.may(request, action):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404
        if request.method != "POST":
            if not action.question:
                return HttpResponseNotAllowed(["POST"])
            page = self.address("oauthtoken_change", row.pk)
            return self._confirmation(request, action, [row], page)
        self._act(request, action, [row])
        if self.get_object(request, str(row.pk)) is None:
            return HttpResponseRedirect(self.address("oauthtoken_changelist"))
        return HttpResponseRedirect(self.address("oauthtoken_change", row.pk))

    def act_on_selected(
        self, request: HttpRequest, action: Action, rows: QuerySet[OAuthToken]
    ) -> HttpResponse | None:
        """An action of the list."""
        if rows.count() > MAX_SELECTED:
            text = _("Select at most %(number)d tokens at once.") % {"number": MAX_SELECTED}
            self.message_user(request, text, messages.ERROR)
            return None
        if action.question and "confirmed" not in request.POST:
            return self._confirmation(request, action, list(rows), request.get_full_path())
        self._act(request, action, list(rows))
        return None

    def _act(self, request: HttpRequest, action: Action, rows: list[OAuthToken]) -> None:
        outcomes: dict[int, list[tuple[str]]] = {messages.SUCCESS: [], messages.ERROR: []}
        for row in rows:
            row.actor_id = request.user.pk
            name = name_of(row)
            try:
                values = action.perform(request, row)
            except (OAuthTokenError, Refused) as error:
                code = getattr(error, "code", "")
                reason = code_in_words(code) if code else str(error)
                text, level = action.failed % {"token": name, "reason": reason}, messages.ERROR
            else:
                text, level = action.done % {"token": name, **values}, messages.SUCCESS
            self.log_change(request, row, text)
            outcomes[level].append((text,))
        for level, lines in outcomes.items():
            if lines:
                # One message for all: a hundred would not fit on a screen.
                text = format_html_join("", '<span class="oauth-outcome">{}</span>', lines)
                self.message_user(request, text, level)

    def _confirmation(
        self, request: HttpRequest, action: Action, rows: list[OAuthToken], back: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": action.question % len(rows),
            "opts": self.opts,
            "media": self.media,
            "action": action,
            "rows": [(row, name_of(row)) for row in rows],
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "back": back,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/oauth_tokens/oauthtoken/confirm.html", context)

    def address(self, name: str, *args: Any) -> str:
        """The path of a page of this app in the admin."""
        return reverse(f"admin:oauth_tokens_{name}", args=args, current_app=self.admin_site.name)
