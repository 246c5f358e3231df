"""``MIDDLEWARE += ["oauth_tokens.middleware.OAuthTokenMiddleware"]``"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from .decorators import respond
from .exceptions import OAuthTokenError


class OAuthTokenMiddleware(MiddlewareMixin):
    """Answers the errors of tokens that views leave to it as ``@token_required`` does.

    It takes them to be about the user who asks: a view that uses somebody else's token handles
    their errors itself. Anonymous users have no tokens, so theirs propagate unless transient.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Django calls this after the view's transaction, if any, has been rolled back."""
        if not isinstance(exception, OAuthTokenError):
            return None
        user = getattr(request, "user", None)
        if not exception.retryable and not getattr(user, "is_authenticated", False):
            return None
        return respond(request, exception)
