"""Rules that contradict each other wherever VMs are placed, told when they are declared.

Only what is certain is told: the rules named cannot all hold while their VMs run, or while a plan acts upon
them. That nothing is told does not mean that a placement exists: only `solve` answers that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from lucos.model import Constraint, VmState
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.checked import group_of, names_in

_VM_STATES = ("running", "ready", "sleeping", "killed")
_NOT_RUNNING = frozenset({"ready", "sleeping", "killed"})
_BEFORE = ("before", "precedence")

Rules = Sequence[Constraint]


def named(rule: Constraint) -> str:
    """The rule and where it comes from: `spread({A, B}) (web.luc:12)`."""
    return f"{rule} ({rule.label})" if rule.label else str(rule)


def contradictions(constraints: Iterable[Constraint], cluster: Cluster) -> list[str]:
    """A message for each contradiction between hard rules; each names the rules concerned.

    Names in rules that the cluster does not know are taken as they are. O(names in rules), but for the nodes
    left to VMs, which costs the nodes of each different set of fences and bans.
    """
    rules = [rule for rule in constraints if not rule.weight]
    found: list[str] = []
    for look in (_states, _meetings, _orders):
        found += look(rules)
    places = _Places(rules, cluster)
    found += places.nowhere()
    found += places.rooted()
    found += places.crowded()
    return list(dict.fromkeys(found))


def _both(first: Constraint, second: Constraint, why: str) -> str:
    return f"{named(first)} and {named(second)} contradict each other: {why}"


def _states(rules: Rules) -> Iterator[str]:
    """A VM or node wanted in two states; more nodes wanted online than allowed."""
    for kinds, field in ((_VM_STATES, "vms"), (("online", "offline"), "nodes")):
        wanted: dict[str, Constraint] = {}
        for rule in rules:
            for name in getattr(rule, field) if rule.kind in kinds else ():
                first = wanted.setdefault(name, rule)
                if first.kind != rule.kind:
                    yield _both(first, rule, f"{name} cannot be {first.kind} and {rule.kind}")
    online = {name: rule for rule in rules if rule.kind == "online" for name in rule.nodes}
    for rule in rules:
        if rule.kind == "maxOnline":
            forced = [name for name in rule.nodes if name in online]
            if len(forced) > rule.amount:
                others = ", ".join(dict.fromkeys(named(online[name]) for name in forced))
                yield f"{named(rule)} contradicts {others}: {len(forced)} of its nodes are to be online"


def _meetings(rules: Rules) -> Iterator[str]:
    """Two VMs that have to share a node and must not."""
    gathers: defaultdict[str, list[Constraint]] = defaultdict(list)
    for rule in rules:
        for vm in rule.vms if rule.kind == "gather" else ():
            gathers[vm].append(rule)
    for rule in rules:
        if rule.kind not in ("spread", "split", "splitAmong"):
            continue
        seen: dict[int, tuple[int, str]] = {}
        for side, vms in enumerate([(vm,) for vm in rule.vms] or rule.sets):
            for vm in vms:
                for gather in gathers.get(vm, ()):
                    other, first = seen.setdefault(id(gather), (side, vm))
                    if other != side:
                        yield _both(gather, rule, f"{first} and {vm} cannot be together and apart")


def _orders(rules: Rules) -> Iterator[str]:
    """Orders that go round in a circle, or that ask for one instant and for different ones."""
    edges: dict[tuple[str, str], Constraint] = {}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for rule in rules:
        if rule.kind == "deadline" and rule.amount == 0:
            yield f"{named(rule)} leaves no time for any action"
        if rule.kind in _BEFORE or rule.kind == "seq":
            for first, second in pairwise(rule.vms):
                edges.setdefault((first, second), rule)
                sorter.add(second, first)
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        involved = dict.fromkeys(named(edges[pair]) for pair in pairwise(circle))
        yield f"{' and '.join(involved)} go round in a circle: {' before '.join(circle)}"
    in_turn: dict[str, list[Constraint]] = defaultdict(list)
    for rule in rules:
        for vm in rule.vms if rule.kind in (*_BEFORE, "serialize") else ():
            in_turn[vm].append(rule)
    for rule in rules:
        if rule.kind == "sync":
            seen: dict[int, str] = {}
            for vm in rule.vms:
                for other in in_turn.get(vm, ()):
                    first = seen.setdefault(id(other), vm)
                    if first != vm:
                        yield _both(other, rule, f"{first} and {vm} cannot start together and in turn")


def _nodes_in(rule: Constraint) -> Collection[str]:
    """The nodes a rule names; one object for all rules that name the same."""
    return names_in(rule.nodes) if rule.nodes else group_of(rule.groups)


class _Places:
    """Where each VM may run, by the rules that say so of it alone."""

    def __init__(self, rules: Rules, cluster: Cluster) -> None:
        self._rules = rules
        self._cluster = cluster
        self._stops = {vm for rule in rules if rule.kind in _NOT_RUNNING for vm in rule.vms}
        self._starts = {vm for rule in rules if rule.kind == "running" for vm in rule.vms}
        # Nodes that are closed to everybody, each with the first rule that closes it.
        self._closed: dict[str, Constraint] = {}
        self._by_vm: defaultdict[str, list[Constraint]] = defaultdict(list)
        for rule in rules:
            if rule.kind in ("drain", "offline"):
                for node in rule.nodes:
                    self._closed.setdefault(node, rule)
            elif rule.kind in ("fence", "ban", "among", "latency") and (rule.nodes or rule.groups):
                for vm in rule.vms:
                    self._by_vm[vm].append(rule)
        self._known: dict[tuple[int, ...], tuple[frozenset[str], list[int], Iterable[Constraint]]] = {}

    def _left(self, vm: str) -> tuple[frozenset[str], list[Constraint]]:
        """The nodes left to a VM, and the rules that took something away; until nothing is left."""
        own = self._by_vm.get(vm, [])
        key = tuple(number for rule in own for number in (rule.kind == "ban", id(_nodes_in(rule))))
        if key not in self._known:
            self._known[key] = self._narrowed(own)
        left, told, closing = self._known[key]
        return left, [*(own[i] for i in told), *closing]

    def _narrowed(self, own: list[Constraint]) -> tuple[frozenset[str], list[int], Iterable[Constraint]]:
        left, told = frozenset(self._cluster.nodes), []
        for number, rule in sorted(enumerate(own), key=lambda pair: pair[1].kind == "ban"):
            names = _nodes_in(rule)
            smaller = left.difference(names) if rule.kind == "ban" else left.intersection(names)
            if left and smaller != left:
                left = smaller
                told.append(number)
        closing = {id(rule): rule for node, rule in self._closed.items() if node in left}
        return left.difference(self._closed), told, closing.values()

    def _runs(self, vm: str) -> bool:
        """Whether the VM runs in every result."""
        now = self._cluster.vms.get(vm)
        running = now is not None and now.state in (VmState.RUNNING, VmState.PAUSED)
        return vm in self._starts or (running and vm not in self._stops)

    def nowhere(self) -> Iterator[str]:
        """VMs to which fences, bans and closed nodes leave no node."""
        told: set[tuple[int, ...]] = set()
        for vm in dict.fromkeys([*self._by_vm, *self._starts]) if self._cluster.nodes else ():
            left, rules = self._left(vm)
            key = tuple(map(id, rules))
            if not left and vm not in self._stops and key not in told:
                told.add(key)
                yield f"{' and '.join(map(named, rules))} leave {vm} no node to run on"

    def rooted(self) -> Iterator[str]:
        """VMs that must stay on a node where they may not be."""
        for rule in self._rules:
            for vm in rule.vms if rule.kind == "root" else self._inside(rule):
                now = self._cluster.vms.get(vm)
                if now is None or now.node is None or not self._runs(vm) or now.state is VmState.READY:
                    continue
                yield from self._away(rule, vm, now.node)

    def _inside(self, rule: Constraint) -> list[str]:
        if rule.kind != "quarantine":
            return []
        closed = names_in(rule.nodes)
        return [vm.name for vm in self._cluster.vms.values() if vm.node in closed]

    def _away(self, stay: Constraint, vm: str, node: str) -> Iterator[str]:
        why = f"{vm} has to stay on {node} and to leave it"
        if node in self._closed:
            yield _both(stay, self._closed[node], why)
        for rule in self._by_vm.get(vm, ()):
            if (node in _nodes_in(rule)) == (rule.kind == "ban"):
                yield _both(stay, rule, why)

    def crowded(self) -> Iterator[str]:
        """Spreads of more running VMs than the nodes that are left to them."""
        for rule in self._rules:
            if rule.kind == "spread":
                running = [vm for vm in rule.vms if self._runs(vm)]
                left = [self._left(vm) for vm in running]
                if any(len(nodes) >= len(running) for nodes, _ in left):
                    continue
                room = frozenset[str]().union(*(nodes for nodes, _ in left))
                if 0 < len(room) < len(running):
                    others = dict.fromkeys(named(other) for _, rules in left for other in rules)
                    with_them = f" with {' and '.join(others)}" if others else ""
                    count = f"{len(running)} VMs run, {len(room)} nodes are left to them"
                    yield f"{named(rule)}{with_them}: {count}"
