"""``user.oauth_tokens.async_client()``: an ``httpx2.AsyncClient`` that is always authorized."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from . import TIMEOUT
from .auth import make_auth
from .decisions import allowed_hosts, join_url
from .source import Source

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Request


def make_async_client(
    source: Source, base_url: str, hosts: Collection[str], **options: Any
) -> AsyncClient:
    """An ``httpx2.AsyncClient`` whose every request carries a fresh access token; see
    :class:`.auth.TokenAuth` for what happens when it is refused.

    Arguments:
        base_url: what relative addresses are below.
        hosts: that may receive the token beside that of ``base_url``.
        options: as ``httpx2.AsyncClient`` takes them.

    Raises:
        ImportError: httpx2 is not installed.
    """
    if find_spec("httpx2") is None:
        raise ImportError(
            "async_client() needs httpx2: pip install django-user-oauth-tokens[httpx2]"
        )
    auth = make_auth(source, allowed_hosts(base_url, hosts))
    # What else says how TLS is spoken would be written into the context that all share.
    if not options.keys() & {"verify", "cert", "trust_env", "http1", "http2"}:
        options["verify"] = _ssl_context()
    options.setdefault("timeout", TIMEOUT)
    options.setdefault("cookies", CookieJar(DefaultCookiePolicy(allowed_domains=[])))
    return _client_class()(auth=auth, base_url=base_url, **options)


@cache
def _client_class() -> type[AsyncClient]:
    from httpx2 import AsyncClient

    class TokenClient(AsyncClient):
        def build_request(self, method: str, url: Any, **arguments: Any) -> Request:
            """As of ``httpx2.AsyncClient``, whose relative addresses may leave ``base_url``."""
            joined = join_url(str(self.base_url), str(url))
            return super().build_request(method, joined, **arguments)

    return TokenClient


@cache
def _ssl_context() -> ssl.SSLContext:
    """Loading the trusted certificates takes longer than most requests: once, not per client."""
    from httpx2 import create_ssl_context

    return create_ssl_context()
