"""What a hostile provider, network or neighbour can do, and cannot."""

from __future__ import annotations

import base64
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import OperationalError
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from oauth_tokens import OAuthToken, exceptions, rescue, transport, upkeep
from oauth_tokens.conf import get_settings
from oauth_tokens.encryption import Keyring
from oauth_tokens.models import PendingRevocation
from oauth_tokens.providers.registry import get_provider
from oauth_tokens.providers.wire import Request, clean
from oauth_tokens.token_set import TokenSet
from tests.support.provider import Provider
from tests.support.rows import EXPIRED, age, kept
from tests.support.token_endpoint import CLIENT_ID, CLIENT_SECRET


def _whole_request(peer: socket.socket) -> bytes:
    """Head and body: whoever closes with something unread resets the connection, answer and all."""
    with peer.makefile("rb") as stream:
        head = b""
        while (line := stream.readline()).strip():
            head += line
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        return head + line + stream.read(int(length[1]) if length else 0)


@contextmanager
def server(first: bytes, block: bytes = b"", pause: float = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Reads one request a connection, answers ``first`` and then ``block`` without end."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    try:
                        received.append(_whole_request(peer))
                        peer.sendall(first)
                        while block:
                            peer.sendall(block)
                            time.sleep(pause)
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], received
        listener.shutdown(socket.SHUT_RDWR)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("first", "block"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n" * 8000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 60000 + b"\r\nx\r\n"),
        (OK + b"\r\n", b"x" * 65536),
    ],
    ids=["interim responses", "trailers", "chunk extensions", "body"],
)
def test_a_server_that_never_pauses_is_left(first: bytes, block: bytes) -> None:
    with server(first, block) as (port, _), pytest.raises(transport.TransportError) as caught:
        transport.send(Request("POST", f"http://127.0.0.1:{port}/", {}, "a=b"), timeout=60)
    assert caught.value.reached


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    def use(port: int) -> None:
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        transport._pool.cache_clear()

    yield use
    transport._pool.cache_clear()


@pytest.mark.parametrize(
    ("first", "block", "code"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", b"", "connection_failed"),
        (b"", b"", "connection_failed"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x", "connect_timeout"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x", "tls_error"),
    ],
    ids=["refuses", "breaks", "drips", "is no tunnel"],
)
def test_a_proxy_without_a_tunnel_gets_no_token(
    proxy: Callable[[int], None], first: bytes, block: bytes, code: str
) -> None:
    with server(first, block, 0.05) as (port, received):
        proxy(port)
        started = time.monotonic()
        with pytest.raises(transport.TransportError) as caught:
            transport.send(Request("POST", "https://token.example/", {}, "a=secret"), timeout=0.5)
        assert time.monotonic() - started < 30
    assert (caught.value.code, caught.value.reached) == (code, False)
    assert received[0].startswith(b"CONNECT token.example:443")
    assert b"secret" not in b"".join(received)


@pytest.mark.parametrize("host", ["token.example", "token.example\\@127.0.0.1", "[::2]"])
def test_nothing_leaves_this_machine_in_the_open(proxy: Callable[[int], None], host: str) -> None:
    with server(b"") as (port, received):
        proxy(port)
        with pytest.raises(transport.TransportError) as caught:
            transport.send(Request("POST", f"http://{host}/", {}, "a=b"), timeout=5)
    assert not caught.value.reached
    assert received == []


@pytest.mark.parametrize(
    ("address", "target"),
    [("", "/"), ("?a=b", "/?a=b"), ("//oauth//token?a=b%20c#d", "//oauth//token?a=b%20c")],
)
def test_an_address_is_asked_for_as_it_is_written(address: str, target: str) -> None:
    with server(OK + b"\r\n{}") as (port, received):
        transport.send(Request("POST", f"http://127.0.0.1:{port}{address}", {}, "a=b"), timeout=5)
    assert received[0].startswith(f"POST {target} HTTP/1.1\r\n".encode())


