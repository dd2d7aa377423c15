"""The live system's configurations as problems of placement, and its rules judged at an instant.

What the live system measures and promises are CPU (percent of a core) and memory (MiB). Rules travel with the
VMs they bind, so a part of the system may know rules about VMs and nodes it knows nothing else of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lucos.model import Configuration, Constraint, Instance, Resources, VmState
from lucos.placement.cluster import Cluster, Node, Quantities, Vm
from lucos.placement.constraints.amounts import virtual
from lucos.placement.durations import Durations, Linear
from lucos.placement.judging import narrowed
from lucos.placement.moment import Moment
from lucos.placement.problem import Objective, Problem

CPU = "cpu_pct"
MEMORY = "memory_mib"

DURATIONS = Durations(
    {
        "boot": Linear(5.0),
        "shutdown": Linear(5.0),
        "kill": Linear(0.1),
        "pause": Linear(0.1),
        "unpause": Linear(0.1),
        "migrate": Linear(2.0, 0.01),
        "suspend": Linear(1.0, 0.01),
        "resume": Linear(0.5, 0.01),
        "boot_node": Linear(300.0),
        "shutdown_node": Linear(10.0),
    },
    memory=MEMORY,
    tick_s=0.1,
)
"""What actions take on the hosts it was measured on: memory moves and is saved at some 100 MiB/s."""

NOT_LIVE = {
    **dict.fromkeys(("online", "offline", "maxOnline"), "hosts are switched on and off by people"),
    **dict.fromkeys(
        ("running", "ready", "sleeping", "killed"), "luc run, stop and kill say what state VMs are in"
    ),
}
"""Kinds of rules that have no place in the live system, and why."""

_NOT_JUDGED = frozenset({*NOT_LIVE, "preserve", "overbook", "headroom"})
"""These say how much room there is, which plans, admission and the detection of overloads account for."""

# What these count on nodes elsewhere is not known: here it may at least not grow.
_TOTALS = frozenset({"runningCapacity", "resourceCapacity"})


def problem_of(
    configuration: Configuration,
    constraints: Iterable[Constraint],
    *,
    headroom: float = 0.0,
    fixed: Iterable[str] = (),
    resumed: Iterable[str] = (),
    ended: Iterable[str] = (),
    objective: tuple[Objective, ...] = (Objective.MIGRATIONS,),
) -> Problem:
    """Bring `configuration`, which may be a part of the cluster, to satisfy `constraints`.

    Instances without node are to run, and so are those `resumed`, which sleep, on the nodes that hold their
    memory. Those `ended` are shut down. VMs in `fixed` stay, and so do VMs bound to others that are not known
    here. `headroom` is the fraction of a receiving node's CPU that stays free. Draining nodes are emptied.
    """
    known = configuration.instances
    stays = dict.fromkeys(fixed)
    rules: dict[Constraint, None] = {}
    floors: dict[str, Quantities] = {}
    now = moment_of(configuration)
    for constraint in dict.fromkeys(constraints):
        part = narrowed(constraint, known, configuration.nodes)
        rule = part.rule
        if rule is None or rule.kind in NOT_LIVE:
            continue
        if rule.kind == "preserve":
            for vm in rule.vms:
                floor = floors.setdefault(vm, {})
                floor[rule.resource] = max(rule.amount, floor.get(rule.resource, 0.0))
            continue
        if part.blind and rule.kind in _TOTALS:
            rule = _not_more(rule, now)
        elif part.blind:
            stays.update(dict.fromkeys((*rule.vms, *(vm for names in rule.sets for vm in names))))
        rules[rule] = None
    for vm, instance in known.items():
        if instance.node is None:
            rules[Constraint("running", (vm,), continuous=False)] = None
    for vm in ended:
        rules[Constraint("ready", (vm,), continuous=False)] = None
    for vm in resumed:
        rules[Constraint("running", (vm,), continuous=False)] = None
        rules[Constraint("fence", (vm,), (known[vm].node or "",), continuous=False)] = None
    held = tuple(vm for vm in stays if vm in known and now.of(vm))
    if held:
        rules[Constraint("root", held)] = None
    draining = tuple(name for name, node in configuration.nodes.items() if node.draining)
    if draining:
        rules[Constraint("drain", nodes=draining, continuous=False)] = None
    if headroom:
        everywhere = tuple(configuration.nodes)
        rules[Constraint("headroom", nodes=everywhere, continuous=False, resource=CPU, amount=headroom)] = (
            None
        )
    return Problem(_cluster(configuration, floors), tuple(rules), objective, DURATIONS)


def judged(rules: Iterable[Constraint]) -> list[Constraint]:
    """Those of `rules` that hosts must keep at this moment, each once: hard ones that are not about room."""
    return [rule for rule in dict.fromkeys(rules) if not rule.weight and rule.kind not in _NOT_JUDGED]


def overbooked(capacity: Resources, node: str, rules: Iterable[Constraint]) -> Resources:
    """What `node` of this physical capacity offers where rules overbook it: the least of them counts."""
    room = {CPU: capacity.cpu_pct, MEMORY: capacity.memory_mib}
    most: dict[str, float] = {}
    for rule in rules:
        if rule.kind == "overbook" and node in rule.nodes and rule.resource in room:
            offered = virtual(room[rule.resource], rule.amount)
            most[rule.resource] = min(offered, most.get(rule.resource, offered))
    room |= most
    return Resources(room[CPU], room[MEMORY])


def moment_of(configuration: Configuration, start: Moment | None = None) -> Moment:
    """The configuration as an instant that rules are judged at; `start` is the one before it, if any."""
    return Moment(
        {
            vm: frozenset((instance.node,))
            for vm, instance in configuration.instances.items()
            if instance.node is not None and instance.state in (VmState.RUNNING, VmState.PAUSED)
        },
        _cluster(configuration, {}),
        {vm: instance.state for vm, instance in configuration.instances.items()},
        start=start,
    )


def _cluster(configuration: Configuration, floors: Mapping[str, Quantities]) -> Cluster:
    nodes = {
        name: Node(name, _amounts(node.capacity.cpu_pct, node.capacity.memory_mib), node.online, node.site)
        for name, node in configuration.nodes.items()
    }
    vms = {
        vm: Vm(vm, _demand(instance, floors.get(vm, {})), instance.node, instance.state)
        for vm, instance in configuration.instances.items()
    }
    return Cluster(nodes, vms)


def _demand(instance: Instance, floor: Quantities) -> Quantities:
    measured = _amounts(instance.demand.cpu_pct, instance.demand.memory_mib)
    return {resource: max(amount, floor.get(resource, 0.0)) for resource, amount in measured.items()}


def _amounts(cpu_pct: float, memory_mib: float) -> Quantities:
    # Tenths are what measuring can tell, and exact as integers for the solver.
    return {CPU: round(cpu_pct, 1), MEMORY: round(memory_mib, 1)}


def _not_more(rule: Constraint, now: Moment) -> Constraint:
    """The total of `rule` kept to what it is now on the nodes that are known, unless that is too much."""
    guests = dict.fromkeys(vm for node in rule.nodes for vm in now.guests(node))
    count = rule.kind == "runningCapacity"
    total = float(len(guests)) if count else sum(now.allocated(vm, rule.resource) for vm in guests)
    return Constraint(
        rule.kind,
        nodes=rule.nodes,
        continuous=rule.continuous,
        resource=rule.resource,
        amount=min(rule.amount, total),
        weight=rule.weight,
        label=rule.label,
    )
