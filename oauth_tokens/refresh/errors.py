"""The errors of the protocol, in the same words wherever they are raised."""

from __future__ import annotations

from ..conf import get_settings
from ..exceptions import (
    REAUTHENTICATION_CODES,
    DecryptionError,
    OAuthTokenError,
    ProviderMisconfigured,
    ProviderUnavailable,
    ReauthenticationRequired,
    RefreshTimeout,
    TokenNotConnected,
)
from .row import Row


def not_connected(provider: str) -> TokenNotConnected:
    """The error for a user without this provider."""
    return TokenNotConnected(
        f"The user has not connected {provider}. Send them to .connect_url.", provider=provider
    )


def reauthentication_required(row: Row, code: str = "") -> ReauthenticationRequired:
    """The error for a row in the state of that name."""
    code = code or row.error_code
    reason = REAUTHENTICATION_CODES.get(code, "access has ended")
    return ReauthenticationRequired(
        f"The user has to connect {row.provider} again: {reason}. Send them to .connect_url.",
        code=code,
        provider=row.provider,
    )


def undecryptable(row: Row, error: DecryptionError) -> OAuthTokenError:
    """The error for a row whose ciphertext does not open, which is marked unless a key is missing.

    A key that is not configured is the operator's slip and must not cost any user a connection.
    """
    if error.code == "unknown_key":
        error.provider = row.provider
        return error
    row.require_reauthentication("undecryptable")
    return reauthentication_required(row, "undecryptable")


def provider_failing(
    row: Row, code: str, operator: bool, retry_after: float | None
) -> OAuthTokenError:
    """The error for a provider that fails as a whole."""
    if operator:
        return ProviderMisconfigured(
            f"{row.provider} refused this site's own credentials or request ({code}). Check "
            "client_id, client_secret and token_endpoint_auth_method.",
            code=code,
            provider=row.provider,
        )
    return ProviderUnavailable(
        f"{row.provider} is failing as a whole ({code}) and is not asked for now. Try again in "
        ".retry_after seconds.",
        code=code,
        provider=row.provider,
        retry_after=retry_after,
    )


def timed_out(row: Row) -> RefreshTimeout:
    """The error for a caller whose patience has ended."""
    return RefreshTimeout(
        f"Another caller's refresh at {row.provider} did not finish within WAIT_TIMEOUT. Try "
        "again in .retry_after seconds.",
        provider=row.provider,
        retry_after=get_settings().WAIT_TIMEOUT,
    )
