"""``@token_required``: a view that is only run with a valid token."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from .answers import (
    Answer,
    answer_to,
    is_htmx,
    json_response,
    leads_to_pages,
    wants_json,
    way_back,
    with_next,
)
from .exceptions import InsufficientScope, OAuthTokenError, ReauthenticationRequired
from .scope_words import listed
from .spellings import scope_tokens
from .views.results import Link, problem_page, result_page
from .words import display_name

View = TypeVar("View", bound=Callable[..., HttpResponse | Awaitable[HttpResponse]])

SESSION_KEY = "oauth_tokens_sent"
#: Ways to the provider remembered in one login session, and seconds for which each is.
MAX_SENT = 10
SENT_LATELY = 600.0


def token_required(
    provider: str,
    *,
    scopes: Iterable[str] = (),
    account: str | None = None,
    min_ttl: float | None = None,
) -> Callable[[View], View]:
    """Run the view, sync or async, with ``request.oauth_token`` set to a valid token.

    A user without one is sent to connect the provider, and comes back here; one who comes back
    without what is needed is told so. Scripts and API clients are answered with 401, or 403 where
    only scopes are missing, and ``connect_url``. While the provider is failing the answer is 503
    with Retry-After. Anonymous users are sent to log in. What only the operator can mend is raised.

    Of a class it decorates ``dispatch``: ``@method_decorator(token_required(...),
    name="dispatch")``.

    Arguments: see ``user.oauth_tokens.get_valid()``.

    Raises:
        TypeError: there is no name of a provider.
    """
    if not isinstance(provider, str):
        raise TypeError('Name the provider: @token_required("google").')
    needed = scope_tokens(scopes)
    wanted = {"scopes": needed, "account": account, "min_ttl": min_ttl}
    leads_to_pages.add(f"@token_required({provider!r})")

    def decorate(view: View) -> View:
        @wraps(view)
        async def async_wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
            user = await request.auser()
            if not user.is_authenticated:
                return _login(request)
            try:
                request.oauth_token = await user.oauth_tokens.aget_valid(provider, **wanted)
            except OAuthTokenError as error:
                # Sessions and templates read the database.
                response = await sync_to_async(respond)(request, error, needed)
                if response is None:
                    raise
                return response
            answer = view(request, *args, **kwargs)
            return await answer if inspect.isawaitable(answer) else answer

        @wraps(view)
        def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
            if not request.user.is_authenticated:
                return _login(request)
            try:
                request.oauth_token = request.user.oauth_tokens.get_valid(provider, **wanted)
            except OAuthTokenError as error:
                response = respond(request, error, needed)
                if response is None:
                    raise
                return response
            return view(request, *args, **kwargs)

        return async_wrapper if _is_async(view) else wrapper  # type: ignore[return-value]

    return decorate


def respond(
    request: Any, error: OAuthTokenError, scopes: Iterable[str] = ()
) -> HttpResponse | None:
    """The response to ``error``; None where it is to propagate.

    Arguments:
        scopes: what the view needs, where it is known.
    """
    answer = answer_to(error, scopes)
    if answer is None:
        return None
    if answer.connect_url is None:
        if is_htmx(request) or wants_json(request):
            return json_response(request, answer)
        return problem_page(request, error.provider, error, again=way_back(request))
    target = with_next(answer.connect_url, way_back(request))
    if is_htmx(request):
        response = json_response(request, answer)
        if not _sent_lately(request, error, target):
            response.headers["HX-Redirect"] = target
        return response
    if wants_json(request):
        return json_response(request, answer)
    if error.provider and _sent_lately(request, error, target):
        return _in_vain_page(request, error, target)
    return HttpResponseRedirect(target, headers={"Cache-Control": "no-store"})


def _sent_lately(request: Any, error: OAuthTokenError, target: str) -> bool:
    """Whether this login session was already sent to ``target`` for the same reason, which from now
    on it was.

    Without this, whoever comes back with another account than the view wants, or without a scope,
    would be sent to the provider again, which may consent by itself, and so on without end.
    """
    session = getattr(request, "session", None)
    if session is None:
        return False
    now = time.time()
    sent = {key: at for key, at in session.get(SESSION_KEY, {}).items() if now - at < SENT_LATELY}
    # A grant that has ended was there: whoever was sent for another reason has come back with it.
    ended = error.code if isinstance(error, ReauthenticationRequired) else ""
    key = hashlib.sha256(f"{ended} {target}".encode()).hexdigest()[:16]
    if key in sent:
        return True
    session[SESSION_KEY] = dict([*sent.items(), (key, now)][-MAX_SENT:])
    return False


def _in_vain_page(request: Any, error: OAuthTokenError, target: str) -> HttpResponse:
    """The user has been sent to the provider before, and what the page needs is still not there."""
    names = {"name": display_name(error.provider)}
    if isinstance(error, InsufficientScope):
        title = _("%(name)s is connected, but not everything was allowed") % names
        text = _("This page needs: %(scopes)s.") % {"scopes": listed(error.provider, error.missing)}
    else:
        title = _("This page needs %(name)s") % names
        text = _(
            "There is still no connection that it can use. If you have just connected an account, "
            "it may have been another one than this page is about."
        )
    return result_page(
        request,
        status=403,
        title=title,
        text=text,
        links=[Link(_("Connect %(name)s") % names, target)],
        code=error.code,
    )


def _login(request: Any) -> HttpResponse:
    login = redirect_to_login(way_back(request))
    if not (is_htmx(request) or wants_json(request)):
        return login
    response = json_response(request, Answer(401, "login_required", _("Log in first.")))
    if is_htmx(request):
        response.headers["HX-Redirect"] = login.url
    return response


def _is_async(view: Any) -> bool:
    """Whether ``view`` has to be awaited, as has ``dispatch`` of a class with async handlers."""
    # Below other decorators is the partial that method_decorator() makes of the bound method. That
    # there is an event loop would say nothing: under WSGI, dispatch is called outside of it.
    bound = inspect.unwrap(view, stop=lambda inner: hasattr(inner, "func"))
    instance = getattr(getattr(bound, "func", None), "__self__", None)
    dispatches = getattr(view, "__name__", "") == "dispatch"
    return iscoroutinefunction(view) or (dispatches and getattr(instance, "view_is_async", False))
