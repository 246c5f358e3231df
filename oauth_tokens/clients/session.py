"""``user.oauth_tokens.session()``: a ``requests`` session that is always authorized."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn

from django.views.decorators.debug import sensitive_variables
from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter, HTTPAdapter
from requests_oauthlib import OAuth2Session

from ..exceptions import ReauthenticationRequired, TokenNotConnected
from . import TIMEOUT
from .auth import TokenAuth
from .decisions import allowed_hosts, join_url
from .source import Source


class TokenSession(OAuth2Session):
    """An ``OAuth2Session`` whose every request carries a fresh access token; see
    :class:`.auth.TokenAuth` for what happens when it is refused.

    Threads may share it as far as they may share a ``requests.Session``. It keeps no cookies, and
    its connections are those of all sessions of the process.

    Arguments:
        base_url: what relative addresses are below.
        hosts: that may receive the token beside that of ``base_url``.
        timeout: as ``requests`` takes it, in seconds, for each request that gives none.
    """

    def __init__(
        self, source: Source, base_url: str, hosts: Collection[str], timeout: Any = TIMEOUT
    ) -> None:
        super().__init__()
        self._source = source
        self.base_url = base_url
        self.timeout = timeout
        self.auth = TokenAuth(source, allowed_hosts(base_url, hosts))
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self.mount(scheme, _shared)

    def __repr__(self) -> str:
        return f"<TokenSession {self.base_url}>" if self.base_url else "<TokenSession>"

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        data: Any = None,
        headers: Any = None,
        withhold_token: bool = False,
        **kwargs: Any,
    ) -> Response:
        """As of ``requests.Session``; ``url`` may be relative to ``base_url``.

        Arguments:
            withhold_token: send this one without the access token.

        Raises:
            TokenNotConnected, ReauthenticationRequired, InsufficientScope, RefreshFailed,
            ProviderMisconfigured: there is no access token, or none that the API accepts.
            OAuthTokenError: the token must not go there.
        """
        url = join_url(self.base_url, url)
        for hook in self.compliance_hook["protected_request"]:
            url, headers, data = hook(url, headers, data)
        kwargs.setdefault("timeout", self.timeout)
        if withhold_token:
            kwargs["auth"] = _nothing
        # Not OAuth2Session's, which logs tokens and bodies.
        return Session.request(self, method, url, data=data, headers=headers, **kwargs)

    @sensitive_variables()
    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """As of ``requests.Session``, with the timeout given to this one."""
        kwargs.setdefault("timeout", self.timeout)
        return super().send(request, **kwargs)

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """The token follows a redirect on its origin only, and no .netrc takes its place."""
        old, new = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)

    # What callers of an OAuth2Session may look at

    @property
    @sensitive_variables()
    def token(self) -> dict[str, Any]:
        """The token as OAuth2Session has it, without the refresh token. Raises: as get_valid()."""
        row: Any = self._source.row()
        expires = {"expires_at": row.expires_at.timestamp()} if row.expires_at else {}
        return _QuietDict(
            access_token=row.access_token,
            token_type=row.token_type,
            scope=sorted(row.scopes),
            **expires,
        )

    @token.setter
    def token(self, value: Any) -> None:
        if value:
            raise AttributeError("Tokens come from the store: use user.oauth_tokens.store().")

    @property  # type: ignore[misc]
    def access_token(self) -> str:
        """The access token as the next request will carry it. Raises: as get_valid()."""
        value: str = self.token["access_token"]
        return value

    @property
    def authorized(self) -> bool:
        """Whether there is an access token; False where only the user can bring one."""
        try:
            return bool(self._source.row())
        except (TokenNotConnected, ReauthenticationRequired):
            return False

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise NotImplementedError(
            "It refreshes by itself. To force a refresh: token.refresh(); to connect a "
            "user: the pages of oauth_tokens.urls."
        )

    refresh_token = fetch_token = token_from_fragment = authorization_url = _refuse


class _QuietDict(dict[str, Any]):
    def __repr__(self) -> str:
        return f"<token with {', '.join(self)}>"


def _nothing(request: PreparedRequest) -> PreparedRequest:
    """Keeps ``requests`` from looking for credentials elsewhere."""
    return request


class _SharedAdapter(BaseAdapter):
    """The connections of all sessions of this process; a session that closes leaves them open."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        return _adapter().send(request, *args, **kwargs)

    def close(self) -> None:
        """Other sessions go on."""


_shared = _SharedAdapter()


@cache
def _adapter() -> HTTPAdapter:
    return HTTPAdapter(pool_connections=32, pool_maxsize=32)


# A forked worker must not speak on its parent's sockets.
os.register_at_fork(after_in_child=_adapter.cache_clear)
