"""The independent judge of plans: every instant of every order of execution that the dependencies allow.

It shares only the meaning of rules with the solver. An action starts at any time after what it depends on
has ended and takes as long as it likes; from its start to its end its VM holds both nodes. Rules are judged
by pairs of VMs while one moves; what a node may have to hold is found for all orders at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from lucos.model import Boot, Configuration, Constraint, Migrate, Plan, PlannedAction, Resources
from lucos.placement.legacy_rules import Hosts, broken, broken_by

# The slack of Resources.fits.
ROUNDING = 1e-3


def check(configuration: Configuration, rules: tuple[Constraint, ...], plan: Plan) -> list[str]:
    """What the plan breaks, the action at fault named; empty when it holds at every instant.

    A rule or a node already broken at the start may be broken on the way, and must hold at the end. Raises
    `ValueError` for kinds of action that placement does not make.
    """
    faults = _malformed(configuration, plan)
    if faults:
        return faults
    ancestors = _ancestors(plan)
    moves = {step.action.vm: step for step in plan.actions}
    start: Hosts = {vm: {i.node} for vm, i in configuration.instances.items() if i.node is not None}
    end = start | {step.action.vm: {_ends(step)[1]} for step in plan.actions}

    def held(vm: str, at: PlannedAction) -> set[str]:
        """The nodes that `vm` may hold while `at` is under way."""
        move = moves.get(vm)
        if move is None or at.number in ancestors[move.number]:
            return start.get(vm, set())
        return end[vm] if move.number in ancestors[at.number] else start.get(vm, set()) | end[vm]

    sound = [rule for rule in rules if rule.continuous and not broken(rule, start)]
    for step in plan.actions:
        vm, (_, destination) = step.action.vm, _ends(step)
        if configuration.nodes[destination].draining:
            faults.append(f"action {step.number}: {destination} is draining")
        for rule in (r for r in sound if vm in r.vms):
            why = broken_by(rule, vm, {other: held(other, step) for other in rule.vms})
            faults += [f"action {step.number}: {why}"] if why else []
    for name in configuration.nodes:
        faults += _overloads(configuration, plan, ancestors, name)
    faults += [f"at the end: {why}" for rule in rules if (why := broken(rule, end))]
    return faults + _left_over(configuration, end)


def _ends(step: PlannedAction) -> tuple[str | None, str]:
    match step.action:
        case Migrate(source=source, destination=destination):
            return source, destination
        case Boot(node=node):
            return None, node
        case other:
            raise ValueError(f"{type(other).__name__} is not an action of placement")


def _malformed(configuration: Configuration, plan: Plan) -> list[str]:
    """Why the plan makes no sense, whatever the loads and rules."""
    faults = []
    numbers = Counter(step.number for step in plan.actions)
    vms = Counter(step.action.vm for step in plan.actions)
    for step in plan.actions:
        vm, (source, destination) = step.action.vm, _ends(step)
        instance = configuration.instances.get(vm)
        if instance is None or destination not in configuration.nodes:
            faults.append(f"action {step.number}: {step.action} names what is not in the configuration")
        elif source != instance.node or destination == source:
            faults.append(f"action {step.number}: {vm} is on {instance.node or 'no node'}")
        if vms[vm] > 1 or numbers[step.number] > 1:
            faults.append(f"action {step.number}: {vm} or this number has another action")
        unknown = [number for number in step.depends_on if number not in numbers]
        if unknown:
            faults.append(f"action {step.number}: depends on {unknown[0]}, which is not in the plan")
    try:
        TopologicalSorter({step.number: step.depends_on for step in plan.actions}).prepare()
    except CycleError as error:
        faults.append(f"action {error.args[1][0]}: depends on itself")
    return faults


def _ancestors(plan: Plan) -> dict[int, set[int]]:
    """For each action, those that have ended when it starts."""
    direct = {step.number: step.depends_on for step in plan.actions}
    closed: dict[int, set[int]] = {}
    for number in TopologicalSorter(direct).static_order():
        closed[number] = set(direct[number]).union(*(closed[parent] for parent in direct[number]))
    return closed


def _overloads(
    configuration: Configuration, plan: Plan, ancestors: dict[int, set[int]], name: str
) -> list[str]:
    before, capacity = configuration.load(name), configuration.nodes[name].capacity
    arrivals = [step for step in plan.actions if _ends(step)[1] == name]
    departures = [step for step in plan.actions if _ends(step)[0] == name]
    faults = []
    for resource, unit in (("cpu_pct", "% CPU"), ("memory_mib", "MiB")):

        def amounts(steps: list[PlannedAction], resource: str = resource) -> dict[int, float]:
            return {s.number: getattr(configuration.instances[s.action.vm].demand, resource) for s in steps}

        base, room = getattr(before, resource), getattr(capacity, resource)
        more, at_fault = _peak(amounts(arrivals), amounts(departures), ancestors)
        # A node that was overloaded at first may stay so until relieved, but never gets worse.
        if base + more > max(room, base) + ROUNDING:
            actions = ", ".join(str(number) for number in at_fault)
            faults.append(f"action {actions}: {name} would hold {base + more:.0f} of {room:.0f} {unit}")
    return faults


def _peak(
    arrivals: dict[int, float], departures: dict[int, float], ancestors: dict[int, set[int]]
) -> tuple[float, list[int]]:
    """The most a node may come to hold beyond its first load, over all orders, and the arrivals that do it.

    Arrivals bring their amounts, but one that has started implies that the departures before it have ended:
    the choice of arrivals that is worth most is a closure of largest weight, which a maximal flow from
    arrivals to the departures they waited for finds.
    """
    needs = {a: [d for d in departures if d in ancestors[a]] for a in arrivals}
    left = arrivals | departures
    flow: defaultdict[tuple[int, int], float] = defaultdict(float)
    while True:
        came_from = {a: a for a in arrivals if left[a] > ROUNDING}
        queue = list(came_from)
        for here in queue:
            if here in departures and left[here] > ROUNDING:
                break
            back = (a for a in arrivals if flow[a, here] > ROUNDING)
            for there in needs.get(here, back):
                if there not in came_from:
                    came_from[there] = here
                    queue.append(there)
        else:
            chosen = [a for a in arrivals if a in came_from]
            gone = (departures[d] for d in departures if d in came_from)
            return sum(arrivals[a] for a in chosen) - sum(gone), chosen
        path = [here]
        while came_from[path[-1]] != path[-1]:
            path.append(came_from[path[-1]])
        links = [
            ((there, here), 1.0) if there in arrivals else ((here, there), -1.0)
            for here, there in pairwise(path)
        ]
        amount = min(left[path[0]], left[path[-1]], *(flow[link] for link, sign in links if sign < 0))
        left[path[0]] -= amount
        left[path[-1]] -= amount
        for link, sign in links:
            flow[link] += sign * amount


def _left_over(configuration: Configuration, end: Hosts) -> list[str]:
    """Nodes that are overloaded, or draining and not empty, when all is done."""
    faults = []
    for name, node in configuration.nodes.items():
        left = [vm for vm, nodes in end.items() if name in nodes]
        load = sum((configuration.instances[vm].demand for vm in left), Resources())
        if node.draining and left:
            faults.append(f"at the end: {name} is draining and still holds {', '.join(left)}")
        elif not node.draining and not load.fits(node.capacity):
            faults.append(
                f"at the end: {name} holds {load.cpu_pct:.0f} of {node.capacity.cpu_pct:.0f} % CPU "
                f"and {load.memory_mib:.0f} of {node.capacity.memory_mib:.0f} MiB"
            )
    return faults
