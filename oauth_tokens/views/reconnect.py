"""Where the link in an e-mail leads: to the connect page, for the user it was sent to."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib.auth.views import redirect_to_login
from django.core.signing import BadSignature, SignatureExpired
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ..exceptions import connect_url
from ..notices import read_link
from .results import Link, result_page


@never_cache
@require_safe
def reconnect(request: HttpRequest, link: str) -> HttpResponse:
    """Lead on to the connect page. Nothing changes here: programs open links before users do."""
    try:
        user, provider = read_link(link)
    except SignatureExpired:
        return result_page(
            request,
            status=410,
            title=_("This link is too old"),
            text=_("You can connect again on the page of your connections."),
        )
    except BadSignature:
        return result_page(
            request,
            status=404,
            title=_("This link is not complete"),
            text=_(
                "Maybe a part of it was lost on the way. You can connect again on the page of your "
                "connections."
            ),
        )
    login = redirect_to_login(request.get_full_path())
    if not request.user.is_authenticated:
        return login
    if str(request.user.pk) != user:
        return result_page(
            request,
            status=403,
            title=_("This link is for another user"),
            text=_(
                "You are logged in as %(user)s, and the link was sent to somebody else. Nothing "
                "has changed. If you have two accounts here, log in with the other one."
            )
            % {"user": request.user.get_username()},
            links=[Link(_("Log in as another user"), login.url)],
        )
    query = urlencode({"next": connect_url("")})
    return HttpResponseRedirect(f"{connect_url(provider)}?{query}")
