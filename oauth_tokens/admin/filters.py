"""What the list of tokens can be narrowed to, also by links from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from ..exceptions import REAUTHENTICATION_CODES
from ..models.conditions import expiring, failing, over, unused
from ..words import code_in_words

Rows = QuerySet[Any]
#: ``error_code=`` takes any code; these are offered.
OFFERED_ERRORS = (
    *REAUTHENTICATION_CODES,
    "connect_timeout",
    "connection_failed",
    "read_timeout",
    "invalid_token_response",
    "unknown_provider",
)


class OverFilter(admin.SimpleListFilter):
    """Those that have expired for good, though no sweep has told their users yet; or all others."""

    title = gettext_lazy("expiry")
    parameter_name = "over"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("1", gettext_lazy("expired, and cannot be refreshed")),
            ("0", gettext_lazy("valid, or to be refreshed")),
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        expired = over(timezone.now())
        return queryset.filter({"1": expired, "0": ~expired}.get(self.value() or "", Q()))


class FailingFilter(admin.SimpleListFilter):
    """Those whose last attempt to refresh failed, and that will be tried again."""

    title = gettext_lazy("failure")
    parameter_name = "failing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", gettext_lazy("failing now"))]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        if self.value() != "1":
            return queryset
        return queryset.filter(failing(timezone.now()))


class DaysFilter(admin.SimpleListFilter):
    """A filter by a number of days.

    Arguments:
        condition: gives what narrows the list, from a number of days and the time now.
    """

    condition: Callable[[int, datetime], Q]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value()
        if value is None:
            return queryset
        if value not in {key for key, _label in self.lookup_choices}:
            raise IncorrectLookupParameters
        return queryset.filter(self.condition(int(value), timezone.now()))


class ExpiringFilter(DaysFilter):
    """Those whose refresh token is going to die: the user has to connect again by then."""

    title = gettext_lazy("end of the refresh token")
    parameter_name = "expiring"
    condition = staticmethod(expiring)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("1", gettext_lazy("within a day")),
            ("7", gettext_lazy("within 7 days")),
            ("30", gettext_lazy("within 30 days")),
        ]


class UnusedFilter(DaysFilter):
    """Those that nobody has asked for in a long time."""

    title = gettext_lazy("use")
    parameter_name = "unused"
    condition = staticmethod(unused)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("30", gettext_lazy("not used for 30 days"))]


class ErrorFilter(admin.SimpleListFilter):
    """The last error. Reading which ones there are would read the whole table for each page."""

    title = gettext_lazy("last error")
    parameter_name = "error_code"
    template = "admin/oauth_tokens/oauthtoken/closed_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        codes = dict.fromkeys(OFFERED_ERRORS)
        asked = request.GET.get(self.parameter_name)
        if asked:
            codes[asked] = None
        return [(code, code_in_words(code)) for code in codes]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        return queryset.filter(error_code=self.value()) if self.value() else queryset
