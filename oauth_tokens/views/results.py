"""The page that says how something ended, and what the user can do now."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from ..connect import Cause, ConnectFailed
from ..exceptions import (
    OAuthTokenError,
    ProviderMisconfigured,
    RefreshFailed,
    connect_url,
    scope_signature,
)
from ..providers.registry import provider_names
from ..scope_words import listed
from ..words import display_name

logger = logging.getLogger("oauth_tokens")


class Link(NamedTuple):
    """A way to go on from a result page."""

    label: str
    url: str


def result_page(
    request: HttpRequest,
    *,
    status: int,
    title: str,
    text: str,
    links: Iterable[Link] = (),
    code: str = "",
    detail: str = "",
) -> HttpResponse:
    """A page that says what happened and how to go on. ``detail`` may be a provider's words."""
    home = connect_url("")
    all_links = [*links, Link(_("All connections"), home)] if home else list(links)
    context = {
        "title": title,
        "text": text,
        "links": all_links,
        "code": code,
        "detail": detail,
    }
    return render(request, "oauth_tokens/result.html", context, status=status)


def missing_page(
    request: HttpRequest, provider: str, missing: frozenset[str], go_on: str
) -> HttpResponse:
    """The user did not grant what the page they came from needs.

    Going back there by itself would send them to the provider again, and so on without end.
    """
    return result_page(
        request,
        status=200,
        title=_("%(name)s is connected, but not everything was allowed")
        % {"name": display_name(provider)},
        text=_("Not allowed: %(scopes)s. Some pages may not work without it.")
        % {"scopes": listed(provider, missing)},
        links=[Link(_("Continue"), go_on)],
    )


def more_page(request: HttpRequest, provider: str, scopes: list[str]) -> HttpResponse:
    """Somebody has sent the user here to allow more than usual: they decide."""
    query = {key: request.GET[key] for key in ("next", "scope") if key in request.GET}
    return result_page(
        request,
        status=200,
        title=_("Allow more at %(name)s?") % {"name": display_name(provider)},
        text=_("You will be asked to allow: %(scopes)s.") % {"scopes": listed(provider, scopes)},
        links=[Link(_("Continue"), _agreed_url(request, provider, query))],
    )


def problem_page(
    request: HttpRequest, provider: str, error: OAuthTokenError, *, again: str = ""
) -> HttpResponse:
    """The page for an error: no traceback, no secret, and what the user can do.

    Arguments:
        again: where to try again; "" to connect the provider.
    """
    name = display_name(provider)
    names = {"name": name}
    if error.code == "unknown_provider":
        return _unknown_page(request, provider)
    if isinstance(error, ProviderMisconfigured):
        logger.error("%s", error)
    again = again or _again(request, provider, error)
    cause = error.cause if isinstance(error, ConnectFailed) else None
    links = [Link(_("Try again"), again)]
    if cause is Cause.DENIED:
        status, title = 200, _("%(name)s was not connected") % names
        text = _("You did not allow the connection. Nothing has changed.")
    elif cause is Cause.STALE:
        status, title = 400, _("This sign-in is no longer valid")
        text = _(
            "It was started too long ago, in another session, or has already been used. "
            "Nothing has changed. Please start again."
        )
        links = [Link(_("Connect %(name)s") % names, again)]
    elif cause is Cause.REJECTED:
        status, title = 400, _("%(name)s was not connected") % names
        text = _("The answer could not be trusted, so it was not used. Nothing has changed.")
    elif isinstance(error, ProviderMisconfigured) or cause is Cause.OPERATOR:
        status, title = 500, _("%(name)s cannot be connected at the moment") % names
        text = _(
            "This site and the provider do not agree on how to connect. It is not your fault, and "
            "trying again will not help until this site's operator has mended it."
        )
        links = []
    else:
        status = 503 if error.retryable else 502
        title = _("%(name)s is not answering as it should") % names
        text = _("Nothing has changed. Please try again in a few minutes.")
    words = getattr(error, "description", "")
    response = result_page(
        request,
        status=status,
        title=title,
        text=text,
        links=links,
        code=error.code,
        detail=_("%(name)s says: %(words)s") % {**names, "words": words} if words else "",
    )
    if isinstance(error, RefreshFailed):
        set_retry_after(response, error)
    return response


def set_retry_after(response: HttpResponse, error: RefreshFailed) -> None:
    """Retry-After (RFC 9110 section 10.2.3), where the error knows it."""
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))


def _again(request: HttpRequest, provider: str, error: OAuthTokenError) -> str:
    started = error.started if isinstance(error, ConnectFailed) else None
    if started is None:
        return connect_url(provider) or ""
    query = {"next": started.next_url, "scope": " ".join(started.asked), **started.variables}
    return _agreed_url(request, provider, {key: value for key, value in query.items() if value})


def _agreed_url(request: HttpRequest, provider: str, query: dict[str, str]) -> str:
    """The connect page, which asks this user about nothing that is in ``query``."""
    user = str(request.user.pk)
    signature = scope_signature(provider, query.get("scope", ""), user)
    return f"{connect_url(provider)}?{urlencode({**query, 'signature': signature})}"


def _unknown_page(request: HttpRequest, provider: str) -> HttpResponse:
    close = difflib.get_close_matches(provider, provider_names(), n=1)
    links = []
    if close:
        label = _("Connect %(name)s") % {"name": display_name(close[0])}
        links = [Link(label, connect_url(close[0]) or "")]
    return result_page(
        request,
        status=404,
        title=_("There is no provider “%(name)s”") % {"name": provider},
        text=_("This site offers: %(names)s.")
        % {"names": ", ".join(display_name(name) for name in provider_names()) or "-"},
        links=links,
        code="unknown_provider",
        detail=_(
            "For the operator of this site: add %(name)s to PROVIDERS in the setting OAUTH_TOKENS, "
            "or correct the link."
        )
        % {"name": provider},
    )
