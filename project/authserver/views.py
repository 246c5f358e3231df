"""Pages of Acme ID and its protected API."""

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from oauth2_provider.models import AccessToken, Application, Grant, RefreshToken
from oauth2_provider.oauth2_backends import get_oauthlib_core
from oauth2_provider.www_authenticate import build_bearer_challenge, challenge_status

from . import counters as token_requests

PROJECTS = {"alice": ["Looking glass", "Tea party"], "bob": ["Steamboat"]}


@login_required
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The applications that the signed-in user has granted access to."""
    live = RefreshToken.objects.filter(user=request.user, revoked=None).select_related(
        "application", "access_token"
    )
    apps = {token.application_id: token for token in live.order_by("created")}
    context = {"grants": apps.values(), "counts": token_requests.read()}
    return render(request, "authserver/home.html", context)


@login_required
@require_POST
def withdraw(request: HttpRequest, application_id: int) -> HttpResponse:
    """Take back everything the user granted to one application; it is told nothing."""
    application = get_object_or_404(Application, pk=application_id)
    grant = {"user": request.user, "application": application}
    with transaction.atomic():
        for token in RefreshToken.objects.filter(revoked=None, **grant):
            token.revoke()
        AccessToken.objects.filter(**grant).delete()
        Grant.objects.filter(**grant).delete()
    messages.success(request, f"{application.name} can no longer use your account.")
    return redirect("home")


@require_GET
def counters(request: HttpRequest) -> JsonResponse:
    """Requests that reached the token endpoint, by grant type."""
    return JsonResponse(token_requests.read())


def bearer_token_required(*scopes: str) -> Callable[[Callable], Callable]:
    """Serve only requests with a valid access token; answer others as RFC 6750 section 3 says."""

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest) -> HttpResponse:
            valid, oauth_request = get_oauthlib_core().verify_request(request, list(scopes))
            if valid:
                return view(request, oauth_request.access_token)
            # A request without a token gets a challenge without an error code (section 3.1).
            sent = "Authorization" in request.headers
            error = (getattr(oauth_request, "oauth2_error", None) or {}) if sent else {}
            status = challenge_status(error)
            response = JsonResponse(error or {"error": "unauthorized"}, status=status)
            response["WWW-Authenticate"] = build_bearer_challenge(
                request, error, realm="Acme", resource_metadata_url=None
            )
            return response

        return guarded

    return decorate


@require_GET
@bearer_token_required("profile", "projects")
def me(request: HttpRequest, token: AccessToken) -> JsonResponse:
    """Who the user is and works on. ``token`` numbers the access token without showing it."""
    left = (token.expires - timezone.now()).total_seconds()
    user = token.user
    return JsonResponse(
        {
            "name": user.get_full_name(),
            "email": user.email,
            "projects": PROJECTS[user.username],
            "token": {"number": token.pk, "expires_in": round(left, 1)},
        }
    )