def test_no_proxy_gets_what_is_for_this_machine(
    proxy: Callable[[int], None], provider: Provider
) -> None:
    with server(b"") as (port, received):
        proxy(port)
        request = Request("POST", f"{provider.url}/token", {}, "grant_type=refresh_token")
        assert transport.send(request, timeout=10).status == 401
    assert received == []


def test_addresses_with_tokens_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with server(OK + b"no colon here\r\n\r\n{}") as (port, received):
        address = f"http://127.0.0.1:{port}/refresh?access_token=at-secret"
        transport.send(Request("GET", address, {}), timeout=10)
    assert b"at-secret" in received[0]
    assert "at-secret" not in caplog.text
    logging.getLogger("urllib3.connectionpool").debug("of somebody else's request")
    assert "of somebody else's request" in caplog.text


def _reported(call: Callable[[], object]) -> str:
    """Django's error report, locals and all, of what ``call`` raises."""
    try:
        call()
    except Exception as error:
        # Without the frame of this function, which has the call and what it is made of.
        inner = error.__traceback__ and error.__traceback__.tb_next
        reporter = ExceptionReporter(RequestFactory().get("/"), type(error), error, inner)
        return reporter.get_traceback_html()
    raise AssertionError("nothing was raised")


@pytest.mark.django_db
def test_error_reports_hold_no_token(
    user: AbstractUser, token: OAuthToken, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the database is gone")

    issued = provider.issue()
    secrets = [issued["access_token"], issued["refresh_token"]]
    secrets += [token.access_token, str(token.refresh_token)]

    # Partials: the frame of a function of ours would show what it was made with.
    def store(**changes: Any) -> Callable[[], object]:
        return partial(user.oauth_tokens.store, "acme", {**issued, **changes})

    reports = [_reported(store(access_token=""))]
    with monkeypatch.context() as patch:
        patch.setattr(OAuthToken, "_replace_grant", failing)
        reports.append(_reported(store()))
    with monkeypatch.context() as patch:
        patch.setattr(Keyring, "encrypt", failing)
        reports.append(_reported(store()))
    with monkeypatch.context() as patch:
        patch.setattr(PendingRevocation, "save", failing)
        reports.append(_reported(token.delete))
    with monkeypatch.context() as patch:
        patch.setattr(OAuthToken, "finish_revoking", failing)
        reports.append(_reported(lambda: user.oauth_tokens.disconnect("acme")))
    for report in reports:
        assert "the database is gone" in report or "has no access_token" in report
        assert [secret for secret in secrets if secret in report] == []


def test_an_address_with_a_token_is_in_no_error_report() -> None:
    """Some providers want the refresh token in the query."""
    with server(b"nothing that is HTTP") as (port, _):
        url = f"http://127.0.0.1:{port}/refresh?refresh_token=rt-secret"
        report = _reported(partial(transport.send, Request("GET", url), timeout=5))
    assert "connection_reset" in report
    assert "rt-secret" not in report


@pytest.mark.parametrize("secret", ["s3cret/with+signs=", "plain-secret"])
def test_secrets_are_cut_out_in_any_encoding(secret: str) -> None:
    forms = [secret, quote_plus(secret), base64.b64encode(secret.encode()).decode()]
    for form in forms:
        assert form not in clean(f"bad secret {form} given", [secret], 250)


@pytest.mark.django_db
def test_the_basic_header_never_gets_into_the_history(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    age(token, EXPIRED)
    pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    words = f"Basic {pair} refused, so was {quote_plus(token.refresh_token or '')}"
    provider.misbehave(
        "status", status=400, body={"error": "slow_down", "error_description": words}
    )
    with pytest.raises(exceptions.RefreshFailed):
        user.oauth_tokens.get_valid("acme")
    detail = token.events.get(code="slow_down").detail
    assert "refused" in detail
    assert pair.rstrip("=") not in detail
    assert str(token.refresh_token) not in detail


def answered(provider: Provider) -> TokenSet:
    return get_provider("acme").parse_token_response(provider.issue())


@pytest.mark.django_db
def test_a_rescued_token_is_only_for_its_own_grant(token: OAuthToken, provider: Provider) -> None:
    stranger = kept(token, answered(provider), grant_id="another user's, in a restored database")
    rescue.keep(token.key, stranger)
    upkeep.restore_rescued()
    row = OAuthToken.objects.get()
    assert (row.version, row.access_token) == (token.version, token.access_token)


@pytest.mark.django_db
def test_a_rescued_token_without_a_row_is_given_back(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    orphan = kept(token, answered(provider))
    rescue.keep(token.key, orphan)
    OAuthToken.objects.filter(pk=token.pk)._raw_delete("default")
    upkeep.restore_rescued()
    assert rescue.find(token.key) is None
    assert PendingRevocation.objects.get().token == orphan.token_set.refresh_token
    upkeep.revoke_pending()
    assert len(provider.requests("revoke")) == 1
    assert not PendingRevocation.objects.exists()


@pytest.mark.django_db
def test_an_entry_that_cannot_be_restored_does_not_stop_the_others(
    user: AbstractUser, token: OAuthToken, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = user.oauth_tokens.store("acme", provider.issue(), account_id="other")
    good = kept(other, answered(provider))
    rescue.keep(token.key, kept(token, answered(provider)))
    rescue.keep(other.key, good)
    restore = OAuthToken.save_rescued

    def failing(row: OAuthToken, entry: rescue.Kept) -> None:
        if row.pk == token.pk:
            raise exceptions.DecryptionError
        restore(row, entry)

    monkeypatch.setattr(OAuthToken, "save_rescued", failing)
    assert upkeep.restore_rescued() == 1
    assert OAuthToken.objects.get(pk=other.pk).access_token == good.token_set.access_token


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["redis", "file", "memory"])
def test_who_comes_late_does_not_remove_a_newer_entry(
    where: str, token: OAuthToken, provider: Provider, configure: Any, tmp_path: Path
) -> None:
    configure(
        REDIS_URL=get_settings().REDIS_URL if where == "redis" else "",
        RESCUE_DIR=str(tmp_path) if where == "file" else "",
    )
    rescue.keep(token.key, kept(token, answered(provider)))
    saved = rescue.find(token.key)
    newer = kept(token, answered(provider), version=token.version + 1)
    rescue.keep(token.key, newer)
    rescue.forget(token.key, saved.entries)
    found = rescue.find(token.key)
    assert found.kept == newer
    rescue.forget(token.key, found.entries)
    assert rescue.find(token.key) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db
def test_deleting_a_user_gives_the_tokens_back(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    refresh_token = token.refresh_token
    user.delete()
    assert PendingRevocation.objects.get().token == refresh_token
    assert upkeep.revoke_pending() == 1
    assert len(provider.requests("revoke")) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("code", ["invalid_request", "unauthorized_client"])
def test_one_row_does_not_shut_the_circuit_for_the_others(
    user: AbstractUser, token: OAuthToken, provider: Provider, code: str
) -> None:
    age(token, EXPIRED)
    other = user.oauth_tokens.store("acme", provider.issue(), account_id="other")
    age(other, EXPIRED)
    provider.misbehave("status", status=400, body={"error": code}, times=1)
    with pytest.raises(exceptions.ProviderMisconfigured):
        user.oauth_tokens.get_valid("acme", account="")
    with pytest.raises(exceptions.RefreshFailed):  # backs off, and leaves the probes to others
        user.oauth_tokens.get_valid("acme", account="")
    assert user.oauth_tokens.get_valid("acme", account="other").version == other.version + 1


def test_a_provider_that_says_our_tokens_back_is_not_quoted(
    user: AbstractUser, token: OAuthToken, provider: Provider
) -> None:
    held = [token.access_token, token.refresh_token]
    age(token, EXPIRED)
    words = f"{held[0]} and {held[1]} of {CLIENT_SECRET} are unknown"
    provider.misbehave(
        "status", status=400, body={"error": "invalid_grant", "error_description": words}
    )
    with pytest.raises(exceptions.ReauthenticationRequired):
        user.oauth_tokens.get_valid("acme")
    kept = OAuthToken.objects.get().error_description
    assert "are unknown" in kept
    assert not [secret for secret in (*held, CLIENT_SECRET) if secret and secret in kept]
