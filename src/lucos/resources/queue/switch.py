"""The cluster-wide context switch: from who shall run to a problem of placement, and to what goes on record.

Suspends, resumes and boots of a vjob go together; the placement engine finds the cheapest plan and its order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from lucos.model import (
    Boot,
    Configuration,
    Constraint,
    Instance,
    Migrate,
    Plan,
    Resources,
    Resume,
    Suspend,
    VeState,
    VmState,
)
from lucos.placement.live import problem_of
from lucos.placement.problem import Objective, Problem
from lucos.resources.messages import Executed
from lucos.resources.queue.packing import Need
from lucos.resources.queue.survey import Sight, Survey, rules_of
from lucos.resources.queue.vjob import VjobRecord

# Moves cost what they copy; what is free of cost is spread over the nodes.
CHEAPEST = (Objective.MIGRATED_MEMORY, Objective.BALANCE)


class Target(msgspec.Struct, frozen=True):
    """Which vjobs shall `run`. `needs` are those of all VMs concerned, by name.

    With `places` VMs that begin do so there, and no VM that runs moves unless its node is draining.
    """

    run: frozenset[str]
    needs: dict[str, Need]
    places: dict[str, str] = {}
    reserved: bool = False


def switch_problem(survey: Survey, target: Target) -> Problem:
    """Bring all vjobs that can be handled to the state the target says."""
    room = survey.room()
    instances = {i.spec.id: i for i in survey.others()}
    fixed = list(instances)
    nodes = dict(survey.nodes)
    for name, node in nodes.items():
        reserved = survey.snapshots[name].reserved
        nodes[name] = msgspec.structs.replace(node, capacity=node.capacity - reserved)
    for other in instances.values():
        # Nobody takes from VMs that are not the queue's, however much they want.
        node = nodes[other.node or ""]
        if room.get(node.name, Resources()).cpu_pct < 0.0 and not node.draining:
            enough_pct = node.capacity.cpu_pct - room[node.name].cpu_pct
            capacity = Resources(enough_pct, node.capacity.memory_mib)
            nodes[node.name] = msgspec.structs.replace(node, capacity=capacity)
    rules: list[Constraint] = []
    resumed: list[str] = []
    suspended: list[str] = []
    for sight in survey.sights:
        runs = sight.record.vjob.name in target.run
        if sight.held:
            continue
        instances |= _instances(sight, target, runs)
        rules += rules_of(sight.record.vjob)
        if runs:
            resumed += sight.asleep
            fixed += sight.awake if target.reserved else ()
        else:
            suspended += sight.awake
    rules += [Constraint("fence", (vm,), (node,), continuous=False) for vm, node in target.places.items()]
    draining = {name for name, node in nodes.items() if node.draining}
    fixed = [vm for vm in fixed if instances[vm].node not in draining]
    configuration = Configuration(nodes, instances)
    problem = problem_of(configuration, rules, fixed=fixed, resumed=resumed, objective=CHEAPEST)
    # The rules of the live system know nothing of sleep: the queue adds it, and who goes together.
    if suspended:
        asleep = Constraint("sleeping", tuple(suspended), continuous=False)
        problem = msgspec.structs.replace(problem, constraints=(*problem.constraints, asleep))
    grouped = {
        vm: msgspec.structs.replace(known, vjob=instances[vm].spec.ve)
        for vm, known in problem.cluster.vms.items()
    }
    return msgspec.structs.replace(problem, cluster=msgspec.structs.replace(problem.cluster, vms=grouped))


def _instances(sight: Sight, target: Target, runs: bool) -> dict[str, Instance]:
    found = dict[str, Instance]()
    for spec in sight.record.vjob.vms:
        there, need = sight.present.get(spec.id), target.needs.get(spec.id)
        demand = Resources(need.cpu_pct if need else 0.0, float(spec.memory_mib))
        if there is not None:
            found[spec.id] = msgspec.structs.replace(there, demand=demand)
        elif runs and spec.id in sight.unbegun:
            found[spec.id] = Instance(spec, None, VmState.READY, demand)
    return found


def turned(record: VjobRecord, state: VeState, now_s: float) -> VjobRecord:
    """The vjob in another state from now on; the time it spent in this one is accounted for."""
    if record.state is state:
        return record
    spent_s = now_s - record.changed_s
    running = record.state is VeState.RUNNING
    return msgspec.structs.replace(
        record,
        state=state,
        changed_s=now_s,
        ran_s=record.ran_s + (spent_s if running else 0.0),
        waited_s=record.waited_s + (0.0 if running else spent_s),
    )


def goal_of(sight: Sight, run: Collection[str]) -> VeState:
    """What the record shall say of the vjob once the switch has begun."""
    if sight.record.vjob.name in run:
        return VeState.RUNNING
    return VeState.SLEEPING if sight.record.begun else VeState.WAITING


def begun_switch(
    sight: Sight, goal: VeState, plan: Plan, needs: Mapping[str, Need], now_s: float
) -> VjobRecord:
    """The record before the plan is carried out: what becomes of the vjob, and where its VMs will be."""
    names = {spec.id for spec in sight.record.vjob.vms}
    places = dict(sight.record.places)
    for step in plan.actions:
        match step.action:
            case Boot(vm=vm, node=node) | Migrate(vm=vm, destination=node) if vm in names:
                places[vm] = node
    wanted = {vm: needs[vm].cpu_pct for vm in sight.awake if vm in needs}
    record = turned(sight.record, goal, now_s)
    if goal is not VeState.SLEEPING:
        wanted = sight.record.wanted_pct
    return msgspec.structs.replace(record, places=places, wanted_pct=wanted, switching=True)


def ended_switch(
    record: VjobRecord, plan: Plan, outcomes: Mapping[int, Executed | None], clean: bool
) -> VjobRecord:
    """The record afterwards: VMs whose boot is known to have worked have begun.

    Unless all went as planned (`clean`), the next round looks whether the vjob is what it shall be.
    """
    boots = {s.action.vm: outcomes.get(s.number) for s in plan.actions if isinstance(s.action, Boot)}
    worked = {vm for vm, answer in boots.items() if answer and answer.ok}
    refused = {vm for vm, answer in boots.items() if answer and not answer.ok}
    begun = tuple(spec.id for spec in record.vjob.vms if spec.id in worked or spec.id in record.begun)
    places = {vm: node for vm, node in record.places.items() if vm not in refused}
    return msgspec.structs.replace(record, begun=begun, places=places, switching=not clean)


def counted(plan: Plan) -> dict[str, int]:
    """How many actions of each kind the plan has."""
    kinds = {"boots": Boot, "suspends": Suspend, "resumes": Resume, "migrations": Migrate}
    return {name: sum(isinstance(s.action, kind) for s in plan.actions) for name, kind in kinds.items()}


def overfull(survey: Survey, needs: Iterable[Need]) -> bool:
    """Whether VMs of vjobs want more of some node than it has for them."""
    room = survey.room()
    load: dict[str, Resources] = {}
    for need in needs:
        if need.node and not need.bound:
            load[need.node] = load.get(need.node, Resources()) + Resources(need.cpu_pct, need.memory_mib)
    return any(not load[node].fits(room.get(node, Resources())) for node in load)
