"""The independent judge of plans: every instant of every order of execution that the dependencies allow.

It shares only the meaning of rules with the solver. An action may overlap every other one that is neither
its ancestor nor its descendant; at its start its VM holds both nodes. So for an action the worst instant is:
ancestors ended, and everything unordered with it already arrived and not yet gone.
"""

from __future__ import annotations

from lucos.model import Boot, Configuration, Constraint, Migrate, Plan, PlannedAction, Resources
from lucos.placement.rules import Hosts, broken


def _ancestors(plan: Plan) -> dict[int, set[int]]:
    direct = {a.number: a.depends_on for a in plan.actions}
    closed: dict[int, set[int]] = {}

    def close(number: int, path: tuple[int, ...]) -> set[int]:
        if number in path:
            raise ValueError(f"action {number} depends on itself")
        if number not in closed:
            found = set(direct[number])
            for parent in direct[number]:
                found |= close(parent, (*path, number))
            closed[number] = found
        return closed[number]

    for number in direct:
        close(number, ())
    return closed


def _ends(action: PlannedAction) -> tuple[str | None, str]:
    match action.action:
        case Migrate(source=source, destination=destination):
            return source, destination
        case Boot(node=node):
            return None, node
        case other:
            raise ValueError(f"{type(other).__name__} is not an action of placement")


def worst_hosts(configuration: Configuration, plan: Plan, at: PlannedAction) -> Hosts:
    """VM -> nodes it may hold while `at` starts, over all orders the plan allows."""
    ancestors = _ancestors(plan)
    hosts: Hosts = {vm: {i.node} for vm, i in configuration.instances.items() if i.node is not None}
    for other in plan.actions:
        source, destination = _ends(other)
        holds = hosts.setdefault(other.action.vm, set())
        if other.number in ancestors[at.number]:
            if source is not None:
                holds.discard(source)
            holds.add(destination)
        elif at.number not in ancestors[other.number]:
            holds.add(destination)
    return hosts


def _overloaded(configuration: Configuration, hosts: Hosts, before: dict[str, Resources], node: str) -> str:
    load = Resources()
    for vm, nodes in hosts.items():
        if node in nodes:
            load += configuration.instances[vm].demand
    capacity = configuration.nodes[node].capacity
    # A node that was overloaded at first may stay so until relieved, but never gets worse.
    limit = Resources(
        max(capacity.cpu_pct, before[node].cpu_pct), max(capacity.memory_mib, before[node].memory_mib)
    )
    if load.fits(limit):
        return ""
    return (
        f"{node} would hold {load.cpu_pct:.0f} % CPU and {load.memory_mib:.0f} MiB "
        f"of {capacity.cpu_pct:.0f} % and {capacity.memory_mib:.0f} MiB"
    )


def check(configuration: Configuration, rules: tuple[Constraint, ...], plan: Plan) -> list[str]:
    """What the plan breaks, the action at fault named; empty when it holds at every instant.

    A rule or a node already broken at the start may be broken on the way, and must hold at the end.
    """
    faults: list[str] = []
    start: Hosts = {vm: {i.node} for vm, i in configuration.instances.items() if i.node is not None}
    before = {node: configuration.load(node) for node in configuration.nodes}
    sound = [rule for rule in rules if rule.continuous and not broken(rule, start)]
    end = {vm: set(nodes) for vm, nodes in start.items()}
    for step in plan.actions:
        source, destination = _ends(step)
        if step.action.vm not in configuration.instances or destination not in configuration.nodes:
            faults.append(f"action {step.number}: {step.action} names what is not in the configuration")
            continue
        if source != configuration.instances[step.action.vm].node:
            faults.append(f"action {step.number}: {step.action.vm} is not on {source}")
        if configuration.nodes[destination].draining:
            faults.append(f"action {step.number}: {destination} is draining")
        hosts = worst_hosts(configuration, plan, step)
        why = _overloaded(configuration, hosts, before, destination)
        faults += [f"action {step.number}: {why}"] if why else []
        # Rules see only the VMs' places; a gathered VM cannot move alone and stay gathered on the way.
        faults += [f"action {step.number}: {why}" for rule in sound if (why := broken(rule, hosts))]
        end[step.action.vm] = {destination}
    faults += [f"at the end: {why}" for rule in rules if (why := broken(rule, end))]
    for name, node in configuration.nodes.items():
        left = [vm for vm, nodes in end.items() if name in nodes]
        load = sum((configuration.instances[vm].demand for vm in left), Resources())
        if node.draining and left:
            faults.append(f"at the end: {name} is draining and still holds {', '.join(left)}")
        elif not load.fits(node.capacity):
            faults.append(f"at the end: {name} is overloaded ({load.cpu_pct:.0f} % CPU)")
    return faults
