"""The protected API: a Django site of views with ``@bearer_required``, and no database.

Opaque tokens are asked about at django-oauth-toolkit, JWTs verified with Authlib's keys.
``/_seen/`` tells which requests have arrived, with what token, and how they were answered.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path

from oauth_tokens.bearer import bearer_required
from tests.e2e.site.serving import serve_wsgi
from tests.support.jwt_server import AUDIENCE
from tests.support.toolkit_server import API

SEEN: list[dict[str, Any]] = []
INVALID = 'Bearer realm="api", error="invalid_token"'
urlpatterns: list[Any] = []


def recorded(get_response: Any) -> Any:
    """Middleware."""

    def middleware(request: Any) -> HttpResponse:
        response: HttpResponse = get_response(request)
        if not request.path.startswith("/_"):
            token = request.headers.get("Authorization", "").partition(" ")[2]
            SEEN.append({"path": request.path, "token": token, "status": response.status_code})
        return response

    return middleware


def seen(request: Any) -> JsonResponse:
    return JsonResponse(SEEN, safe=False)


def reset(request: Any) -> JsonResponse:
    SEEN.clear()
    return JsonResponse({})


def echo(request: Any) -> JsonResponse:
    bearer = request.bearer
    return JsonResponse(
        {
            "subject": bearer.subject or bearer.claims.get("username"),
            "scopes": sorted(bearer.scopes),
            "body": request.body.decode(),
        }
    )


async def async_echo(request: Any) -> JsonResponse:
    return echo(request)


def refusing(request: Any) -> JsonResponse:
    """Whatever the token is."""
    return JsonResponse(
        {"error": "invalid_token"}, status=401, headers={"WWW-Authenticate": INVALID}
    )


def elsewhere(request: Any) -> HttpResponse:
    return HttpResponseRedirect(request.GET["to"])


def main() -> None:
    toolkit, issuer = sys.argv[2:]
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=[f"{__name__}.recorded"],
        SECRET_KEY="for the tests only",
    )
    opaque = partial(
        bearer_required,
        introspection_endpoint=f"{toolkit}/o/introspect/",
        client_id=API[0],
        client_secret=API[1],
    )
    jwt = partial(bearer_required, issuer=issuer, audience=AUDIENCE)
    by_key_set = bearer_required(
        issuer=issuer, audience="https://other.example", jwks_uri=f"{issuer}/jwks.json"
    )
    urlpatterns[:] = [
        path("_seen/", seen),
        path("_reset/", reset),
        path("read/", opaque(scopes="read")(echo)),
        path("write/", opaque(scopes="write")(echo)),
        path("jwt/read/", jwt(scopes=["read"])(echo)),
        path("jwt/async/", jwt(scopes=["read"])(async_echo)),
        path("jwt/write/", jwt(scopes=["write"])(echo)),
        path("jwt/other/", by_key_set(echo)),
        path("refusing/", refusing),
        path("elsewhere/", elsewhere),
    ]
    serve_wsgi()
