"""django-oauth-toolkit's authorization server, whose users log in and consent on its own pages.

``/_control/...`` counts refreshes, holds them back until they are let go, and ends access tokens.
"""

from __future__ import annotations

import threading
from typing import Any

from tests.e2e.credentials import CLIENT_ID, CLIENT_SECRET
from tests.e2e.toolkit_server import STRICT
from tests.support import toolkit_server

configure, populate, log_in = (
    toolkit_server.configure,
    toolkit_server.populate,
    toolkit_server.log_in,
)
refreshes: list[str] = []
go_on = threading.Event()
go_on.set()


def counted(get_response: Any) -> Any:
    """Middleware."""

    def middleware(request: Any) -> Any:
        if request.POST.get("grant_type") == "refresh_token":
            refreshes.append(request.path)
            go_on.wait(30)
        return get_response(request)

    return middleware


def control(request: Any, action: str) -> Any:
    from django.http import JsonResponse
    from django.utils import timezone
    from oauth2_provider.models import AccessToken

    if action == "reset":
        refreshes.clear()
    elif action == "hold":
        go_on.clear()
    elif action == "release":
        go_on.set()
    elif action == "expire":
        found = AccessToken.objects.filter(token=request.GET["token"])
        assert found.update(expires=timezone.now()) == 1
    return JsonResponse({"refreshes": len(refreshes)})


def log_in_and_return(request: Any) -> Any:
    from django.http import HttpResponseRedirect

    answer = log_in(request)
    return HttpResponseRedirect(request.GET["next"]) if "next" in request.GET else answer


def configured(folder: str) -> None:
    configure(folder)
    from django.conf import settings
    from django.core.servers.basehttp import ThreadedWSGIServer
    from django.urls import path

    ThreadedWSGIServer.request_queue_size = 256
    settings.OAUTH2_PROVIDER.update(STRICT)
    settings.LOGIN_URL = "/login/"
    # Cookies know no ports: under one name, the two sites would log each other's users out.
    settings.SESSION_COOKIE_NAME = "toolkit_sessionid"
    settings.MIDDLEWARE = ["tests.e2e.site.authserver.counted", *settings.MIDDLEWARE]
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    ]
    settings.DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
    }
    settings.ROOT_URLCONF.urlpatterns.append(path("_control/<str:action>/", control))


def populated() -> None:
    from oauth2_provider.models import Application

    populate()
    Application.objects.update(skip_authorization=False)


def main() -> None:
    toolkit_server.CLIENT = (CLIENT_ID, CLIENT_SECRET)
    # RFC 8252 section 7.3: of a loopback address, any port.
    toolkit_server.REDIRECT_URI = "http://127.0.0.1/oauth/acme/callback/"
    toolkit_server.configure = configured
    toolkit_server.populate = populated
    toolkit_server.log_in = log_in_and_return
    toolkit_server.main()
