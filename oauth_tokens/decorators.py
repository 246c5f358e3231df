"""``@token_required``: a view that is only run with a valid token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.utils.http import escape_leading_slashes
from django.utils.translation import gettext as _

from .exceptions import InsufficientScope, OAuthTokenError, RefreshFailed, connect_url
from .views.results import problem_page, set_retry_after

View = TypeVar("View", bound=Callable[..., HttpResponse | Awaitable[HttpResponse]])


def token_required(
    provider: str,
    *,
    scopes: Iterable[str] = (),
    account: str | None = None,
    min_ttl: float | None = None,
) -> Callable[[View], View]:
    """Run the view, sync or async, with ``request.oauth_token`` set to a valid token.

    A user without one is sent to connect the provider, and comes back here. Requests that prefer
    JSON are answered with 401, or 403 where only scopes are missing, and ``connect_url``. While the
    provider is failing the answer is 503 with Retry-After. Anonymous users are sent to log in. What
    only the operator can mend is raised.

    Arguments: see ``user.oauth_tokens.get_valid()``.
    """
    wanted = {
        "scopes": (scopes,) if isinstance(scopes, str) else tuple(scopes),
        "account": account,
        "min_ttl": min_ttl,
    }

    def decorate(view: View) -> View:
        if iscoroutinefunction(view):

            @wraps(view)
            async def async_wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
                user = await request.auser()
                if not user.is_authenticated:
                    return _login(request)
                try:
                    request.oauth_token = await user.oauth_tokens.aget_valid(provider, **wanted)
                except OAuthTokenError as error:
                    # Templates may look at request.user, which reads the database.
                    return await sync_to_async(_answer)(request, provider, error)
                return await view(request, *args, **kwargs)

            return async_wrapper  # type: ignore[return-value]

        @wraps(view)
        def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
            if not request.user.is_authenticated:
                return _login(request)
            try:
                request.oauth_token = request.user.oauth_tokens.get_valid(provider, **wanted)
            except OAuthTokenError as error:
                return _answer(request, provider, error)
            return view(request, *args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate


def _answer(request: HttpRequest, provider: str, error: OAuthTokenError) -> HttpResponse:
    if isinstance(error, RefreshFailed):
        return _unavailable(request, provider, error)
    url = error.connect_url
    if url is None:
        raise error
    if _prefers_json(request):
        status = 403 if isinstance(error, InsufficientScope) else 401
        return _json(error.code, str(error), status, connect_url=url)
    query = urlencode({"next": _way_back(request)})
    target = f"{url}{'&' if '?' in url else '?'}{query}"
    return HttpResponseRedirect(target, headers={"Cache-Control": "no-store"})


def _unavailable(request: HttpRequest, provider: str, error: RefreshFailed) -> HttpResponse:
    if not _prefers_json(request):
        return problem_page(request, provider, error, again=_way_back(request))
    response = _json(error.code, str(error), 503)
    set_retry_after(response, error)
    return response


def _login(request: HttpRequest) -> HttpResponse:
    if _prefers_json(request):
        return _json("login_required", _("Log in first."), 401)
    return redirect_to_login(_way_back(request))


def _json(code: str, detail: str, status: int, connect_url: str | None = None) -> HttpResponse:
    body = {"error": code, "detail": detail, "connect_url": connect_url}
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _prefers_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _way_back(request: HttpRequest) -> str:
    """Where the user can go on: this page; the one before, if this request changed something."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    referer = urlsplit(request.headers.get("Referer", ""))
    if referer.netloc == request.get_host():
        path = escape_leading_slashes(referer.path or "/")
        return f"{path}?{referer.query}" if referer.query else path
    return connect_url("") or "/"
