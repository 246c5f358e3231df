"""Pages on which users connect and disconnect providers, and see the state of their connections."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods

from ..connect import check_scope, complete, start
from ..exceptions import OAuthTokenError, scope_signature
from ..providers.registry import get_provider
from ..words import display_name
from .address import given_variables
from .listing import list_connections, list_providers
from .results import missing_page, more_page, problem_page


@login_required
@never_cache
@require_GET
def connections(request: HttpRequest) -> HttpResponse:
    """What is connected, its state, and what can be."""
    context = {"providers": list_providers(request.user)}
    return render(request, "oauth_tokens/connections.html", context)


@login_required
@never_cache
@require_GET
def connect(request: HttpRequest, provider: str) -> HttpResponse:
    """Send the user to the provider.

    Query: ``next``, where to go in the end; ``scope``, scopes to ask for beyond the usual ones; and
    values for the provider's ``url_variables``. The user is asked about a scope and values that do
    not come with a ``signature`` (:func:`~oauth_tokens.exceptions.scope_signature`).
    """
    scope = request.GET.get("scope", "")
    asked = scope.replace(",", " ").split()
    # A provider may consent by itself: another site must not choose what it consents to. After a
    # login on the way, no header tells where the user came from.
    agreed = _signed(request, scope_signature(provider, scope, str(request.user.pk)))
    try:
        described = get_provider(provider)
        check_scope(provider, asked)
        if asked and not agreed and not _named_here(request, provider, scope):
            return more_page(request, provider, asked)
        variables = given_variables(request, described, _known(request, provider), agreed)
        if isinstance(variables, HttpResponse):
            return variables
        url = start(
            request.session,
            request.user,
            provider,
            redirect_uri=request.build_absolute_uri(
                reverse("oauth_tokens:callback", kwargs={"provider": provider})
            ),
            next_url=next_url(request),
            scope=asked,
            variables=variables,
        )
    except OAuthTokenError as error:
        return problem_page(request, provider, error)
    return HttpResponseRedirect(url)


@never_cache
@require_GET
@sensitive_variables()
def callback(request: HttpRequest, provider: str) -> HttpResponse:
    """The redirection endpoint (RFC 6749 section 3.1.2)."""
    if not request.user.is_authenticated:
        # Not back here after the login: the answer's code has no place in further addresses.
        return redirect_to_login(reverse("oauth_tokens:connections"))
    try:
        connected = complete(request.session, request.user, provider, request.GET)
    except OAuthTokenError as error:
        response = problem_page(request, provider, error)
    else:
        name = display_name(provider)
        if connected.missing:
            response = missing_page(request, provider, connected.missing, connected.next_url)
        else:
            _message(request, messages.SUCCESS, _("%(name)s is connected.") % {"name": name})
            response = HttpResponseRedirect(connected.next_url)
    # The address holds the code. "no-referrer" would make browsers send no Origin with forms.
    response.headers["Referrer-Policy"] = "strict-origin"
    return response


@csrf_protect
@login_required
@never_cache
@xframe_options_deny
@require_http_methods(["GET", "POST"])
def disconnect(request: HttpRequest, provider: str) -> HttpResponse:
    """Ask whether to disconnect (GET), and do so (POST). ``account``: its id; absent, all.

    The form is posted to the address of its page, so no template can lose the account in it.
    """
    account = request.POST.get("account", request.GET.get("account"))
    rows = _user(request).oauth_tokens.filter(provider=provider).exclude(status="revoking")
    if "\0" in f"{provider}{account}":
        rows = rows.none()  # PostgreSQL refuses to look for it
    elif account is not None:
        rows = rows.filter(account_id=account)
    found = list_connections(rows)
    name = display_name(provider)
    if not found:
        try:
            get_provider(provider)
        except OAuthTokenError as error:
            return problem_page(request, provider, error)
    if request.method == "GET" and found:
        context = {"label": name, "connections": found, "next": next_url(request)}
        return render(request, "oauth_tokens/disconnect.html", context)
    if (
        request.method == "POST"
        and found
        and _user(request).oauth_tokens.disconnect(provider, account)
    ):
        text = _("%(name)s is disconnected.") % {"name": name}
        _message(request, messages.SUCCESS, text)
    else:
        _message(request, messages.INFO, _("%(name)s is not connected.") % {"name": name})
    return HttpResponseRedirect(next_url(request))


def next_url(request: HttpRequest) -> str:
    """``next`` of the request if it is on this site, else the page of all connections."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return wanted
    return reverse("oauth_tokens:connections")


def _named_here(request: HttpRequest, provider: str, scope: str) -> bool:
    """Whether this site's own code names ``scope``, for a user who is not sent by another site.

    Where no browser of today is at work, there is nobody to be led astray.
    """
    came_from = request.headers.get("Sec-Fetch-Site")
    if came_from is None:
        return True
    return came_from != "cross-site" and _signed(request, scope_signature(provider, scope))


def _signed(request: HttpRequest, signature: str) -> bool:
    return constant_time_compare(request.GET.get("signature", ""), signature)


def _known(request: HttpRequest, provider: str) -> dict[str, str]:
    """The variables of the user's latest connection to ``provider``."""
    rows = _user(request).oauth_tokens.filter(provider=provider).order_by("-updated_at")
    extra = rows.values_list("extra", flat=True).first() or {}
    values: dict[str, str] = extra.get("url_variables", {})
    return values


def _user(request: HttpRequest) -> Any:
    return request.user


def _message(request: HttpRequest, level: int, text: str) -> None:
    # fail_silently: the site may do without django.contrib.messages.
    messages.add_message(request, level, text, fail_silently=True)
