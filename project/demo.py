"""``make demo``: five processes under one supervisor, and the story on top of them.

``ONCE=1`` ends after the story: 0 if every step held, 1 if one did not.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Printer
from honcho.process import Popen

from . import environment
from .environment import BASE_DIR, LOGS, DemoError

STORY = "story"
_EVENT = re.compile(r"(\w+) (started|stopped) \((?:pid|rc)=(-?\d+)\)")


class LogPrinter(Printer):
    """Writes each process's output to ``var/log`` and shows the story's alone.

    Arguments:
        on_start: called whenever honcho has noted the start of a process.

    Attributes:
        pids: process group of each process that was started.
        stopped: name and return code of each process that ended, in that order.
    """

    def __init__(self, on_start: Callable[[], None]) -> None:
        super().__init__(sys.stdout)
        self._on_start = on_start
        self.pids: dict[str, int] = {}
        self.stopped: dict[str, int] = {}
        self._files: dict[str, Any] = {}

    def write(self, message: Any) -> None:
        data = message.data
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        if message.name == STORY:
            print(text, end="", flush=True)
            return
        if message.name == SYSTEM_PRINTER_NAME and (event := _EVENT.match(text)):
            name, what, number = event[1], event[2], int(event[3])
            if what == "started":
                self.pids[name] = number
                self._on_start()
            else:
                self.stopped[name] = number
        if message.name not in self._files:
            path = LOGS / f"{message.name}.log"
            self._files[message.name] = path.open("a", encoding="utf-8", buffering=1)
        self._files[message.name].write(text)


class GroupLeader(Popen):
    """A process whose children end when it does, however it ends.

    honcho waits for the end of the output, which the children of a killed process hold open.
    """

    def __init__(self, command: str, **options: Any) -> None:
        super().__init__(command, **options)
        Thread(target=self._end_group, daemon=True).start()

    def _end_group(self) -> None:
        self.wait()
        end_group(self.pid)


def end_group(pid: int) -> None:
    """Kill what is left of the process group of ``pid``."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Supervisor(Manager):
    """honcho's manager, which leaves no process behind even if it is interrupted while starting."""

    def __init__(self, commands: dict[str, str], env: dict[str, str]) -> None:
        self.log = LogPrinter(self._started)
        super().__init__(self.log)
        self._expected = set(commands)
        self._wanted_end = False
        for name, command in commands.items():
            process = self.add_process(name, command, env=env, cwd=str(BASE_DIR))
            process._child_ctor = GroupLeader

    def terminate(self) -> None:
        # honcho knows no pid to end before it has read all the start messages.
        if self._expected.issubset(self.log.pids):
            super().terminate()
        else:
            self._wanted_end = True

    def _started(self) -> None:
        if self._wanted_end:
            self.terminate()

    def run(self) -> None:
        """Serve until something ends, then end everything else, children of children included."""
        try:
            self.loop()
        finally:
            for pid in self.log.pids.values():
                end_group(pid)


def prepare(env: dict[str, str]) -> None:
    """Migrate both databases and put users and the client into them.

    Raises:
        DemoError: one of the commands failed.
    """
    manage = [sys.executable, "manage.py"]
    jobs = [
        [*manage, "prepare_demo"],
        [*manage, "prepare_authserver", "--settings", "project.authserver.settings"],
    ]
    with (LOGS / "prepare.log").open("w", encoding="utf-8") as log:
        for job in jobs:
            done = subprocess.run(job, cwd=BASE_DIR, env=env, stdout=log, stderr=log, check=False)
            if done.returncode:
                raise DemoError(f"{' '.join(job[1:])} failed.\n{environment.tail('prepare')}")


def main() -> int:
    """Run the demo; returns the exit status."""
    # Until honcho takes over: end by an exception, which ends a command that is being run, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        env = environment.load()
        environment.check_ports(env)
        environment.check_redirect_uris(env)
        environment.check_redis(env)
        environment.clear()
        print("Preparing both databases ...", flush=True)
        prepare(env)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    commands = dict(parse_procfile((BASE_DIR / "Procfile").read_text(encoding="utf-8")).processes)
    if "REDIS_URL" in env:
        del commands["redis"]
    commands[STORY] = "exec python -m project.story"
    if sys.stdout.isatty() and "NO_COLOR" not in env:
        env["FORCE_COLOR"] = "1"
    supervisor = Supervisor(commands, env)
    supervisor.run()
    return verdict(supervisor, env)


def verdict(supervisor: Supervisor, env: dict[str, str]) -> int:
    """Exit status; says what ended the demo if it was not the story and not a signal."""
    if supervisor.returncode in {130, 143}:
        print("\nAll processes have ended.")
        # Ctrl-C is how serving is meant to end.
        return 0 if supervisor.returncode == 130 and not env.get("ONCE") else supervisor.returncode
    name, code = next(iter(supervisor.log.stopped.items()))
    if name != STORY:
        print(f"\nThe process {name!r} ended (status {code}), and the others with it.")
        print(environment.tail(name))
        return 1
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
