"""History, the health of providers, and what they have yet to take back: to be looked at only."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import PendingRevocation, ProviderCircuit, TokenEvent
from ..words import code_in_words, when
from .shared import STYLE, ProviderFilter, ReadOnly, badge, labelled, with_second

if TYPE_CHECKING:
    EventAdmin = admin.ModelAdmin[TokenEvent]
    CircuitAdmin = admin.ModelAdmin[ProviderCircuit]
    RevocationAdmin = admin.ModelAdmin[PendingRevocation]
else:
    EventAdmin = CircuitAdmin = RevocationAdmin = admin.ModelAdmin


@admin.register(TokenEvent)
class TokenEventAdmin(ReadOnly, EventAdmin):
    """The history of all tokens."""

    list_display = ("created_at", "what", "provider", "user", "by", "took")
    list_filter = ("kind", ProviderFilter, "created_at")
    list_select_related = ("user", "actor")
    show_full_result_count = False
    fields = (
        "created_at",
        "kind",
        "provider",
        "user",
        "token",
        "reason",
        "actor",
        "detail",
        "duration",
    )

    class Media:
        css = STYLE

    @admin.display(description=gettext_lazy("what"), ordering="kind")
    def what(self, event: TokenEvent) -> str:
        details = filter(None, (code_in_words(event.code), event.detail))
        return with_second(event.get_kind_display(), "; ".join(details))

    @admin.display(description=gettext_lazy("by"))
    def by(self, event: TokenEvent) -> str:
        return labelled(_("by"), str(event.actor or "-"))

    @admin.display(description=gettext_lazy("duration"), ordering="duration")
    def took(self, event: TokenEvent) -> str:
        seconds = "-"
        if event.duration is not None:
            seconds = _("%(seconds)s s") % {"seconds": number_format(event.duration, 2)}
        return labelled(_("duration"), seconds)

    @admin.display(description=gettext_lazy("code"), ordering="code")
    def reason(self, event: TokenEvent) -> str:
        return code_in_words(event.code) or "-"


@admin.register(ProviderCircuit)
class ProviderCircuitAdmin(ReadOnly, CircuitAdmin):
    """Which providers are failing as a whole."""

    list_display = ("state", "provider", "reason", "failures", "since", "next_attempt")
    fields = (
        "state",
        "provider",
        "reason",
        "failure_count",
        "opened_at",
        "probe_at",
        "failed_at",
        "operator",
    )

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

    @admin.display(description=gettext_lazy("failures in a row"), ordering="failure_count")
    def failures(self, circuit: ProviderCircuit) -> str:
        return labelled(_("failures in a row"), str(circuit.failure_count))

    @admin.display(description=gettext_lazy("failing since"), ordering="opened_at")
    def since(self, circuit: ProviderCircuit) -> str:
        return labelled(_("failing since"), _moment(circuit.opened_at))

    @admin.display(description=gettext_lazy("next attempt"), ordering="probe_at")
    def next_attempt(self, circuit: ProviderCircuit) -> str:
        return labelled(_("next attempt"), _moment(circuit.probe_at))


@admin.register(PendingRevocation)
class PendingRevocationAdmin(ReadOnly, RevocationAdmin):
    """Tokens that providers have yet to take back."""

    list_display = ("provider", "user", "client_id", "failures", "next_attempt", "created")
    list_select_related = ("user",)
    fields = ("provider", "user", "client_id", "failure_count", "retry_at", "created_at")

    class Media:
        css = STYLE

    def get_queryset(self, request: HttpRequest) -> QuerySet[PendingRevocation]:
        return super().get_queryset(request).defer("encrypted_token")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        # As for tokens: what is not shown could be guessed letter by letter.
        hidden = lookup.startswith(("encrypted_", "url_variables"))
        return not hidden and super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    @admin.display(description=gettext_lazy("failures in a row"), ordering="failure_count")
    def failures(self, pending: PendingRevocation) -> str:
        return labelled(_("failures in a row"), str(pending.failure_count))

    @admin.display(description=gettext_lazy("next attempt"), ordering="retry_at")
    def next_attempt(self, pending: PendingRevocation) -> str:
        return labelled(_("next attempt"), _moment(pending.retry_at))

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, pending: PendingRevocation) -> str:
        return labelled(_("created"), _moment(pending.created_at))


def _moment(moment: datetime | None) -> str:
    return when(moment) if moment else "-"
