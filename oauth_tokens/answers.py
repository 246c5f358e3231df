"""What a request is answered with when its token is unusable: for pages, scripts and APIs alike.

==========================  ======  ===========================================================
error                       status  and
==========================  ======  ===========================================================
TokenNotConnected           401     ``connect_url``; a page leads there and back instead
ReauthenticationRequired    401     the same
InsufficientScope           403     the same, asking for what is missing
RefreshFailed               503     Retry-After
anything else               none    it is the operator's, and propagates
==========================  ======  ===========================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import escape_leading_slashes, url_has_allowed_host_and_scheme

from .exceptions import InsufficientScope, OAuthTokenError, RefreshFailed, connect_url

#: Who leads users to the pages of ``oauth_tokens.urls``, by name: a system check wants to know.
leads_to_pages: set[str] = set()

#: RFC 9110 section 11.6.1 wants a challenge with each 401. No registered scheme means "connect".
CHALLENGE = "Connect"


class Answer(NamedTuple):
    """The answer to an error.

    Arguments:
        connect_url: path at which the user can mend it.
        retry_after: whole seconds until trying again makes sense, or None where unknown.
    """

    status: int
    code: str
    detail: str
    connect_url: str | None = None
    retry_after: int | None = None


def answer_to(error: OAuthTokenError, scopes: Iterable[str] = ()) -> Answer | None:
    """The answer to ``error``; None where only the operator or the developer can mend it.

    Arguments:
        scopes: what the view needs, to be asked for at once where there is no connection yet.
    """
    if isinstance(error, RefreshFailed):
        seconds = None if error.retry_after is None else math.ceil(error.retry_after)
        return Answer(503, error.code, str(error), retry_after=seconds)
    url = error.connect_url
    if url is None:
        return None
    if isinstance(error, InsufficientScope):
        return Answer(403, error.code, str(error), url)
    return Answer(401, error.code, str(error), connect_url(error.provider, scopes))


def body_of(request: HttpRequest, answer: Answer) -> dict[str, Any]:
    """The JSON object for ``answer``.

    ``connect_url`` is absolute, as clients may be of another origin, and leads back to the page
    that the request came from if that is one of this site.
    """
    url = answer.connect_url
    if url is not None:
        url = request.build_absolute_uri(with_next(url, shown_page(request)))
    return {
        "code": answer.code,
        "detail": answer.detail,
        "connect_url": url,
        "retry_after": answer.retry_after,
    }


def json_response(request: HttpRequest, answer: Answer) -> HttpResponse:
    """``answer`` for a script or an API client."""
    response = JsonResponse(body_of(request, answer), status=answer.status)
    response.headers["Cache-Control"] = "no-store"
    if answer.status == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    if answer.retry_after is not None:
        response.headers["Retry-After"] = str(answer.retry_after)
    return response


def wants_json(request: HttpRequest) -> bool:
    """Whether a redirect to another site or a page would be of no use to whoever asks."""
    negotiated = getattr(request, "accepted_media_type", None)
    if negotiated:  # by Django REST framework, whose clients often accept anything
        return "html" not in negotiated
    preferred = request.get_preferred_type(["text/html", "application/json"])
    return _by_script(request) or preferred == "application/json"


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx asks, which goes where the answer's header HX-Redirect says."""
    return request.headers.get("HX-Request") == "true"


def _by_script(request: HttpRequest) -> bool:
    headers = request.headers
    return (
        headers.get("X-Requested-With") == "XMLHttpRequest"
        or headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    )


def way_back(request: HttpRequest) -> str:
    """Where the user can go on: this page; the one before, if this request was none."""
    boosted = request.headers.get("HX-Boosted") == "true"
    fragment = not boosted and (is_htmx(request) or _by_script(request))
    if request.method in ("GET", "HEAD") and not fragment:
        return request.get_full_path()
    return shown_page(request) or connect_url("") or "/"


def shown_page(request: HttpRequest) -> str | None:
    """Path and query of the page that the browser shows, if it is one of this site."""
    shown = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    try:
        parts = urlsplit(shown)
    except ValueError:
        return None
    if parts.netloc != request.get_host():
        return None
    path = escape_leading_slashes(parts.path or "/")
    # Browsers take a backslash for a slash.
    if not url_has_allowed_host_and_scheme(path, allowed_hosts=None):
        return None
    return f"{path}?{parts.query}" if parts.query else path


def with_next(url: str, page: str | None) -> str:
    """The connect page's ``url``, to lead to ``page`` in the end."""
    if not page:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'next': page})}"
