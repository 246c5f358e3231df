"""What may go wrong between a user and a provider that is being connected."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass

from ..exceptions import OAuthTokenError
from ..providers.base import Provider

logger = logging.getLogger("oauth_tokens")


class Cause(enum.Enum):
    """Whose doing it is that a provider was not connected."""

    #: The user said no.
    DENIED = "denied"
    #: Not what this login session asked for, or asked for too long ago.
    STALE = "stale"
    #: The answer is not one that this provider should give: it may be someone else's.
    REJECTED = "rejected"
    #: The provider is failing.
    PROVIDER = "provider"
    #: The provider refuses this site.
    OPERATOR = "operator"


class ConnectFailed(OAuthTokenError):
    """The provider was not connected; what was stored before is untouched.

    Arguments:
        cause: whose doing it is.
        description: the provider's own words, shortened; to be escaped.
        started: the request that failed, where it was one of this login session's.
    """

    default_code = "connect_failed"

    def __init__(
        self,
        message: str,
        *,
        cause: Cause,
        code: str = "",
        provider: str = "",
        description: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(message, code=code, provider=provider)
        self.cause = cause
        self.description = description
        self.retryable = retryable
        self.started: Started | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """An authorization request under way.

    Arguments:
        asked: the scopes that the caller named, beyond those always asked for.
        scope: all that were asked for.
        at: Unix time.
        variables: values of the variables in the provider's addresses.
    """

    provider: str
    user: str
    next_url: str
    redirect_uri: str
    asked: list[str]
    scope: list[str]
    code_verifier: str | None
    nonce: str | None
    at: float
    variables: dict[str, str]

    def __repr__(self) -> str:
        return f"<Started {self.provider}>"


def stale(code: str, provider_name: str) -> ConnectFailed:
    return ConnectFailed(
        "The answer belongs to no request of this login session that is still open. Start again.",
        cause=Cause.STALE,
        code=code,
        provider=provider_name,
    )


def rejected(provider: Provider, code: str, message: str) -> ConnectFailed:
    logger.warning(
        "An answer in the name of provider %s was rejected (%s). %s", provider.name, code, message
    )
    return ConnectFailed(message, cause=Cause.REJECTED, code=code, provider=provider.name)


def refused(
    provider: Provider, code: str, what: str, fix: str, *, description: str = ""
) -> ConnectFailed:
    message = f"{provider.name} refused {what} ({code}). {fix}"
    logger.error("%s", message)
    return ConnectFailed(
        message,
        cause=Cause.OPERATOR,
        code=code,
        provider=provider.name,
        description=description,
    )


def failing(
    provider: Provider, code: str, fix: str = "Start again later.", *, retryable: bool = True
) -> ConnectFailed:
    message = f"{provider.name} did not answer as it should ({code}). {fix}"
    logger.warning("%s", message)
    return ConnectFailed(
        message,
        cause=Cause.PROVIDER,
        code=code,
        provider=provider.name,
        retryable=retryable,
    )
