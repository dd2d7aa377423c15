"""What is asked of placement and what it answers."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from lucos.model import Constraint, Plan, PlannedAction
from lucos.placement.cluster import Cluster
from lucos.placement.durations import Durations


class Objective(StrEnum):
    """What a plan minimises; a problem names one or several, the first weighing most (lexicographic)."""

    SUM_OF_ENDS = "sum_of_ends"  # seconds: the sum of the actions' end times (BtrPlace's MinMTTR)
    MIGRATIONS = "migrations"  # how many VMs are migrated
    MIGRATED_MEMORY = "migrated_memory"  # memory of the VMs that are migrated
    MAKESPAN = "makespan"  # seconds until the last action ends
    NODES_USED = "nodes_used"  # nodes that hold running VMs in the result
    BALANCE = "balance"  # thousandths of all capacity that is loaded elsewhere than an even spread would
    ENERGY = "energy"  # watts in the result
    PENALTY = "penalty"  # weights of the soft constraints that the result breaks


class Limits(msgspec.Struct, frozen=True):
    """Migrations that may run at once: in all, out of one node, into one node. None: as many as fit."""

    migrations: int | None = None
    out_per_node: int | None = None
    in_per_node: int | None = None


class Budget(msgspec.Struct, frozen=True):
    """How much a solver may spend: seconds, or units of deterministic work (about seconds of one core).

    With `work` alone the same problem and seed give the same plan on every machine; with `time_s` the best
    plan found in that time. With `work` 0 only repair is tried, which takes milliseconds.
    """

    time_s: float | None = None
    work: float | None = None
    seed: int = 0
    workers: int = 2


class Problem(msgspec.Struct, frozen=True):
    """Bring `cluster` to satisfy `constraints`, at the least `objective`.

    VMs and nodes keep their state unless a constraint asks for another. Soft constraints put `penalty`
    first among the objectives unless it is named. `ongoing` are actions that are already under way (times
    from now): their VMs are left alone until they end. Plans end before `horizon_s`.
    """

    cluster: Cluster
    constraints: tuple[Constraint, ...] = ()
    objective: tuple[Objective, ...] = (Objective.SUM_OF_ENDS,)
    durations: Durations = Durations()
    limits: Limits = Limits()
    horizon_s: float = 3600.0
    ongoing: tuple[PlannedAction, ...] = ()


class Status(StrEnum):
    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


class Capacity(msgspec.Struct, frozen=True):
    """A node's capacity in one resource, as part of a conflict."""

    node: str
    resource: str


class Core(msgspec.Struct, frozen=True):
    """A minimal set of rules and capacities that cannot hold together: without any one of them, they can."""

    constraints: tuple[Constraint, ...] = ()
    capacities: tuple[Capacity, ...] = ()


class Solution(msgspec.Struct, frozen=True):
    """The answer. `plan` was accepted by the independent checker when the status is optimal or feasible.

    `values` and `bounds` are those of the problem's objectives, in their order: no plan is better than the
    bound. `core` is set when infeasible; `reasons` say in words why there is no plan, or what was given up.
    """

    status: Status
    plan: Plan = Plan()
    values: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()
    core: Core | None = None
    reasons: tuple[str, ...] = ()
    stats: dict[str, float] = {}
    """Where the time went: `repair_s`, `improve_s`, `plan_s`, `check_s`, `first_plan_s`."""

    @property
    def solved(self) -> bool:
        return self.status in (Status.OPTIMAL, Status.FEASIBLE)
