"""Whether a problem makes sense: every name known, every amount a number, every rule as its kind is written.

What contradicts what, although each rule by itself makes sense, is told by `contradictions`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from lucos.errors import InputError
from lucos.model import Constraint, VmState
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.constraints import KINDS
from lucos.placement.contradictions import contradictions, named
from lucos.placement.problem import Problem

__all__ = ["contradictions", "validate"]

FAULTS_MAX = 20
_HOLDING = (VmState.RUNNING, VmState.PAUSED)
_FIELD_OF = {Role.VM: "vms", Role.NODE: "nodes"}
_WORDS = {
    "vms": "VMs",
    "nodes": "nodes",
    "sets": "sets of VMs",
    "groups": "groups of nodes",
    "resource": "a resource",
    "amount": "an amount",
}


def validate(problem: Problem) -> None:
    """Raise `InputError` with all that is wrong (the first `FAULTS_MAX`), naming the objects at fault.

    O(VMs + nodes + names in rules); sets of names that several rules share are looked at once.
    """
    found = _faults(problem)
    shown = list(islice(found, FAULTS_MAX))
    if not shown:
        return
    more = sum(1 for _ in islice(found, 1000))
    rest = f"\n... {more}{'+' if more == 1000 else ''} more" if more else ""
    raise InputError("\n".join(shown) + rest, hint="nothing was solved: correct the problem and ask again")


def _faults(problem: Problem) -> Iterator[str]:
    yield from _options(problem)
    yield from _nodes(problem.cluster)
    yield from _vms(problem.cluster)
    yield from _network(problem.cluster)
    yield from _ongoing(problem)
    yield from _Rules(problem.cluster).faults(problem.constraints)


def _bad(amounts: Collection[float]) -> bool:
    """Whether an amount is negative, infinite or no number (which only the sum tells)."""
    return bool(amounts) and not (min(amounts) >= 0 and sum(amounts) < math.inf)


def _wrong(what: str, amounts: dict[str, float]) -> Iterator[str]:
    for name, amount in amounts.items():
        if _bad((amount,)):
            yield f"{what}: {name} is {amount:g}: amounts are numbers, 0 or more"


def _options(problem: Problem) -> Iterator[str]:
    limits = problem.limits
    for name in ("migrations", "out_per_node", "in_per_node"):
        value = getattr(limits, name)
        if value is not None and value < 0:
            yield f"limits: {name} is {value}: it cannot be negative"
    if not 0 < problem.horizon_s < math.inf:
        yield f"horizon_s is {problem.horizon_s:g}: a plan needs a time above 0 to end in"
    if not 0 < problem.durations.tick_s < math.inf:
        yield f"durations: tick_s is {problem.durations.tick_s:g}: it must be above 0"
    for kind, formula in problem.durations.formulas.items():
        yield from _wrong(
            f"durations of {kind}", {"base_s": formula.base_s, "per_unit_s": formula.per_unit_s}
        )
    for number, objective in enumerate(problem.objective):
        if objective in problem.objective[:number]:
            yield f"objective {objective} is named twice"


def _nodes(cluster: Cluster) -> Iterator[str]:
    for name, node in cluster.nodes.items():
        if node.name != name:
            yield f"node {name} is called {node.name}: a node has one name"
        if _bad(node.capacity.values()):
            yield from _wrong(f"capacity of node {name}", node.capacity)
        if node.durations_s and _bad(node.durations_s.values()):
            yield from _wrong(f"durations of node {name}", node.durations_s)
        if node.watts and (len(node.watts) == 1 or _bad(node.watts)):
            yield f"node {name}: watts are two numbers or more, from idle to full, 0 or more"


def _vms(cluster: Cluster) -> Iterator[str]:
    nodes = cluster.nodes
    offered = {resource for node in nodes.values() for resource in node.capacity}
    online = {name for name, node in nodes.items() if node.online}
    for name, vm in cluster.vms.items():
        if vm.name != name:
            yield f"VM {name} is called {vm.name}: a VM has one name"
        if _bad(vm.demand.values()):
            yield from _wrong(f"demand of VM {name}", vm.demand)
        if not vm.demand.keys() <= offered:
            for resource in vm.demand.keys() - offered:
                if vm.demand[resource] > 0:
                    yield f"VM {name} demands {resource}, which no node offers"
        if vm.durations_s and _bad(vm.durations_s.values()):
            yield from _wrong(f"durations of VM {name}", vm.durations_s)
        if _bad((vm.memory_used_mib, vm.hot_dirty_mib, vm.hot_dirty_s, vm.cold_dirty_mibps)):
            yield f"VM {name}: memory_used_mib and dirty rates are numbers, 0 or more"
        if vm.state is not VmState.RUNNING or vm.node not in online:
            wrong = _place(vm, nodes)
            if wrong:
                yield f"VM {name} {wrong}"


def _place(vm: Vm, nodes: dict[str, Node]) -> str:
    """What is wrong with where the VM is; empty when nothing is."""
    if vm.state in _HOLDING or vm.state is VmState.SLEEPING:
        if vm.node is None:
            return f"is {vm.state} on no node"
        node = nodes.get(vm.node)
        if node is None:
            return f"is {vm.state} on {vm.node}, which is unknown{_suggestion(vm.node, nodes)}"
        return "" if node.online else f"is {vm.state} on {vm.node}, which is offline"
    return "" if vm.node is None else f"is {vm.state} and has a node, {vm.node}"


def _network(cluster: Cluster) -> Iterator[str]:
    for one, row in cluster.rtt_ms.items():
        yield from _wrong(f"round trips (ms) of {one}", row)
    if cluster.network is None:
        return
    switches = {switch.name for switch in cluster.network.switches}
    links = {link.name for link in cluster.network.links}
    for switch in cluster.network.switches:
        if switch.capacity_mbps is not None and _bad((switch.capacity_mbps,)):
            yield f"switch {switch.name}: its capacity is {switch.capacity_mbps:g}"
    for link in cluster.network.links:
        if _bad((link.capacity_mbps,)) or link.capacity_mbps == 0:
            yield f"link {link.name}: its capacity is {link.capacity_mbps:g}"
        if link.switch not in switches:
            yield f"link {link.name}: there is no switch {link.switch}{_suggestion(link.switch, switches)}"
        ends = cluster.nodes if link.end_is_node else switches
        if link.end not in ends:
            what = "node" if link.end_is_node else "switch"
            yield f"link {link.name}: there is no {what} {link.end}{_suggestion(link.end, ends)}"
    for source, routes in cluster.network.routes.items():
        for destination, names in routes.items():
            unknown = [end for end in (source, destination) if end not in cluster.nodes]
            unknown += [name for name in names if name not in links]
            if unknown:
                yield f"route from {source} to {destination}: {unknown[0]} is unknown"


def _ongoing(problem: Problem) -> Iterator[str]:
    for step in problem.ongoing:
        action = step.action
        if action.vm and action.vm not in problem.cluster.vms:
            yield f"ongoing {action.vm}: there is no such VM{_suggestion(action.vm, problem.cluster.vms)}"
        for field in ("node", "source", "destination"):
            node = getattr(action, field, "")
            if node and node not in problem.cluster.nodes:
                yield f"ongoing action on {action.vm or node}: there is no node {node}"
        if not math.isfinite(step.start_s) or not math.isfinite(step.end_s) or step.end_s < 0:
            yield f"ongoing action on {action.vm}: it ends at {step.end_s:g} s: it would be over"


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(islice(known, 2000)), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class _Rules:
    """Looks at rules; tuples of names that were found sound are not looked at again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._resources = {name for node in cluster.nodes.values() for name in node.capacity}
        self._resources |= {name for vm in cluster.vms.values() for name in vm.demand}
        self._shapes: set[tuple[object, ...]] = set()
        # By identity, for tuples that rules share (kept, so that it stays theirs), and by content.
        self._seen: dict[tuple[str, int], object] = {}
        self._equal: set[tuple[str, object]] = set()

    def faults(self, rules: Iterable[Constraint]) -> Iterator[str]:
        for rule in rules:
            for fault in self._of(rule):
                yield f"{named(rule)}: {fault}"

    def _of(self, rule: Constraint) -> Iterator[str]:
        kind = KINDS.get(rule.kind)
        if kind is None:
            close = _suggestion(rule.kind, KINDS)
            yield f"there is no constraint {rule.kind}{close or '; known are ' + ', '.join(KINDS)}"
            return
        shape = (
            *(rule.kind, bool(rule.nodes), bool(rule.sets), bool(rule.groups), bool(rule.resource)),
            *(len(rule.vms) if len(rule.vms) < 3 else 3, rule.amount > 0, rule.amount < math.inf),
            *(rule.continuous, rule.relocate, rule.weight > 0),
        )
        faults: list[str] = []
        if shape not in self._shapes or rule.weight < 0 or rule.amount < 0:
            faults += self._shape(rule, kind.signature)
            self._shapes |= set() if faults else {shape}
        faults += self._names(rule)
        yield from faults
        if not faults:
            yield from kind.mistakes(rule, self._cluster)

    def _shape(self, rule: Constraint, signature: Signature) -> Iterator[str]:
        """Fields, mode and weight that do not fit the signature."""
        filled = [field for field in _WORDS if getattr(rule, field)]
        forms = [form for form in (signature.takes, signature.also) if form]
        if not any(_fits(filled, form) for form in forms):
            written = " or ".join(f"{signature.name}({', '.join(form)})" for form in forms)
            got = ", ".join(_WORDS[field] for field in filled) or "nothing"
            yield f"it is written {written}; it got {got}"
        for role, field in _FIELD_OF.items():
            wanted = signature.takes.count(role)
            if wanted and len(getattr(rule, field)) != wanted:
                yield f"it takes {wanted} {field}, not {len(getattr(rule, field))}"
        if _bad((rule.amount,)):
            yield f"its amount is {rule.amount:g}: amounts are numbers, 0 or more"
        if rule.continuous and signature.modes is Modes.DISCRETE:
            yield "it speaks of the result of a plan only: make it discrete"
        if not rule.continuous and signature.modes is Modes.CONTINUOUS:
            yield "it speaks of every instant of a plan: make it continuous"
        if rule.weight < 0:
            yield f"its weight is {rule.weight}: weights are 0 (hard) or more"
        if rule.weight and not signature.soft:
            yield "it cannot be soft: leave its weight out"
        if rule.relocate and not (signature.relocates and rule.continuous):
            yield "it cannot relocate: only continuous rules about one group can"

    def _names(self, rule: Constraint) -> Iterator[str]:
        """Names that are unknown or given twice, sets that are empty."""
        vms, nodes = self._cluster.vms, self._cluster.nodes
        if rule.vms:
            yield from self._each(rule.vms, vms, "VM")
        if rule.nodes:
            yield from self._each(rule.nodes, nodes, "node")
        for many, known, what in ((rule.sets, vms, "VM"), (rule.groups, nodes, "node")):
            if many and not self._is_sound(many, what):
                faults = [fault for names in many for fault in self._each(names, known, what)]
                faults += [f"a set of {what}s is empty"] * (() in many)
                yield from faults
                self._remember(many, what, not faults)
        if rule.resource and rule.resource not in self._resources:
            yield f"there is no resource {rule.resource}{_suggestion(rule.resource, self._resources)}"

    def _each(
        self, names: tuple[str, ...], known: dict[str, Vm] | dict[str, Node], what: str
    ) -> Iterator[str]:
        if self._is_sound(names, what):
            return
        unknown = [name for name in names if name not in known]
        for name in unknown:
            yield f"there is no {what} {name}{_suggestion(name, known)}"
        twice = len(set(names)) < len(names)
        if twice:
            seen: set[str] = set()
            for name in names:
                if name in seen:
                    yield f"{what} {name} is named twice"
                seen.add(name)
        if len(names) > 1:
            self._remember(names, what, not unknown and not twice)

    def _is_sound(self, names: object, what: str) -> bool:
        if (what, id(names)) in self._seen:
            return True
        equal = (what, names) in self._equal
        self._remember(names, what, equal)
        return equal

    def _remember(self, names: object, what: str, sound: bool) -> None:
        if sound:
            self._seen[what, id(names)] = names
            self._equal.add((what, names))


def _fits(filled: list[str], form: tuple[Role, ...]) -> bool:
    """Whether exactly the fields of the form are filled (an amount of 0 looks like none)."""
    wanted = {_FIELD_OF.get(role, str(role)) for role in form}
    return set(filled) <= wanted and wanted - set(filled) <= {"amount"}
