"""HTTP to a provider that behaves as badly as it can: bounded time, bounded memory, no repeats."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oauth_tokens import transport
from oauth_tokens.providers.wire import Request, Response
from oauth_tokens.transport import TransportError, send
from tests.support.processes import wait_until
from tests.support.provider import Provider
from tests.support.servers import free_port

HOUR = timedelta(hours=1)


def refresh_request(provider: Provider) -> Request:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", f"{provider.url}/token", headers, "grant_type=refresh_token&x=rt-secret")


def refresh(provider: Provider, timeout: float = 1.0) -> Response:
    return send(refresh_request(provider), timeout=timeout)


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("hang", "read_timeout"),
        ("drip_head", "read_timeout"),
        ("drip_body", "read_timeout"),
        ("reset", "connection_reset"),
        ("incomplete", "connection_reset"),
        ("huge", "response_too_large"),
    ],
)
def test_no_answer_ends_in_time_and_may_have_been_processed(
    provider: Provider, mode: str, code: str
) -> None:
    provider.misbehave(mode)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(TransportError) as caught:
        refresh(provider, timeout=0.7)
    assert time.monotonic() - start < 3
    assert (caught.value.code, caught.value.reached) == (code, True)
    assert "rt-secret" not in repr(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert provider.refreshes == 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20 * 1024  # KiB


def test_a_thread_can_be_dripped_on_while_others_work(provider: Provider) -> None:
    provider.misbehave("drip_body", times=1)
    codes = []

    def dripped_on() -> None:
        try:
            refresh(provider, timeout=2.0)
        except TransportError as error:
            codes.append(error.code)

    thread = threading.Thread(target=dripped_on)
    thread.start()
    wait_until(lambda: provider.refreshes == 1)
    start = time.monotonic()
    assert refresh(provider).status == 401
    assert time.monotonic() - start < 1.5
    thread.join()
    assert codes == ["read_timeout"]


def test_a_refused_connection_never_reached_the_provider() -> None:
    with pytest.raises(TransportError) as caught:
        send(Request("POST", f"http://127.0.0.1:{free_port()}/token", {}, "x=rt-secret"), timeout=1)
    assert (caught.value.code, caught.value.reached) == ("connection_failed", False)


def test_an_unknown_host_never_reached_the_provider() -> None:
    with pytest.raises(TransportError) as caught:
        send(Request("POST", "https://no-such-host.invalid/token", {}, "x=1"), timeout=5)
    assert (caught.value.code, caught.value.reached) == ("connection_failed", False)


@pytest.fixture
def many_addresses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Gives ``localhost`` addresses that answer nothing, and maybe one that does."""
    with contextlib.ExitStack() as stack:

        def addresses(port: int, silent: int, last: str = "") -> None:
            hosts = [f"127.0.0.{number}" for number in range(2, silent + 2)]
            for host in hosts:
                listener = stack.enter_context(socket.socket())
                listener.bind((host, port))
                listener.listen(0)
                for _ in range(3):
                    filler = stack.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex((host, port))
            resolve = socket.getaddrinfo

            def found(host: Any, *args: Any, **kwargs: Any) -> Any:
                if host != "localhost":
                    return resolve(host, *args, **kwargs)
                return [
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                    for address in [*hosts, *([last] if last else [])]
                ]

            monkeypatch.setattr(socket, "getaddrinfo", found)

        yield addresses


def test_a_host_with_a_dead_address_is_reached_by_its_next(
    provider: Provider, many_addresses: Callable[..., None]
) -> None:
    port = urlsplit(provider.url).port
    many_addresses(port, 1, "127.0.0.1")
    request = Request("POST", f"http://localhost:{port}/token", {}, "grant_type=refresh_token")
    assert send(request, timeout=2).status == 401
    assert len(provider.requests()) == 1


def test_all_addresses_of_a_host_share_one_deadline(many_addresses: Callable[..., None]) -> None:
    port = free_port()
    many_addresses(port, 5)
    started = time.monotonic()
    with pytest.raises(TransportError) as caught:
        send(Request("POST", f"http://localhost:{port}/token", {}, "a=b"), timeout=1)
    assert (caught.value.code, caught.value.reached) == ("connect_timeout", False)
    assert time.monotonic() - started < 3


