"""Views that call the protected API in every way, and views that need a token."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx2
import requests
from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import JsonResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import TemplateView
from rest_framework.response import Response
from rest_framework.views import APIView

from oauth_tokens.contrib.drf import HasOAuthToken
from oauth_tokens.decorators import token_required

API = os.environ["API_URL"]


def ping(request: Any) -> JsonResponse:
    return JsonResponse({"pong": True})


async def aping(request: Any) -> JsonResponse:
    """Needs the threads that synchronous code runs in."""
    return JsonResponse({"pong": await sync_to_async(lambda: True)()})


# Calls


def body_of(request: Any) -> Any:
    """What is posted on; with ``?stream``, out of a generator, which gives it once."""

    def stream() -> Iterator[bytes]:
        yield request.body

    return stream() if "stream" in request.GET else request.body or None


def by_session(request: Any, path: str) -> Any:
    session = request.user.oauth_tokens.session("acme", base_url=API)
    return session.request(request.method, path, data=body_of(request))


def by_requests(request: Any, path: str) -> Any:
    token = request.user.oauth_tokens.get_valid("acme")
    return requests.request(
        request.method, f"{API}/{path}", data=body_of(request), auth=token, timeout=20
    )


def by_httpx2(request: Any, path: str) -> Any:
    auth = request.user.oauth_tokens.get_valid("acme").auth
    with httpx2.Client(auth=auth, timeout=20, follow_redirects=True) as client:
        return client.request(request.method, f"{API}/{path}", content=body_of(request))


async def by_async_client(user: Any, path: str) -> Any:
    options = {"base_url": API, "follow_redirects": True}
    async with user.oauth_tokens.async_client("acme", **options) as client:
        return await client.get(path)


async def by_asession(user: Any, path: str) -> Any:
    options = {"base_url": API, "follow_redirects": True}
    async with user.oauth_tokens.asession("acme", **options) as client:
        return await client.get(path)


async def by_async_httpx2(user: Any, path: str) -> Any:
    token = await user.oauth_tokens.aget_valid("acme")
    async with httpx2.AsyncClient(auth=token.auth, timeout=20, follow_redirects=True) as client:
        return await client.get(f"{API}/{path}")


WAYS = {"session": by_session, "requests": by_requests, "httpx2": by_httpx2}
ASYNC_WAYS = {
    "async_client": by_async_client,
    "asession": by_asession,
    "async_httpx2": by_async_httpx2,
}


def target(request: Any, path: str) -> str:
    query = request.META["QUERY_STRING"]
    return f"{path}?{query}" if query else path


def told(response: Any) -> JsonResponse:
    return JsonResponse({"status": response.status_code, "body": response.json()})


@csrf_exempt
@login_required
def call(request: Any, way: str, path: str) -> JsonResponse:
    return told(WAYS[way](request, target(request, path)))


@login_required
async def acall(request: Any, way: str, path: str) -> JsonResponse:
    return told(await ASYNC_WAYS[way](await request.auser(), target(request, path)))


# Views that need a token


def scopes_of(request: Any) -> JsonResponse:
    return JsonResponse({"scopes": sorted(request.oauth_token.scopes)})


def needing(*scopes: str) -> list[Any]:
    """One view of each kind, for a token that was granted ``scopes``."""
    required = token_required("acme", scopes=scopes)

    @required
    def function(request: Any) -> JsonResponse:
        return scopes_of(request)

    @required
    async def async_function(request: Any) -> JsonResponse:
        return scopes_of(request)

    @method_decorator(required, name="dispatch")
    class Sync(View):
        def get(self, request: Any) -> JsonResponse:
            return scopes_of(request)

    @method_decorator([required, csrf_exempt], name="dispatch")
    class Async(View):
        async def get(self, request: Any) -> JsonResponse:
            return scopes_of(request)

    @login_required
    def raised(request: Any) -> JsonResponse:
        request.oauth_token = request.user.oauth_tokens.get_valid("acme", scopes=scopes)
        return scopes_of(request)

    @login_required
    async def async_raised(request: Any) -> JsonResponse:
        user = await request.auser()
        request.oauth_token = await user.oauth_tokens.aget_valid("acme", scopes=scopes)
        return scopes_of(request)

    class Permission(APIView):
        permission_classes = [HasOAuthToken("acme", scopes=scopes)]

        def get(self, request: Any) -> Response:
            return Response({"scopes": sorted(request.oauth_token.scopes)})

    class Handler(APIView):
        def get(self, request: Any) -> Response:
            token = request.user.oauth_tokens.get_valid("acme", scopes=scopes)
            return Response({"scopes": sorted(token.scopes)})

    return [
        path("function/", function),
        path("async-function/", async_function),
        path("class/", Sync.as_view()),
        path("async-class/", Async.as_view()),
        path("raised/", raised),
        path("async-raised/", async_raised),
        path("drf-permission/", Permission.as_view()),
        path("drf-handler/", Handler.as_view()),
    ]


urlpatterns = [
    path("ping/", ping),
    path("aping/", aping),
    path("login/", LoginView.as_view(template_name="login.html")),
    path("logout/", LogoutView.as_view()),
    path("page/", TemplateView.as_view(template_name="page.html")),
    path("oauth/", include("oauth_tokens.urls")),
    path("call/<str:way>/<path:path>", call),
    path("acall/<str:way>/<path:path>", acall),
    path("read/", include(needing("read"))),
    path("write/", include(needing("write"))),
]
