"""What the demo's processes read: ``.env`` with generated keys, ports, and the folders in var/."""

import os
import re
import secrets
import socket
import sys
from pathlib import Path

import environ
import redis

from oauth_tokens.encryption import generate_key

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"
LOGS = VAR / "log"
DOTENV = BASE_DIR / ".env"
PORTS = {"PORT": "8000", "AUTH_PORT": "9000", "REDIS_PORT": "6380"}
GENERATED = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "AUTH_SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": generate_key,
    "ACME_CLIENT_ID": lambda: secrets.token_urlsafe(24),
    "ACME_CLIENT_SECRET": lambda: secrets.token_urlsafe(48),
    "DEBUG": lambda: "True",
}


class DemoError(Exception):
    """The demo cannot go on; the message is for the person who started it."""


def load() -> dict[str, str]:
    """The environment of the demo's processes. Writes keys that ``.env`` lacks into it.

    Raises:
        DemoError: a port is no number.
    """
    for name in [name for name, value in os.environ.items() if not value]:
        # make exports variables that were not given as empty ones, which would hide .env.
        del os.environ[name]
    if DOTENV.exists():
        environ.Env.read_env(DOTENV)
    given = dict(os.environ)
    missing = {name: make() for name, make in GENERATED.items() if not given.get(name)}
    if missing:
        with DOTENV.open("a", encoding="utf-8") as file:
            DOTENV.chmod(0o600)
            file.write("\n# Written by make demo; what else can be set: .env.example\n")
            file.writelines(f"{name}={value}\n" for name, value in missing.items())
    values = {**PORTS, **given, **missing}
    for name in PORTS:
        if not (values[name].isdecimal() and 0 < int(values[name]) < 65536):
            raise DemoError(f"{name} must be a port number, not {values[name]!r}.")
    scripts = str(Path(sys.executable).parent)
    values["PATH"] = os.pathsep.join([scripts, values.get("PATH", os.defpath)])
    values["PYTHONUNBUFFERED"] = "1"
    return values


def check_ports(env: dict[str, str]) -> None:
    """Make sure that every port that will be served is free and used once.

    Raises:
        DemoError: naming each taken port, and the variable that chooses another.
    """
    served = [name for name in PORTS if name != "REDIS_PORT" or "REDIS_URL" not in env]
    seen: set[str] = set()
    problems = []
    for name in served:
        port = env[name]
        if port in seen or not _is_free(int(port)):
            other = next(p for p in range(int(port) + 1, 65536) if _is_free(p))
            reason = "used twice" if port in seen else "taken by another program"
            problems.append(f"Port {port} is {reason}. Choose another: make demo {name}={other}")
        seen.add(port)
    if problems:
        raise DemoError("\n".join(problems))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do it: a port that is merely in TIME_WAIT can be taken over.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_redirect_uris(env: dict[str, str]) -> None:
    """Make sure that the redirect URIs of other projects, where any are given, are such.

    Raises:
        DemoError: one is no absolute address, or has a fragment (RFC 6749 section 3.1.2).
    """
    for uri in filter(None, env.get("EXTRA_REDIRECT_URI", "").split(",")):
        if not re.fullmatch(r"https?://[^/\s#?]+/[^\s#]*", uri):
            example = "http://127.0.0.1:8001/oauth/acme/callback/"
            raise DemoError(f"EXTRA_REDIRECT_URI must be like {example}, not {uri!r}.")


def check_redis(env: dict[str, str]) -> None:
    """Make sure that an outside Redis, where one is given, answers.

    Raises:
        DemoError: it does not.
    """
    if url := env.get("REDIS_URL"):
        try:
            redis.from_url(url, socket_timeout=5, socket_connect_timeout=5).ping()
        except (redis.RedisError, ValueError) as error:
            reason = type(error).__name__
            raise DemoError(
                f"REDIS_URL is set, but nothing usable answers there ({reason}). "
                "Mend it, or leave it out: the demo then starts a server of its own."
            ) from None


def clear() -> None:
    """Begin anew: logs, pid files and the demo's own SQLite databases."""
    LOGS.mkdir(parents=True, exist_ok=True)
    for pattern in ("*.sqlite3*", "beat*", "log/*.log"):
        for path in VAR.glob(pattern):
            path.unlink()


def tail(name: str, lines: int = 15) -> str:
    """The last lines of a process's log, indented, under its name."""
    path = LOGS / f"{name}.log"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    shown = text.splitlines()[-lines:] or ["(nothing)"]
    return "\n".join([f"  --- {path.relative_to(BASE_DIR)}", *(f"  | {line}" for line in shown)])
