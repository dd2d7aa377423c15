"""Small configurations, rules and plans, and what is true of them found by trying everything."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations

from hypothesis import strategies as st

from lucos.model import (
    Boot,
    Configuration,
    Constraint,
    Instance,
    Migrate,
    Node,
    Plan,
    PlannedAction,
    Resources,
    VmSpec,
    VmState,
)
from lucos.placement import broken

Where = dict[str, set[str]]


def configuration_of(
    capacities: dict[str, tuple[float, float]],
    vms: dict[str, tuple[str | None, float, float]],
    draining: tuple[str, ...] = (),
) -> Configuration:
    """Nodes `name: (cpu_pct, memory_mib)`, VMs `name: (node, cpu_pct, memory_mib)`."""
    nodes = {
        name: Node(name, Resources(*room), draining=name in draining) for name, room in capacities.items()
    }
    instances = {
        name: Instance(
            VmSpec(name, "ve", "mini"),
            node,
            VmState.RUNNING if node else VmState.READY,
            Resources(cpu_pct, memory_mib),
        )
        for name, (node, cpu_pct, memory_mib) in vms.items()
    }
    return Configuration(nodes, instances)


def plan_of(*steps: tuple[str, str | None, str], after: dict[int, tuple[int, ...]] | None = None) -> Plan:
    """A plan of `(vm, source or None, destination)`, numbered from 1; `after` gives the dependencies."""
    return Plan(
        tuple(
            PlannedAction(
                number,
                Migrate(vm, source, there) if source else Boot(vm, there),
                (after or {}).get(number, ()),
            )
            for number, (vm, source, there) in enumerate(steps, 1)
        )
    )


def start_of(configuration: Configuration) -> Where:
    return {vm: {i.node} if i.node else set() for vm, i in configuration.instances.items()}


def instants(configuration: Configuration, plan: Plan) -> Iterator[Where]:
    """Where VMs are in every state that some order of starts and ends allowed by the dependencies reaches."""
    todo: list[tuple[frozenset[int], frozenset[int]]] = [(frozenset(), frozenset())]
    seen = set(todo)
    while todo:
        started, ended = todo.pop()
        where = start_of(configuration)
        for step in plan.actions:
            there = step.action.destination if isinstance(step.action, Migrate) else step.action.node
            if step.number in ended:
                where[step.action.vm] = {there}
            elif step.number in started:
                where[step.action.vm] = where[step.action.vm] | {there}
        yield where
        ready = [s.number for s in plan.actions if s.number not in started and set(s.depends_on) <= ended]
        after = [(started | {n}, ended) for n in ready] + [(started, ended | {n}) for n in started - ended]
        todo += [state for state in after if state not in seen]
        seen.update(after)


def load_of(configuration: Configuration, where: Where, node: str) -> Resources:
    here = (configuration.instances[vm].demand for vm, nodes in where.items() if node in nodes)
    return sum(here, Resources())


def is_faulty(configuration: Configuration, rules: tuple[Constraint, ...], plan: Plan) -> bool:
    """Whether some instant breaks what held at first or overloads a node further, or the end is not sound."""
    start = start_of(configuration)
    sound = [rule for rule in rules if rule.continuous and not broken(rule, start)]
    where = start
    for where in instants(configuration, plan):
        if any(broken(rule, where) for rule in sound):
            return True
        for name, node in configuration.nodes.items():
            load, first = load_of(configuration, where, name), load_of(configuration, start, name)
            limit = Resources(
                max(node.capacity.cpu_pct, first.cpu_pct), max(node.capacity.memory_mib, first.memory_mib)
            )
            if not load.fits(limit):
                return True
    end = start | {
        s.action.vm: {s.action.destination if isinstance(s.action, Migrate) else s.action.node}
        for s in plan.actions
    }
    arrived = {next(iter(end[step.action.vm])) for step in plan.actions}
    if any(configuration.nodes[name].draining for name in arrived):
        return True
    return not is_sound(configuration, rules, end)


def is_sound(configuration: Configuration, rules: tuple[Constraint, ...], where: Where) -> bool:
    """Whether rules hold, no node is overloaded and draining nodes are empty."""
    for name, node in configuration.nodes.items():
        load = load_of(configuration, where, name)
        if any(name in nodes for nodes in where.values()) if node.draining else not load.fits(node.capacity):
            return False
    return not any(broken(rule, where) for rule in rules)


def short_repairs(
    configuration: Configuration, rules: tuple[Constraint, ...], fixed: frozenset[str] = frozenset()
) -> Iterator[Plan]:
    """The faultless plans of at most two moves, one after the other, that leave no VM waiting."""
    waiting = {vm for vm, i in configuration.instances.items() if i.node is None}
    moves = [
        (vm, instance.node, name)
        for vm, instance in configuration.instances.items()
        for name in configuration.nodes
        if name != instance.node and vm not in fixed
    ]
    choices = [(), *combinations(moves, 1), *permutations(moves, 2)]
    for chosen in choices:
        moved = [vm for vm, _, _ in chosen]
        if len(set(moved)) == len(moved) and waiting <= set(moved):
            plan = plan_of(*chosen, after={2: (1,)})
            if not is_faulty(configuration, rules, plan):
                yield plan


NODES = ("n1", "n2", "n3", "n4")
VMS = ("a", "b", "c", "d", "e")
sizes_cpu = st.sampled_from([10.0, 20.0, 30.0, 40.0, 60.0])
sizes_mib = st.sampled_from([100.0, 200.0, 300.0])


@st.composite
def worlds(draw: st.DrawFn, *, waiting: bool = True) -> tuple[Configuration, tuple[Constraint, ...]]:
    """Two to four nodes, one to five VMs, up to three rules; some overloaded, broken or draining."""
    names = NODES[: draw(st.integers(2, 4))]
    vms = VMS[: draw(st.integers(1, 5))]
    rooms = st.tuples(st.sampled_from([60.0, 80.0, 100.0]), st.sampled_from([400.0, 600.0, 1000.0]))
    homes = st.sampled_from([*names, None]) if waiting else st.sampled_from(names)
    configuration = configuration_of(
        {name: draw(rooms) for name in names},
        {vm: (draw(homes), draw(sizes_cpu), draw(sizes_mib)) for vm in vms},
        draining=tuple(draw(st.lists(st.sampled_from(names), max_size=1))),
    )
    some_vms = st.lists(st.sampled_from(vms), min_size=1, max_size=3, unique=True).map(tuple)
    some_nodes = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True).map(tuple)
    rule = st.one_of(
        st.builds(Constraint, st.sampled_from(["spread", "gather"]), some_vms, continuous=st.booleans()),
        st.builds(Constraint, st.sampled_from(["ban", "fence"]), some_vms, some_nodes, st.booleans()),
    )
    return configuration, tuple(draw(st.lists(rule, max_size=3)))


@st.composite
def plans(draw: st.DrawFn, configuration: Configuration) -> Plan:
    """Moves of some of the VMs to other nodes, with dependencies that make no cycle."""
    movers = draw(st.permutations(list(configuration.instances)))
    movers = movers[: draw(st.integers(0, len(movers)))]
    steps, after = [], {}
    for number, vm in enumerate(movers, 1):
        home = configuration.instances[vm].node
        others = [name for name in configuration.nodes if name != home]
        steps.append((vm, home, draw(st.sampled_from(others))))
        after[number] = tuple(sorted(draw(st.sets(st.integers(1, number - 1))))) if number > 1 else ()
    shuffled = draw(st.permutations(plan_of(*steps, after=after).actions))
    return Plan(tuple(shuffled))
