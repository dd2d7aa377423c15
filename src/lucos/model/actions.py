"""Actions on VMs, plans of them, and events: what happened and why."""

from __future__ import annotations

import msgspec

Detail = str | int | float | bool | None | list[str]


Amounts = tuple[tuple[str, float], ...]
"""What a VM is allocated of some resources: pairs of resource and amount."""


class Action(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """One step on one VM, or on a node (then `vm` is empty). Subclasses are the kinds of DESIGN's planner.

    `amounts` is what the VM gets where it will be, when that differs from what it had.
    """

    vm: str


class Boot(Action, frozen=True, tag="boot"):
    node: str
    amounts: Amounts = ()


class Shutdown(Action, frozen=True, tag="shutdown"):
    node: str


class Kill(Action, frozen=True, tag="kill"):
    """`node` is empty when the VM holds none."""

    node: str


class Pause(Action, frozen=True, tag="pause"):
    node: str


class Unpause(Action, frozen=True, tag="unpause"):
    node: str


class Suspend(Action, frozen=True, tag="suspend"):
    """Save the VM's memory on `node`, where it runs."""

    node: str


class Resume(Action, frozen=True, tag="resume"):
    """Run the VM on `node` from its memory saved on `source` (empty: on `node`)."""

    node: str
    source: str = ""
    amounts: Amounts = ()


class Migrate(Action, frozen=True, tag="migrate"):
    """`bandwidth_mibps` is what the plan reserved on the network; 0 when the plan knows none."""

    source: str
    destination: str
    amounts: Amounts = ()
    bandwidth_mibps: float = 0.0


class Allocate(Action, frozen=True, tag="allocate"):
    """Change in place what the VM is allocated."""

    node: str
    amounts: Amounts


class BootNode(Action, frozen=True, tag="boot_node", kw_only=True):
    node: str
    vm: str = ""


class ShutdownNode(Action, frozen=True, tag="shutdown_node", kw_only=True):
    node: str
    vm: str = ""


AnyAction = (
    Boot | Shutdown | Kill | Pause | Unpause | Suspend | Resume | Migrate | Allocate | BootNode | ShutdownNode
)


class PlannedAction(msgspec.Struct, frozen=True, omit_defaults=True):
    """An action with its number in the plan, its times, what must end before it starts, and why it is there.

    Times are seconds from the start of the plan. A plan may be carried out by time or by dependencies.
    """

    number: int
    action: AnyAction
    depends_on: tuple[int, ...] = ()
    reason: str = ""
    start_s: float = 0.0
    end_s: float = 0.0


class Plan(msgspec.Struct, frozen=True):
    """Actions ordered by their dependencies; `depends_on` refers to numbers in the same plan."""

    actions: tuple[PlannedAction, ...] = ()

    def ready(self, done: set[int], started: set[int]) -> list[PlannedAction]:
        """Actions whose dependencies are all in `done` and that are not in `started`."""
        return [a for a in self.actions if a.number not in started and all(d in done for d in a.depends_on)]

    @property
    def makespan_s(self) -> float:
        """When the last action ends."""
        return max((step.end_s for step in self.actions), default=0.0)


class Outcome(msgspec.Struct, frozen=True):
    """How one action on one VM ended."""

    vm: str
    ok: bool
    state: str = ""
    node: str = ""
    error: str = ""
    duration_s: float = 0.0
    downtime_ms: float = 0.0


class Event(msgspec.Struct, frozen=True):
    """Something that happened on a node, for people and for traces.

    `time_s` is the node's clock (Unix time in the real world, virtual time in the simulated one),
    `kind` a dotted word such as `violation.start`, `subject` the VM, node or partition concerned.
    """

    time_s: float
    node: str
    kind: str
    subject: str
    text: str
    data: dict[str, Detail] = {}
