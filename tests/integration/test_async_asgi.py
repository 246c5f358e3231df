"""200 requests to an ASGI site (uvicorn, a process of its own) that need the same token."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from asgiref.sync import async_to_sync

from oauth_tokens import OAuthToken
from tests.support.processes import Processes, wait_until
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age
from tests.support.servers import free_port

pytestmark = pytest.mark.django_db(transaction=True)

CALLERS = 200
SITE = """
import sys
import uvicorn
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.urls import path

user = get_user_model().objects.get(username="alice")

async def token(request):
    found = await user.oauth_tokens.aget_valid("acme")
    return JsonResponse({"version": found.version})

async def ping(request):
    return JsonResponse({"pong": await sync_to_async(lambda: True)()})

urlpatterns = [path("token/", token), path("ping/", ping)]
settings.ROOT_URLCONF = "__main__"
uvicorn.run(get_asgi_application(), port=int(sys.argv[1]), log_level="warning", lifespan="off")
"""


@pytest.fixture
def site(token: OAuthToken, processes: Processes) -> str:
    """The address of the site, which is up."""
    port = free_port()
    processes.python(SITE, str(port))
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return httpx2.get(f"{url}/ping/").is_success
        except httpx2.TransportError:
            return False

    wait_until(up)
    return url


@pytest.mark.slow
def test_many_requests_cause_one_refresh_and_others_are_answered_meanwhile(
    site: str, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    provider.configure(latency=1.0)

    async def calls() -> tuple[list[Any], bool]:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=site, limits=limits, timeout=30) as client:
            waiting = [asyncio.create_task(client.get("/token/")) for _ in range(CALLERS)]
            await asyncio.to_thread(wait_until, lambda: provider.requests("refresh_token"))
            assert (await client.get("/ping/")).json() == {"pong": True}
            meanwhile = not any(task.done() for task in waiting)
            return [response.json() for response in await asyncio.gather(*waiting)], meanwhile

    found, meanwhile = async_to_sync(calls)()
    assert found == [{"version": token.version + 1}] * CALLERS
    assert meanwhile
    assert (provider.refreshes, provider.replays) == (1, 0)
