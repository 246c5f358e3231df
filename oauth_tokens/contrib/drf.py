"""Django REST framework: a permission that needs a token, and a handler for its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_handler

from ..answers import CHALLENGE, answer_to, body_of, leads_to_pages
from ..exceptions import OAuthTokenError
from ..spellings import scope_tokens

Handler = Callable[[Exception, dict[str, Any]], Response | None]


class TokenUnusable(APIException):  # type: ignore[misc]
    """An error of ``oauth_tokens`` as Django REST framework and its handlers know errors.

    ``detail`` holds ``code``, ``detail``, ``connect_url`` and ``retry_after``. The status stays 401
    whatever the view's authenticators are: they did their work, the provider's token is missing.

    Arguments:
        status: 401, 403 or 503.
    """

    def __init__(self, status: int, detail: dict[str, Any]) -> None:
        super().__init__()
        self.status_code = status
        self.detail = detail
        # The names under which the default handler looks for headers.
        if status == 401:
            self.auth_header = CHALLENGE
        if detail["retry_after"] is not None:
            self.wait = detail["retry_after"]


def as_api_exception(
    error: OAuthTokenError, request: Any, scopes: Iterable[str] = ()
) -> TokenUnusable | None:
    """``error`` for handlers that only know DRF's; None where it is to propagate."""
    answer = answer_to(error, scopes)
    return None if answer is None else TokenUnusable(answer.status, body_of(request, answer))


def exception_handler(
    exc: Exception, context: dict[str, Any], otherwise: Handler = default_handler
) -> Response | None:
    """``REST_FRAMEWORK = {"EXCEPTION_HANDLER": "oauth_tokens.contrib.drf.exception_handler"}``

    Arguments:
        otherwise: the handler to go on with, which meets our errors as ``APIException``.
    """
    if isinstance(exc, OAuthTokenError):
        exc = as_api_exception(exc, context["request"]) or exc
    return otherwise(exc, context)


def HasOAuthToken(
    provider: str,
    *,
    scopes: Iterable[str] = (),
    account: str | None = None,
    min_ttl: float | None = None,
) -> type[BasePermission]:
    """A permission class: logged in, and with a valid token, which is ``request.oauth_token``.

    ``permission_classes = [HasOAuthToken("google", scopes=[...])]``; combines with others by
    ``&`` and ``|``, and needs no exception handler of ours.

    Arguments: see ``user.oauth_tokens.get_valid()``.

    Raises:
        TypeError: there is no name of a provider.
    """
    if not isinstance(provider, str):
        raise TypeError('Name the provider: permission_classes = [HasOAuthToken("google")].')
    needed = scope_tokens(scopes)
    leads_to_pages.add(f"the permission HasOAuthToken({provider!r})")

    class Permission(BasePermission):  # type: ignore[misc]
        def has_permission(self, request: Any, view: Any) -> bool:
            if not (request.user and request.user.is_authenticated):
                return False
            try:
                request.oauth_token = request.user.oauth_tokens.get_valid(
                    provider, scopes=needed, account=account, min_ttl=min_ttl
                )
            except OAuthTokenError as error:
                # Not ours: the browsable API, which asks for each of its forms, knows DRF's alone.
                raise as_api_exception(error, request, needed) or error from None
            return True

    return Permission
