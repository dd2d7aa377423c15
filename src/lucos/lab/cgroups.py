"""The cgroups that own everything a lab starts.

A lab is one cgroup `luc-lab.NAME` with a leaf for each part. A process joins its leaf before it becomes what
it is to be and its children are born there, so membership is exact: no recorded pid can be stale or recycled,
and a process that is late to join a lab already taken down finds no cgroup and ends.
"""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

from lucos.errors import EnvironmentMissing
from lucos.lab.processes import wait_until

# Short, so that the guests of a saturated host wait often and briefly, as for a busy core, and their waits
# measure what they want. In the default 100 ms period a guest with 5 % of a core to do may wait 50 ms.
PERIOD_US = 20_000
EMPTY_TIMEOUT_S = 15.0


@functools.cache
def mounted() -> tuple[Path, int]:
    """Mount point and version (1 or 2) of the hierarchy that limits CPU."""
    unified = None
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(place), 1
        if kind == "cgroup2" and "cpu" in (Path(place) / "cgroup.controllers").read_text().split():
            unified = Path(place)
    if unified is None:
        raise EnvironmentMissing(
            "no cgroup hierarchy of this machine limits CPU",
            hint="mount one: mount -t cgroup -o cpu none /sys/fs/cgroup/cpu",
        )
    return unified, 2


def tree(lab: str) -> Path:
    """The cgroup of a lab, made or not."""
    return mounted()[0] / f"luc-lab.{lab}"


def create(lab: str, leaf: str) -> Path:
    """Make a leaf of a lab's cgroup, whose processes the lab owns."""
    root, version = mounted()
    parent = tree(lab)
    try:
        (parent / leaf).mkdir(parents=True, exist_ok=True)
        if version == 2:
            for group in (root, parent):
                (group / "cgroup.subtree_control").write_text("+cpu")
    except OSError as error:
        raise EnvironmentMissing(
            f"this machine lets no cgroup be made that limits CPU: {error}",
            hint="in a container, run it privileged with its own writable cgroups",
        ) from None
    return parent / leaf


def limit_cpu(group: Path, cpus: float) -> None:
    """Let the processes of `group` use `cpus` cores together."""
    quota_us = round(cpus * PERIOD_US)
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))


def pids(group: Path) -> list[int]:
    """The processes of a leaf, none if it does not exist."""
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def main_pid(group: Path) -> int | None:
    """The daemon that was started there: the oldest process that leads its session."""
    leaders = []
    for pid in pids(group):
        try:
            if os.getsid(pid) == pid:
                # The 22nd field, counted after the command's name, which may hold spaces and brackets.
                started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
                leaders.append((int(started), pid))
        except OSError:
            continue
    return min(leaders)[1] if leaders else None


def signal_process(group: Path, pid: int, number: signal.Signals) -> None:
    """Signal `pid` if it is in `group`; never another process that got its number."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if pid in pids(group):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def kill_all(group: Path) -> None:
    """SIGKILL every process of `group` and wait until none is left."""

    def empty() -> bool:
        alive = pids(group)
        for pid in alive:
            signal_process(group, pid, signal.SIGKILL)
        return not alive

    wait_until(empty, EMPTY_TIMEOUT_S, f"ending the processes of {group}")


def destroy(lab: str) -> None:
    """Kill everything a lab started and remove its cgroups; harmless when there is nothing."""
    parent = tree(lab)

    def gone() -> bool:
        groups = [path for path in parent.glob("*") if path.is_dir()]
        for group in groups:
            kill_all(group)
        for group in [*groups, parent]:
            try:
                group.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                # A process that joined between the kill and here, or one not yet fully gone.
                return False
        return True

    wait_until(gone, EMPTY_TIMEOUT_S, f"removing {parent}")
