"""Pages of the demo site. What an application has to write is in :func:`fetch_profile`."""

from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from oauth_tokens.exceptions import OAuthTokenError
from oauth_tokens.models import OAuthToken, TokenEvent
from oauth_tokens.words import code_in_words, reason_in_words

PROVIDER = "acme"
EVENTS_SHOWN = 8


def fetch_profile(user: Any) -> dict[str, Any]:
    """Ask Acme's API who ``user`` is.

    Raises:
        OAuthTokenError: there is no usable token; ``connect_url`` says where to get one.
        requests.RequestException: the API did not answer as it should.
    """
    api = user.oauth_tokens.session(PROVIDER, base_url=settings.ACME_URL)
    response = api.get("api/me/", timeout=5)
    response.raise_for_status()
    row = _row(user)
    return {**response.json(), "version": row.version if row else None}


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The front page."""
    return render(request, "home.html", {"acme_url": settings.ACME_URL})


@login_required
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """The API's answer, or what the user has to do to get one."""
    context: dict[str, Any] = {}
    try:
        context["profile"] = fetch_profile(request.user)
    except OAuthTokenError as error:
        context["error"] = error
        context["reason"] = reason_in_words(error.code) or error.code
    except requests.RequestException:
        context["api_down"] = True
    return render(request, "dashboard.html", context | _history(request.user))


@login_required
@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """The part of the dashboard that refreshes itself. Reads rows; asks for no token."""
    return render(request, "_live.html", _history(request.user))


@login_required
@require_GET
def profile(request: HttpRequest) -> JsonResponse:
    """What :func:`dashboard` shows, as JSON."""
    try:
        return JsonResponse(fetch_profile(request.user))
    except OAuthTokenError as error:
        return JsonResponse({"error": error.code}, status=503 if error.retryable else 401)
    except requests.RequestException:
        return JsonResponse({"error": "api_unavailable"}, status=502)


@login_required
@require_GET
def state(request: HttpRequest) -> JsonResponse:
    """The stored row's state, never a token. Looking at it refreshes nothing."""
    row = _row(request.user)
    if row is None:
        return JsonResponse({"status": "not connected"})
    return JsonResponse(
        {
            "status": row.status,
            "version": row.version,
            "expires_in": _seconds_left(row),
        }
    )


def _row(user: Any) -> OAuthToken | None:
    return OAuthToken.objects.filter(user=user, provider=PROVIDER).first()


def _seconds_left(row: OAuthToken) -> float | None:
    return (row.expires_at - timezone.now()).total_seconds() if row.expires_at else None


def _history(user: Any) -> dict[str, Any]:
    row = _row(user)
    events = TokenEvent.objects.filter(user=user).order_by("-pk")[:EVENTS_SHOWN]
    return {
        "token": row,
        "seconds_left": row and _seconds_left(row),
        "events": [(event, code_in_words(event.code)) for event in events],
    }
