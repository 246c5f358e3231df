"""History, the health of providers, and what they have yet to take back: to be looked at only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import PendingRevocation, ProviderCircuit, TokenEvent
from ..words import code_in_words
from .shared import STYLE, ProviderFilter, ReadOnly, badge

if TYPE_CHECKING:
    EventAdmin = admin.ModelAdmin[TokenEvent]
    CircuitAdmin = admin.ModelAdmin[ProviderCircuit]
    RevocationAdmin = admin.ModelAdmin[PendingRevocation]
else:
    EventAdmin = CircuitAdmin = RevocationAdmin = admin.ModelAdmin


@admin.register(TokenEvent)
class TokenEventAdmin(ReadOnly, EventAdmin):
    """The history of all tokens."""

    list_display = ("created_at", "kind", "provider", "user", "reason", "detail", "duration")
    list_filter = ("kind", ProviderFilter, "created_at")
    list_select_related = ("user",)
    show_full_result_count = False
    fields = ("created_at", "kind", "provider", "user", "token", "reason", "detail", "duration")
    readonly_fields = ("reason",)

    class Media:
        css = STYLE

    @admin.display(description=gettext_lazy("code"), ordering="code")
    def reason(self, event: TokenEvent) -> str:
        return code_in_words(event.code) or "-"


@admin.register(ProviderCircuit)
class ProviderCircuitAdmin(ReadOnly, CircuitAdmin):
    """Which providers are failing as a whole."""

    list_display = ("state", "provider", "reason", "failure_count", "opened_at", "probe_at")
    fields = (*list_display, "failed_at", "operator")
    readonly_fields = ("state", "reason")

    class Media:
        css = STYLE

    @admin.display(description=gettext_lazy("state"), ordering="opened_at")
    def state(self, circuit: ProviderCircuit) -> str:
        if circuit.opened_at is None:
            return badge("good", _("works"))
        if circuit.operator:
            return badge("bad", _("refuses this site: check its settings"))
        return badge("warn", _("failing, will be tried again"))

    @admin.display(description=gettext_lazy("last error"))
    def reason(self, circuit: ProviderCircuit) -> str:
        return code_in_words(circuit.code) or "-"


@admin.register(PendingRevocation)
class PendingRevocationAdmin(ReadOnly, RevocationAdmin):
    """Tokens that providers have yet to take back."""

    list_display = ("provider", "user", "client_id", "failure_count", "retry_at", "created_at")
    list_select_related = ("user",)
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[PendingRevocation]:
        return super().get_queryset(request).defer("encrypted_token")