def test_a_redirect_is_an_answer_and_is_not_followed(provider: Provider) -> None:
    provider.misbehave("redirect", location=f"{provider.url}/token")
    answer = refresh(provider)
    assert (answer.status, answer.headers["location"]) == (307, f"{provider.url}/token")
    assert provider.refreshes == 1


@pytest.mark.parametrize("status", [400, 429, 500, 502, 503])
def test_nothing_is_repeated(provider: Provider, status: int) -> None:
    provider.misbehave("status", status=status, body="<html>", headers={"Retry-After": "1"})
    assert refresh(provider).status == status
    assert provider.refreshes == 1


def test_connections_are_reused(provider: Provider) -> None:
    for _ in range(5):
        refresh(provider)
    assert len({record["connection"] for record in provider.requests()}) == 1


def test_a_connection_that_idled_for_long_is_not_used_again(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_IDLE", 0.05)
    refresh(provider)
    time.sleep(0.1)
    refresh(provider)
    assert len({record["connection"] for record in provider.requests()}) == 2


def test_after_a_timeout_the_next_request_gets_its_own_answer(provider: Provider) -> None:
    provider.misbehave("status", status=418, times=1)
    provider.configure(latency=0.6)
    with pytest.raises(TransportError):
        refresh(provider, timeout=0.3)
    provider.configure(latency=0)
    assert refresh(provider).status == 401


def test_a_forked_process_opens_connections_of_its_own(provider: Provider) -> None:
    refresh(provider)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if refresh(provider).status == 401 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    refresh(provider)
    connections = [record["connection"] for record in provider.requests()]
    assert connections[0] == connections[2] != connections[1]


@pytest.fixture
def netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login intruder password wrong\n")
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
def test_a_netrc_file_does_not_replace_the_clients_credentials(provider: Provider) -> None:
    token = provider.issue()["refresh_token"]
    answer = send(
        Request(
            "POST",
            f"{provider.url}/token",
            {
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": "Basic Y2xpZW50OmNsaWVudC1zZWNyZXQtdmFsdWU=",
            },
            f"grant_type=refresh_token&refresh_token={token}",
        ),
        timeout=2,
    )
    assert answer.status == 200


def certificate(folder: Path, *hosts: str) -> Path:
    """A key and a certificate for ``hosts`` that has signed itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    names = [x509.DNSName(host) for host in hosts]
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - HOUR, now + HOUR)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(pem)
    )
    return path


@contextlib.contextmanager
def tls_server(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Answers a POST, to /lost with nothing; yields the port and the bodies received."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/lost":
                self.send_response(200)
                self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server.server_port, received
        thread.join()


@pytest.mark.parametrize(
    ("host", "trusted", "code"),
    [("localhost", True, ""), ("localhost", False, "tls_error"), ("other", True, "tls_error")],
    ids=["good", "of nobody known", "of another host"],
)
def test_certificates_are_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool, code: str
) -> None:
    path = certificate(tmp_path, host)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    with tls_server(path) as (port, received):
        request = Request("POST", f"https://localhost:{port}/", {}, "secret=1")
        if code:
            with pytest.raises(TransportError) as caught:
                send(request, timeout=5)
            assert (caught.value.code, caught.value.reached) == (code, False)
            assert received == []
        else:
            assert send(request, timeout=5).status == 200
            assert received == [b"secret=1"]


@contextlib.contextmanager
def tunnel(target: int) -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that connects one client to ``target``; yields its port and what it could read."""
    seen: list[bytes] = []

    def copy(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                seen.append(data)
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def serve() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", target)) as server:
            seen.append(client.recv(65536))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], seen
        transport._pool.cache_clear()
        thread.join()


@pytest.mark.parametrize("path", ["/token?a=b%20c", "/lost"])
def test_a_proxy_leads_to_the_provider_and_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    pem = certificate(tmp_path, "localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    monkeypatch.setenv("no_proxy", "")
    with tls_server(pem) as (port, received), tunnel(port) as (proxy_port, seen):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy_port}")
        transport._pool.cache_clear()
        request = Request("POST", f"https://localhost:{port}{path}", {}, "secret=1")
        if path == "/lost":
            with pytest.raises(TransportError) as caught:
                send(request, timeout=5)
            assert (caught.value.code, caught.value.reached) == ("connection_reset", True)
        else:
            assert send(request, timeout=5).status == 200
    assert received == [b"secret=1"]
    assert seen[0].startswith(b"CONNECT localhost:")
    assert b"secret" not in b"".join(seen)
