"""Counters of VMs: libvirt's statistics, and from /proc the time that QEMU's threads waited for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lucos.model import VmState

# What QEMU calls these threads ("CPU 0/KVM", "CPU 0/TCG") when libvirt starts it.
VCPU_THREAD = "CPU "
# Not 4, shut down: such a guest has ended, or is one that was being received and never ran here.
_RUNNING_STATES = {1, 2}  # running, blocked
_PAUSED_STATES = {3, 7}  # paused, suspended by its guest
_REASON_MIGRATION, _REASON_STARTING = 2, 11


def parse_schedstat(text: str) -> tuple[float, float]:
    """(seconds run, seconds runnable but not running) of /proc/PID/task/TID/schedstat."""
    run_ns, delay_ns, _ = text.split()
    return int(run_ns) / 1e9, int(delay_ns) / 1e9


def run_delay_s(pid: int, proc: Path = Path("/proc")) -> float:
    """Seconds that a QEMU's vCPU threads were runnable but not running; 0 when it is gone.

    Its other threads wake often for next to no work: on a throttled host their waits would count as demand.
    """
    total_s = 0.0
    try:
        for task in (proc / str(pid) / "task").iterdir():
            try:
                if not (task / "comm").read_text().startswith(VCPU_THREAD):
                    continue
                total_s += parse_schedstat((task / "schedstat").read_text())[1]
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that ended meanwhile
    except FileNotFoundError:
        pass
    return total_s


def state_of(stats: Mapping[str, int]) -> tuple[VmState | None, bool]:
    """(state, whether it is only being received) of a domain's statistics; None when it starts or ended."""
    state, reason = stats.get("state.state", 0), stats.get("state.reason", 0)
    if state in _RUNNING_STATES:
        return VmState.RUNNING, False
    if state in _PAUSED_STATES and (state, reason) != (3, _REASON_STARTING):
        return VmState.PAUSED, (state, reason) == (3, _REASON_MIGRATION)
    return None, False


def memory_used_mib(stats: Mapping[str, int]) -> float:
    """What the guest uses by its balloon's statistics; what it was given while it has not reported yet."""
    available = stats.get("balloon.available")
    unused = stats.get("balloon.unused")
    if available is None or unused is None:
        return stats.get("balloon.current", 0) / 1024
    return (available - unused) / 1024
