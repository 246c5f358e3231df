"""Errors of ``oauth_tokens``.

::

    OAuthTokenError
    |- TokenNotConnected          the user never connected (or disconnected) this provider
    |- ReauthenticationRequired   only the user can mend it; ``.code`` says why
    |- InsufficientScope          ``.missing`` was not granted
    |- RefreshFailed              transient; ``.retry_after`` seconds or None
    |  |- RefreshTimeout          another caller's refresh did not finish within WAIT_TIMEOUT
    |  `- ProviderUnavailable     the provider as a whole is failing
    |- ProviderMisconfigured      the operator's fault, never the user's
    |- InvalidTokenResponse       a 2xx that is no token response
    `- DecryptionError            no key opens the stored token

Every error has a stable ``code``, the ``provider`` it concerns, and says whether trying again later
can help (``retryable``). No message ever holds a token or a client secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import ClassVar
from urllib.parse import urlencode

from django.core.signing import Signer
from django.urls import NoReverseMatch, reverse

from .marking import gettext_noop as _

REAUTHENTICATION_CODES: dict[str, str] = {
    "refresh_token_expired": _("the refresh token has reached the end of its lifetime"),
    "refresh_token_invalid": _("the provider no longer accepts the refresh token"),
    "no_refresh_token": _("the access token has expired and there is no refresh token"),
    "outcome_unknown": _("a refresh was interrupted after the provider may have rotated the token"),
    "refresh_exhausted": _("the provider answered nothing but transient errors for too long"),
    "undecryptable": _("no configured key opens the stored token"),
    "provider_reported": _("the provider or an operator reported that access has ended"),
}


class OAuthTokenError(Exception):
    """Base of all errors of this package.

    Arguments:
        message: one sentence for the developer, naming the fix. Never holds a secret.
        code: stable identifier, e.g. ``"refresh_token_expired"``.
        provider: name of the provider in ``OAUTH_TOKENS["PROVIDERS"]``, or "".
    """

    default_code: ClassVar[str] = "error"
    retryable: bool = False

    def __init__(self, message: str = "", *, code: str = "", provider: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.provider = provider

    @property
    def connect_url(self) -> str | None:
        """Path at which the user can mend the error, or None where only others can."""
        return None

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions travel between Celery processes; keyword arguments need help to be pickled.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    kind: type[OAuthTokenError], args: tuple[str, ...], state: dict[str, object]
) -> OAuthTokenError:
    error = kind.__new__(kind, *args)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


def connect_url(provider: str, scopes: Iterable[str] = ()) -> str | None:
    """Path of the connect page of ``provider``; None where ``oauth_tokens.urls`` is not included.

    Arguments:
        provider: name of the provider; "" gives the page that lists all connections.
        scopes: scopes to ask for beyond those already granted. They are signed, so that the page
            leads straight on; it asks the user about any that are not.
    """
    try:
        if not provider:
            return reverse("oauth_tokens:connections")
        url = reverse("oauth_tokens:connect", kwargs={"provider": provider})
    except NoReverseMatch:
        return None
    scope = " ".join(sorted(scopes))
    if not scope:
        return url
    return f"{url}?{urlencode({'scope': scope, 'signature': scope_signature(provider, scope)})}"


def scope_signature(provider: str, scope: str, user: str = "") -> str:
    """Proof that this site asks for ``scope`` itself, or has shown it to a user.

    Arguments:
        scope: as in the address of the connect page.
        user: primary key of the user who was shown it; "" where the site's own code names it.
    """
    signer = Signer(salt="oauth_tokens.connect")
    return signer.signature(json.dumps([provider, scope, user]))


class _UserCanMend(OAuthTokenError):
    @property
    def connect_url(self) -> str | None:
        return connect_url(self.provider)


class TokenNotConnected(_UserCanMend):
    """The user never connected this provider, or has disconnected it."""

    default_code = "not_connected"


class ReauthenticationRequired(_UserCanMend):
    """Only the user can mend the connection, by connecting again.

    ``code`` is one of :data:`REAUTHENTICATION_CODES`.
    """

    default_code = "refresh_token_invalid"


class InsufficientScope(OAuthTokenError):
    """The token is valid, but was not granted all scopes asked for.

    Arguments:
        missing: the scopes that were not granted; ``connect_url`` asks the user for just these.
    """

    default_code = "insufficient_scope"

    def __init__(
        self,
        message: str = "",
        *,
        missing: Iterable[str] = (),
        code: str = "",
        provider: str = "",
    ) -> None:
        super().__init__(message, code=code, provider=provider)
        self.missing: frozenset[str] = frozenset(missing)

    @property
    def connect_url(self) -> str | None:
        return connect_url(self.provider, self.missing)


class RefreshFailed(OAuthTokenError):
    """A transient failure; the stored token set is intact.

    Arguments:
        retry_after: seconds until trying again makes sense, or None where unknown.
    """

    default_code = "refresh_failed"
    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        code: str = "",
        provider: str = "",
    ) -> None:
        super().__init__(message, code=code, provider=provider)
        self.retry_after = retry_after


class RefreshTimeout(RefreshFailed):
    """Another caller is refreshing and did not finish within ``WAIT_TIMEOUT``."""

    default_code = "refresh_timeout"


class ProviderUnavailable(RefreshFailed):
    """The provider as a whole is failing, so it was not asked."""

    default_code = "provider_unavailable"


class ProviderMisconfigured(OAuthTokenError):
    """The operator's fault (unknown provider, wrong client credentials), never the user's."""

    default_code = "provider_misconfigured"


class InvalidTokenResponse(OAuthTokenError):
    """A success response that is no token response (RFC 6749 section 5.1)."""

    default_code = "invalid_token_response"


class DecryptionError(OAuthTokenError):
    """No configured key opens the stored token, or it was moved or altered."""

    default_code = "undecryptable"
