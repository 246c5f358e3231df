"""``@bearer_required``: a view that is only run for a valid access token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import wraps
from inspect import isawaitable, iscoroutine, signature
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers

from .errors import BearerError
from .validator import Validator, parse_scopes

View = TypeVar("View", bound=Callable[..., HttpResponse | Awaitable[HttpResponse]])


def bearer_required(*, scopes: str | Iterable[str] = (), **options: Any) -> Callable[[View], View]:
    """Run the view, sync or async, with ``request.bearer`` set to a verified :class:`.Bearer`.

    Other requests are answered as RFC 6750 section 3 says, in ``WWW-Authenticate`` and as JSON:
    401, 400 where the request is malformed, 403 where a scope is missing; and 503 with Retry-After
    while the issuer's keys cannot be had. No CSRF token is asked for: a browser sends no access
    token of its own accord.

    Arguments:
        scopes: all of these must have been granted.
        options: see :class:`.Validator`: ``issuer``, ``audience`` and the rest.

    Raises:
        ImproperlyConfigured: an argument is missing or wrong.
    """
    unknown = options.keys() - signature(Validator).parameters.keys()
    if unknown:
        raise ImproperlyConfigured(
            f"bearer_required() takes no {', '.join(sorted(unknown))}. It takes scopes, "
            f"{', '.join(signature(Validator).parameters)}."
        )
    validator = Validator(**options)
    wanted = parse_scopes(scopes)

    def refusal(request: Any) -> HttpResponse | None:
        try:
            bearer = validator.authenticate(request)
            bearer.require(wanted)
        except BearerError as error:
            return _Refusal(error.body, status=error.status, headers=error.headers(validator.realm))
        request.bearer = bearer
        return None

    def decorate(view: View) -> View:
        async def run_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            # Keys may have to be fetched; and other requests need not wait for a signature.
            refused = await sync_to_async(refusal, thread_sensitive=False)(request)
            response: Any = refused or view(request, *args, **kwargs)
            return _by_token(await response if isawaitable(response) else response)

        def run(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if _in_event_loop():
                return run_async(request, *args, **kwargs)
            response: Any = refusal(request) or view(request, *args, **kwargs)
            return _when_it_comes(response) if iscoroutine(response) else _by_token(response)

        wrapper = wraps(view)(run_async if iscoroutinefunction(view) else run)
        wrapper.csrf_exempt = True  # type: ignore[attr-defined]
        return wrapper  # type: ignore[return-value]

    return decorate


class _Refusal(JsonResponse):
    """Can be awaited: dispatch() of a view class with async handlers is, and looks like sync."""

    def __await__(self) -> Generator[None, None, _Refusal]:
        yield from ()
        return self


async def _when_it_comes(response: Awaitable[Any]) -> Any:
    return _by_token(await response)


def _by_token(response: Any) -> Any:
    """A shared cache must not serve to others what was made for one token's bearer."""
    patch_vary_headers(response, ["Authorization"])
    return response


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
