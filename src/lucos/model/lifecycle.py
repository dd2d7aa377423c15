"""The life cycles as tables: (state, event) -> state. Diagrams in docs/ are generated from them.

A VM follows BtrPlace's states with the seeds' paused added; a virtual environment (VE, the seeds' vjob)
follows the context-switch paper (VTDC 2010): paused is inside running, sleeping holds no node.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from lucos.errors import Refused

S = TypeVar("S", bound=StrEnum)


class VmState(StrEnum):
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    SLEEPING = "sleeping"
    KILLED = "killed"


class VeState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    SLEEPING = "sleeping"
    TERMINATED = "terminated"


VM_LIFE: dict[tuple[VmState, str], VmState] = {
    (VmState.READY, "boot"): VmState.RUNNING,
    (VmState.RUNNING, "migrate"): VmState.RUNNING,
    (VmState.RUNNING, "pause"): VmState.PAUSED,
    (VmState.PAUSED, "unpause"): VmState.RUNNING,
    (VmState.RUNNING, "suspend"): VmState.SLEEPING,
    (VmState.PAUSED, "suspend"): VmState.SLEEPING,
    (VmState.SLEEPING, "resume"): VmState.RUNNING,
    (VmState.RUNNING, "shutdown"): VmState.READY,
    (VmState.READY, "kill"): VmState.KILLED,
    (VmState.RUNNING, "kill"): VmState.KILLED,
    (VmState.PAUSED, "kill"): VmState.KILLED,
    (VmState.SLEEPING, "kill"): VmState.KILLED,
}

VE_LIFE: dict[tuple[VeState, str], VeState] = {
    (VeState.WAITING, "run"): VeState.RUNNING,
    (VeState.RUNNING, "pause"): VeState.PAUSED,
    (VeState.PAUSED, "unpause"): VeState.RUNNING,
    (VeState.RUNNING, "suspend"): VeState.SLEEPING,
    (VeState.SLEEPING, "resume"): VeState.RUNNING,
    (VeState.WAITING, "stop"): VeState.TERMINATED,
    (VeState.RUNNING, "stop"): VeState.TERMINATED,
    (VeState.PAUSED, "stop"): VeState.TERMINATED,
    (VeState.SLEEPING, "stop"): VeState.TERMINATED,
}


def after_vm_event(state: VmState, event: str) -> VmState:
    """The VM's next state; raises `Refused` naming the events its state allows."""
    return _step(VM_LIFE, state, event, "VM")


def after_ve_event(state: VeState, event: str) -> VeState:
    """The VE's next state; raises `Refused` naming the events its state allows."""
    return _step(VE_LIFE, state, event, "VE")


def _step(table: dict[tuple[S, str], S], state: S, event: str, what: str) -> S:
    try:
        return table[state, event]
    except KeyError:
        allowed = ", ".join(e for s, e in table if s == state) or "nothing"
        raise Refused(f"a {what} that is {state} cannot {event}", hint=f"it can: {allowed}") from None


def mermaid(table: dict[tuple[S, str], S]) -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {start} --> {end}: {event}" for (start, event), end in table.items()]
    return "\n".join(lines) + "\n"
