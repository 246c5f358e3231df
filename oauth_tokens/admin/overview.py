"""Where the overview is found, and who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from ..models import TaskRun
from .shared import ReadOnly

if TYPE_CHECKING:
    RunAdmin = admin.ModelAdmin[TaskRun]
else:
    RunAdmin = admin.ModelAdmin


@admin.register(TaskRun)
class OverviewAdmin(ReadOnly, RunAdmin):
    """The page has the address of the one model that only it shows: when the sweep ran."""

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        # Not among the models: the lists and the app's index link to the page.
        return {}

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.overview_view)
        return [path("", page, name="oauth_tokens_overview")]

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        if not request.user.has_perm("oauth_tokens.view_oauthtoken"):
            raise PermissionDenied
        from .figures import page

        context = {
            **self.admin_site.each_context(request),
            "title": _("Overview"),
            "opts": self.opts,
            **page(request, self.admin_site),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/oauth_tokens/overview.html", context)
