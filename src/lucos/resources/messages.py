"""What is said inside the local resources tracker (LRT), and to it by whoever wants VMs handled."""

from __future__ import annotations

import msgspec

from lucos.actors import Message
from lucos.model import AnyAction, Instance, Node, Resources, VmSpec

HOST = "host"
SCHEDULER = "scheduler"


# --- the host actor: everything that touches this node's VMs goes through it -----------------------


class Execute(Message, frozen=True):
    """Do `action` on the VM, which is (or, for boot, shall be) on the receiving node; answered by `Executed`.

    `cause` is told in events. `partition` is the ISP that asks, "" for people and the VE tracker. A VM that
    is suspended to `rest` stays asleep until somebody resumes it; others must not for long.
    """

    call_id: int
    action: AnyAction
    cause: str
    spec: VmSpec | None = None
    partition: str = ""
    force: bool = False
    rest: bool = False


class Executed(Message, frozen=True):
    call_id: int
    ok: bool
    error: str = ""
    kind: str = ""
    duration_s: float = 0.0
    downtime_ms: float = 0.0


class Reserve(Message, frozen=True):
    """The source of a migration asks the destination to admit the VM; answered by `Reserved`.

    The reservation lasts `lease_s`, or until the VM arrives or `Unreserve`.
    """

    call_id: int
    spec: VmSpec
    demand: Resources
    source: str
    partition: str
    lease_s: float


class Reserved(Message, frozen=True):
    call_id: int
    ok: bool
    error: str = ""
    migration_address: str = ""


class Unreserve(Message, frozen=True):
    """The migration ended without the VM arriving."""

    vm: str


class TakeSnapshot(Message, frozen=True):
    """Ask for the node as its host actor knows it; answered by `Snapshot`."""

    call_id: int


class VmView(msgspec.Struct, frozen=True):
    """A VM for people: its instance, what it gets of what it wants, and where it is on its way to.

    `parked` says that a plan suspended it, to be resumed by the plan or by the next one.
    """

    instance: Instance
    cpu_used_pct: float
    workload: str
    migrating_to: str = ""
    parked: bool = False


class Snapshot(Message, frozen=True):
    """`instances` are here, sleeping or holding resources; `reserved` is promised to VMs on their way in.

    `busy` counts actions in flight, reservations included. `violation` says what is wrong and
    `partition` names the ISP whose plan is being applied here, "" when there is none. `incoming` are the VMs
    on their way in.
    """

    call_id: int
    node: Node
    vms: tuple[VmView, ...]
    reserved: Resources
    busy: int
    violation: str
    partition: str = ""
    incoming: tuple[str, ...] = ()

    @property
    def instances(self) -> tuple[Instance, ...]:
        return tuple(view.instance for view in self.vms)


class SetDraining(Message, frozen=True):
    """Mark the node as draining (all its VMs must leave) or not; answered by `Executed`."""

    call_id: int
    draining: bool


class Redescribe(Message, frozen=True):
    """Give a VM of this node another description (other rules that bind it); answered by `Executed`."""

    call_id: int
    spec: VmSpec


class SetLoad(Message, frozen=True):
    """Change a VM's workload; answered by `Executed`."""

    call_id: int
    vm: str
    workload: str


# --- from the host actor to the scheduler of its node ----------------------------------------------


class Violation(Message, frozen=True):
    """The node is in violation (sent at each monitoring period while it lasts).

    `measured` says that it rests on measured loads, which take a while to settle after a move.
    """

    reason: str
    since_s: float
    measured: bool = True


class Relief(Message, frozen=True):
    """The violation is over."""


class Rising(Message, frozen=True):
    """The load has just gone above what the node has: a violation begins if it stays."""


class InFlight(Message, frozen=True):
    """How many actions and reservations are in flight for each partition ("" for none)."""

    counts: dict[str, int]


class Underload(Message, frozen=True):
    """The node could do without its VMs: its load is low and its VMs might fit elsewhere.

    Sent at each monitoring period while it lasts, and never while there is a violation.
    """

    reason: str


# --- from the scheduler to the host actor of its node -------------------------------------------------


class Granted(Message, frozen=True):
    """The ISP whose plan is being applied here, "" when none: actions of any other ISP are refused."""

    partition: str
