"""Short commands, daemons and waiting: how the lab deals with other programs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import lucos
from lucos.errors import OperationFailed

COMMAND_TIMEOUT_S = 60.0

# The shell joins the group before it becomes the program, so that no process is ever outside it.
JOIN = 'echo $$ >"$0/cgroup.procs" && exec "$@"'


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str, poll_s: float = 0.02) -> None:
    """Poll `condition`, for what the kernel announces by no event; raises `OperationFailed` naming `what`."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise OperationFailed(f"{what}: not within {timeout_s:g} s")
        time.sleep(poll_s)


def environment() -> dict[str, str]:
    """This process's environment, such that system programs and this very package are found from anywhere."""
    package = [str(Path(lucos.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
        "PYTHONPATH": os.pathsep.join(filter(None, package)),
    }


def run(argv: Sequence[str], text: str = "") -> str:
    """Run a command with `text` as its input until all its output is closed.

    Returns what it wrote; raises `OperationFailed` with that when it failed or took over a minute.
    """
    try:
        done = subprocess.run(
            argv,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=COMMAND_TIMEOUT_S,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        raise OperationFailed(f"{' '.join(argv)}: no end within {COMMAND_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise OperationFailed(f"{' '.join(argv)}: {done.stdout.strip()}")
    return done.stdout


def start(group: Path, argv: Sequence[str], *, log: Path | None = None) -> None:
    """Start `argv` as a daemon in the cgroup `group`, its output appended to `log`.

    Without `log`, wait until it closes its output, and raise `OperationFailed` if it wrote anything there.
    """
    command = ["sh", "-c", JOIN, str(group), "setsid", "--fork"]
    if log is None:
        complaint = run([*command, *argv]).strip()
        if complaint:
            raise OperationFailed(f"{' '.join(argv)}: {complaint}")
    else:
        run([*command, "sh", "-c", 'exec "$@" >>"$0" 2>&1', str(log), *argv])
