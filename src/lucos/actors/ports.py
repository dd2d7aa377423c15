"""The ports: what trackers ask of the world outside, as messages. Each adapter is an actor that answers.

| port       | actor name   | real adapter                    | embedded / simulated             |
|------------|--------------|---------------------------------|----------------------------------|
| Hypervisor | `hypervisor` | `hypervisors.libvirt`           | `hypervisors.simulated`          |
| Registry   | `registry`   | SQLite (`actors.real.registry`) | `actors.simulated.registry`      |
| Solver     | `solver`     | a process (`actors.real.solver`) | `actors.simulated.solver`       |
| Transport  | (World.send) | gRPC and sealed UDP             | simulated network                |
| Clock      | (World.now_s, World.after) | asyncio           | virtual                          |
"""

from __future__ import annotations

import msgspec

from lucos.actors.message import Message
from lucos.model import AnyAction, VmSpec, VmState
from lucos.placement.problem import Budget, Problem, Solution

HYPERVISOR = "hypervisor"
REGISTRY = "registry"
SOLVER = "solver"

# --- Hypervisor ---------------------------------------------------------------------------------


class Perform(Message, frozen=True):
    """Do `action` on this node's hypervisor; answered by one `Performed` to the sender, whatever happens.

    `spec` goes with boot; `destination_address` (the peer's migration address) with migrate, and
    `bandwidth_mibps` 0 means no cap. Migrations end by `timeout_s` at the latest: converged, or aborted with
    the VM still running at the source. `force` overrides the refusal on QEMU < 8.
    """

    call_id: int
    action: AnyAction
    spec: VmSpec | None = None
    destination_address: str = ""
    bandwidth_mibps: float = 0.0
    timeout_s: float = 60.0
    force: bool = False


class Performed(Message, frozen=True):
    """Outcome of `Perform`, `SetWorkload` or `SetSpec`. `downtime_ms` is the guest's freeze in a migration.

    On failure `error` says why, and `kind` is the name of the error class in lucos.errors.
    """

    call_id: int
    ok: bool
    error: str = ""
    kind: str = ""
    duration_s: float = 0.0
    downtime_ms: float = 0.0


class AbortMigration(Message, frozen=True):
    """Abort the migration of `vm` away from this node, if one runs; its `Perform` then fails."""

    vm: str


class SetWorkload(Message, frozen=True):
    """Tell the guest to run another workload; answered by `Performed`."""

    call_id: int
    vm: str
    workload: str


class SetSpec(Message, frozen=True):
    """Write another description of the VM of that id into its own record; answered by `Performed`."""

    call_id: int
    spec: VmSpec


class Sample(Message, frozen=True):
    """Ask for the VMs of this node and their counters; answered by `Sampled`.

    With `period_s` a port that notices changes itself answers again and again, until it is asked anew: after
    the first reading at every end of a period from the one before in which a VM came, went, took another
    state or wanted another amount of CPU. Ports that notice nothing answer once, and are asked again.
    """

    call_id: int
    period_s: float = 0.0


class VmSample(msgspec.Struct, frozen=True):
    """Counters of one VM since its QEMU process started on this node (they restart after a migration).

    `run_delay_s` is time its threads were runnable but not running: demand that a saturated host hides.
    `incoming` is a VM still being received: it does not run here yet. `migrating` is one being sent away.
    `wanted_pct` is what the guest wants now, in percent of a core, from a port that knows; below 0 it does
    not, and the counters must tell.
    """

    spec: VmSpec
    state: VmState
    cpu_time_s: float = 0.0
    run_delay_s: float = 0.0
    memory_used_mib: float = 0.0
    incoming: bool = False
    migrating: bool = False
    workload: str = ""
    wanted_pct: float = -1.0


class Sampled(Message, frozen=True):
    """`time_s` is the instant of the reading on the node's monotonic clock.

    In answer to a `Sample` with `period_s` later ones are `partial`: then `vms` are those that differ from
    the reading before, and `gone` those that are no longer there.
    """

    call_id: int
    time_s: float
    vms: tuple[VmSample, ...] = ()
    error: str = ""
    partial: bool = False
    gone: tuple[str, ...] = ()


class Subscribe(Message, frozen=True):
    """Ask the hypervisor port to send `DomainChanged` to the sender from now on."""


class DomainChanged(Message, frozen=True):
    """A VM of this node changed by itself or by a call.

    `change`: started, incoming, arrived (a migration came in and runs), left (migrated away), stopped,
    crashed, paused, resumed, suspended, migration-failed, connection-lost, connection-restored
    (the last two with an empty `vm`: the hypervisor itself went away or came back).
    """

    vm: str
    change: str
    detail: str = ""
    spec: VmSpec | None = None


# --- Registry -----------------------------------------------------------------------------------


class Record(msgspec.Struct, frozen=True):
    """One record. `version` grows by one at each write; `epoch` at each change of lease holder."""

    key: str
    value: bytes
    version: int
    holder: str = ""
    lease_until_s: float = 0.0
    epoch: int = 0


class RegistryGet(Message, frozen=True):
    """The records whose key starts with `prefix` (a whole key is its own prefix), sorted by key."""

    call_id: int
    prefix: str


class RegistryPut(Message, frozen=True):
    """Write `value` if the record's version is still `expected_version` (0: it must not exist)."""

    call_id: int
    key: str
    value: bytes
    expected_version: int


class RegistryDelete(Message, frozen=True):
    """Delete if the record's version is still `expected_version`."""

    call_id: int
    key: str
    expected_version: int


class RegistryLease(Message, frozen=True):
    """Take or renew the lease of a record for `ttl_s` (0 releases it); refused while another holds it."""

    call_id: int
    key: str
    holder: str
    ttl_s: float


class RegistryReply(Message, frozen=True):
    """`ok` False with the current record (if any) on a conflict; `error` set when the registry failed."""

    call_id: int
    ok: bool
    records: tuple[Record, ...] = ()
    error: str = ""


# --- Solver -------------------------------------------------------------------------------------


class Warm(Message, frozen=True):
    """A problem may come soon: be ready for it. No answer."""


class Solve(Message, frozen=True):
    """Solve a placement problem; answered by one `Solved` to the sender, at `deadline_s` from now at last.

    Problems wait for one another in the order they came.
    """

    call_id: int
    problem: Problem
    budget: Budget
    deadline_s: float


class Solved(Message, frozen=True):
    """The solution, or why there is none (`kind` is the name of the error class in lucos.errors)."""

    call_id: int
    solution: Solution | None = None
    error: str = ""
    kind: str = ""
