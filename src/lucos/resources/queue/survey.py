"""From what hosts and the registry tell to what the policy decides on: the state of each vjob. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

import msgspec

from lucos.model import Constraint, Instance, Node, Resources, VeState, VmState
from lucos.resources.messages import Snapshot
from lucos.resources.queue.packing import Need, within
from lucos.resources.queue.policy import Candidate
from lucos.resources.queue.vjob import Vjob, VjobRecord
from lucos.resources.repair import holding

# A guest that takes less than this (percent of a core) is idle: it is not worth keeping room for.
IDLE_PCT = 5.0


class Sight(msgspec.Struct, frozen=True):
    """One vjob as it is: its VMs that are there, those still to be booted, and what is settled about it.

    `record` is up to date with what was seen. `held` says in words why nothing can be done with it now; it
    has `ended` when all its VMs have.
    """

    record: VjobRecord
    present: dict[str, Instance]
    unbegun: tuple[str, ...]
    held: str = ""
    ended: bool = False

    @property
    def asleep(self) -> list[str]:
        return [vm for vm, i in self.present.items() if i.state is VmState.SLEEPING]

    @property
    def awake(self) -> list[str]:
        """VMs that hold resources."""
        return [vm for vm, i in self.present.items() if i.state is not VmState.SLEEPING]

    @property
    def whole(self) -> bool:
        """Its VMs are in the state that the record says."""
        if self.record.state is VeState.RUNNING:
            return not (self.asleep or self.unbegun)
        return not self.awake


class Survey:
    """All nodes that answered and all vjobs.

    A VM that was not seen has ended if it was not seen the time before either (`missed`), since one on its
    way may escape; `missing` are those not seen this time.
    """

    def __init__(
        self, snapshots: Mapping[str, Snapshot], records: Iterable[VjobRecord], missed: set[str]
    ) -> None:
        self.snapshots = snapshots
        self.nodes: dict[str, Node] = {name: snapshots[name].node for name in sorted(snapshots)}
        self._where = {i.spec.id: i for name in self.nodes for i in snapshots[name].instances}
        self._coming = {vm for snapshot in snapshots.values() for vm in snapshot.incoming}
        self.missing: set[str] = set()
        self.sights = [self._sight(record, missed) for record in records]
        self._ours = {vm for sight in self.sights if not sight.held for vm in sight.present}

    @property
    def busy(self) -> bool:
        """Whether any host has an action under way."""
        return any(snapshot.busy for snapshot in self.snapshots.values())

    def others(self) -> list[Instance]:
        """VMs that are not the queue's to move: of no vjob, or of one that is held."""
        return [i for vm, i in self._where.items() if vm not in self._ours]

    def room(self) -> dict[str, Resources]:
        """What vjobs may use of each node that takes VMs."""
        taken: dict[str, list[Instance]] = {}
        for other in self.others():
            taken.setdefault(other.node or "", []).append(other)
        return {
            name: node.capacity - self.snapshots[name].reserved - holding(taken.get(name, ()))
            for name, node in self.nodes.items()
            if node.online and not node.draining
        }

    def _sight(self, record: VjobRecord, missed: set[str]) -> Sight:
        names = [spec.id for spec in record.vjob.vms]
        present = {vm: self._where[vm] for vm in names if vm in self._where}
        begun = set(record.begun) | present.keys()
        unbegun = tuple(vm for vm in names if vm not in begun)
        gone = [vm for vm in names if vm in begun and vm not in present]
        # A boot that was ordered there may have happened without anybody hearing of it.
        gone += [vm for vm in unbegun if record.places.get(vm, "") not in ("", *self.snapshots)]
        doubt = [vm for vm in gone if record.places.get(vm) not in self.snapshots]
        unsure = [vm for vm in gone if vm in self._coming or vm not in missed]
        self.missing.update(gone)
        held = ""
        if doubt:
            held = f"{doubt[0]} was on {record.places.get(doubt[0])}, which does not answer"
        elif unsure:
            held = f"{unsure[0]} was not seen"
        # The host came back without them.
        lost = not held and any(vm in record.in_doubt for vm in gone)
        places = record.places | {vm: instance.node or "" for vm, instance in present.items()}
        seen = msgspec.structs.replace(
            record,
            places=places,
            begun=tuple(vm for vm in names if vm in begun),
            in_doubt=tuple(vm for vm in names if vm in gone and (vm in doubt or vm in record.in_doubt)),
            crashed=record.crashed or lost,
        )
        return Sight(seen, present, unbegun, held, ended=not (present or unbegun or held))


class Assumptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What VMs are held to want before that is measured: `assumed` times what the vjob declares.

    A measured demand counts alone when the vjob has been running for `settle_s`.
    """

    assumed: float = 1.0
    settle_s: float = 60.0


def candidate(
    sight: Sight, now_s: float, room: Mapping[str, Resources], assumptions: Assumptions
) -> Candidate:
    """The vjob for the policy, at this time of the queue's clock."""
    record, vjob = sight.record, sight.record.vjob
    since_s = now_s - record.changed_s
    running = record.state is VeState.RUNNING
    ran_s = record.ran_s + (since_s if running else 0.0)
    left_s = max(vjob.duration_s - ran_s, 0.0)
    age_s = now_s - record.submitted_s
    return Candidate(
        vjob.name,
        record.rank,
        within(_needs(sight, since_s, assumptions), room),
        within(_declared(sight), room),
        rules_of(vjob),
        record.state,
        vjob.priority,
        since_s,
        record.waited_s + (0.0 if running else since_s),
        ran_s,
        vjob.duration_s,
        vjob.deadline_s - age_s - left_s if vjob.deadline_s else inf,
    )


def rules_of(vjob: Vjob) -> tuple[Constraint, ...]:
    return tuple(dict.fromkeys(rule for spec in vjob.vms for rule in spec.constraints))


def _needs(sight: Sight, since_s: float, assumptions: Assumptions) -> Iterable[Need]:
    record = sight.record
    settled = record.state is VeState.RUNNING and since_s >= assumptions.settle_s
    for spec in record.vjob.vms:
        instance = sight.present.get(spec.id)
        assumed_pct = _assumed_pct(record, spec.id, assumptions)
        if instance is None:
            if spec.id in sight.unbegun:
                yield Need(spec.id, assumed_pct, spec.memory_mib)
        elif instance.state is VmState.SLEEPING:
            yield Need(spec.id, assumed_pct, spec.memory_mib, instance.node or "", bound=True)
        else:
            measured_pct = instance.demand.cpu_pct
            cpu_pct = measured_pct if measured_pct >= IDLE_PCT else 0.0
            if not settled:
                cpu_pct = max(cpu_pct, assumed_pct)
            yield Need(spec.id, cpu_pct, spec.memory_mib, instance.node or "")


def _assumed_pct(record: VjobRecord, vm: str, assumptions: Assumptions) -> float:
    """What the VM wanted when it was last suspended, or what it is held to want at first."""
    return record.wanted_pct.get(vm, record.vjob.cpu_pct * assumptions.assumed)


def _declared(sight: Sight) -> Iterable[Need]:
    for spec in sight.record.vjob.vms:
        instance = sight.present.get(spec.id)
        if instance is not None or spec.id in sight.unbegun:
            node = (instance.node or "") if instance else ""
            bound = instance is not None and instance.state is VmState.SLEEPING
            yield Need(spec.id, sight.record.vjob.cpu_pct, spec.memory_mib, node, bound)
