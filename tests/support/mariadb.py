"""A MariaDB server of the tests' own, from Debian's ``mariadb-server``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql

from tests.support.servers import _die_with_parent, free_port


class MariaDB:
    """In a temporary folder, without fsync; raises with the fix where it is not installed."""

    def __init__(self) -> None:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin"
        found = {name: shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db")}
        missing = [name for name, program in found.items() if program is None]
        if missing:
            raise RuntimeError(f"no {' and no '.join(missing)}: apt-get install mariadb-server")
        self._server, self._install = str(found["mariadbd"]), str(found["mariadb-install-db"])
        self.root = Path(tempfile.mkdtemp(prefix="oauth-tokens-mariadb-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/mysql"

    def start(self, timeout: float = 60) -> None:
        """Create the data folder and start the server; return once it answers."""
        data = self.root / "data"
        user = ["--user=root"] if os.geteuid() == 0 else []
        subprocess.run(
            [
                self._install,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                *user,
            ],
            capture_output=True,
            check=True,
        )
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._server,
                    "--no-defaults",
                    f"--datadir={data}",
                    f"--socket={self.root / 'socket'}",
                    f"--pid-file={self.root / 'pid'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-flush-method=nosync",
                    "--max-connections=1000",
                    "--skip-log-bin",
                    "--character-set-server=utf8mb4",
                    # Not UTC: what the server thinks of as local time must make no difference.
                    "--default-time-zone=+05:30",
                    *user,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - nothing but one system call
            )
        deadline = time.monotonic() + timeout
        while True:
            try:
                pymysql.connect(host="127.0.0.1", port=self.port, user="root").close()
            except pymysql.err.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    text = (self.root / "log").read_text(errors="replace")
                    raise RuntimeError(f"MariaDB did not start:\n{text}") from None
                time.sleep(0.1)
            else:
                return

    def remove(self) -> None:
        """Stop the server and delete its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)
