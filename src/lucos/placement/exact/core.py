"""Why there is no result: a minimal set of rules and capacities that cannot hold together.

Shortages that sums show are found at once; else QuickXplain (Junker, AAAI 2004) halves what is at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster, amount_text
from lucos.placement.lowering import arrays_of
from lucos.placement.primitives import Allow, Amounts, Ints, Mask, ints
from lucos.placement.problem import Capacity, Core, Problem

Feasible = Callable[[Problem], bool | None]
"""Whether a problem (fewer rules, some capacities unlimited) has a result; None: not known."""

Element = int | Capacity
"""A rule by its index, or a capacity."""

Group = tuple[Ints, Mask, list[Allow]]
"""VMs, the nodes that are left to them, the rules that leave them these."""

# Capacities up to which each is tried; those of a shortage are all needed, for without one room is endless.
_TRIED_MAX = 64
# Sets of nodes up to which VMs bound to a part of one count for the whole.
_NESTED_MAX = 200
_SHOWN_MAX = 6


def clash_core(arrays: Arrays) -> Core:
    """The rules that contradict each other outright; `arrays.clashes` has some."""
    rules = arrays.problem.constraints
    return Core(tuple(rules[i] for i in min(arrays.clashes, key=len)))


def conflict(problem: Problem, feasible: Feasible) -> Core:
    """A minimal core of a problem that has no result.

    What `feasible` does not know counts as needed, so the core is then sound but may not be minimal.
    """
    arrays = arrays_of(problem)
    if arrays.clashes:
        return clash_core(arrays)
    found = _shortage(arrays)
    hard = [i for i, rule in enumerate(problem.constraints) if not rule.weight]
    names = [(r, n) for r in arrays.resources for n in arrays.nodes]
    elements: list[Element] = [*hard, *(Capacity(n, r) for r, n in names)]
    sure: list[Element] = []
    if found is not None:
        elements = [*found.rules, *found.capacities(arrays)]
        if len(elements) - len(found.rules) > _TRIED_MAX:
            elements, sure = elements[: len(found.rules)], elements[len(found.rules) :]

    def fails(kept: list[Element]) -> bool:
        return feasible(_reduced(problem, kept)) is False

    return _core(problem, [*_quick_xplain(sure, bool(sure), elements, fails), *sure])


def _core(problem: Problem, elements: Iterable[Element]) -> Core:
    elements = list(elements)
    rules = sorted(e for e in elements if isinstance(e, int))
    order = {name: i for i, name in enumerate(problem.cluster.nodes)}
    capacities = [e for e in elements if isinstance(e, Capacity)]
    capacities.sort(key=lambda c: (order[c.node], c.resource))
    return Core(tuple(problem.constraints[i] for i in rules), tuple(capacities))


def _quick_xplain(
    kept: list[Element], grown: bool, elements: list[Element], fails: Callable[[list[Element]], bool]
) -> list[Element]:
    """The elements that, with `kept`, cannot hold: none of them can be left out."""
    if (grown and fails(kept)) or not elements:
        return []
    if len(elements) == 1:
        return elements
    half = len(elements) // 2
    first, second = elements[:half], elements[half:]
    needed = _quick_xplain([*kept, *first], True, second, fails)
    return [*_quick_xplain([*kept, *needed], bool(needed), first, fails), *needed]


def _reduced(problem: Problem, kept: list[Element]) -> Problem:
    """The problem with these rules and capacities only; other capacities hold all VMs at once."""
    rules = tuple(problem.constraints[i] for i in sorted(e for e in kept if isinstance(e, int)))
    limited = {(e.node, e.resource) for e in kept if isinstance(e, Capacity)}
    endless: dict[str, float] = {}
    for vm in problem.cluster.vms.values():
        for resource, amount in vm.demand.items():
            endless[resource] = endless.get(resource, 0.0) + amount
    for rule in problem.constraints:
        if rule.resource:
            more = rule.amount * max(len(rule.vms), 1)
            endless[rule.resource] = endless.get(rule.resource, 0.0) + more
    nodes = {}
    for name, node in problem.cluster.nodes.items():
        offered = {
            r: a if (name, r) in limited else a + endless.get(r, 0.0) for r, a in node.capacity.items()
        }
        offered |= {r: a for r, a in endless.items() if r not in offered and (name, r) not in limited}
        nodes[name] = msgspec.structs.replace(node, capacity=offered)
    cluster = msgspec.structs.replace(problem.cluster, nodes=nodes)
    return msgspec.structs.replace(problem, cluster=cluster, constraints=rules)


class Shortage(msgspec.Struct, frozen=True, eq=False):
    """`vms` may run on `nodes` only, and need more of the resource together than these offer."""

    vms: Ints
    nodes: Mask
    resource: int
    rules: tuple[int, ...]

    def capacities(self, arrays: Arrays) -> list[Capacity]:
        resource = arrays.resources[self.resource]
        return [Capacity(arrays.nodes[n], resource) for n in np.flatnonzero(self.nodes)]


def aggregate_conflict(arrays: Arrays) -> Core | None:
    """A shortage that sums show: of a resource on all usable nodes, or on those that rules leave to some VMs.

    Sound, and in its capacities minimal; `conflict` leaves out rules that are not needed.
    """
    found = _shortage(arrays)
    if found is None:
        return None
    return _core(arrays.problem, [*found.rules, *found.capacities(arrays)])


def _shortage(arrays: Arrays) -> Shortage | None:
    usable = (arrays.node_target != 0) & ~arrays.closed
    runs = np.flatnonzero(arrays.runs)
    for vms, nodes, allows in _bound_groups(arrays, runs.astype(np.int32), usable):
        needed, offered = arrays.need[vms], arrays.capacity[nodes]
        short = (needed.sum(axis=0) > offered.sum(axis=0)) | _fragmented(needed, offered)
        if short.any():
            resource = int(np.argmax(short))
        else:
            largest = offered.max(axis=0, initial=0)
            tall = needed > largest
            if not tall.any():
                continue
            row, resource = (int(i) for i in np.argwhere(tall)[0])
            vms = vms[row : row + 1]
        return Shortage(vms, nodes, resource, _rules_behind(arrays, vms, nodes, resource, allows))
    return None


def _fragmented(needed: Amounts, offered: Amounts) -> Mask:
    """[R] whether the nodes cannot even hold as many VMs of the smallest size."""
    smallest = np.where(needed > 0, needed, np.iinfo(np.int64).max).min(
        axis=0, initial=np.iinfo(np.int64).max
    )
    return np.asarray((needed > 0).sum(axis=0) > (offered // smallest).sum(axis=0))


def _bound_groups(arrays: Arrays, runs: Ints, usable: Mask) -> list[Group]:
    """All VMs with all usable nodes; then VMs with the same nodes left to them by hard Allow rules."""
    found: list[Group] = [(runs, usable, [])]
    allows: list[Allow] = [p for p in arrays.primitives if isinstance(p, Allow) and not p.weight]
    of_vm: dict[int, list[int]] = {}
    wanted = arrays.runs
    for number, allow in enumerate(allows):
        for vm in allow.vms[wanted[allow.vms]].tolist():
            of_vm.setdefault(vm, []).append(number)
    by_rules: dict[tuple[int, ...], list[int]] = {}
    for vm, mine in of_vm.items():
        by_rules.setdefault(tuple(mine), []).append(vm)
    for numbers, members in by_rules.items():
        mask = usable.copy()
        for number in numbers:
            mask &= allows[number].nodes
        found.append((ints(members), mask, [allows[n] for n in numbers]))
    if len(found) > _NESTED_MAX:
        return found
    return [_with_nested(group, found) for group in found]


def _with_nested(group: Group, groups: list[Group]) -> Group:
    """The group with the VMs that may only be on a part of its nodes."""
    mask = group[1]
    if not group[2]:
        return group
    inner = [other for other in groups if other[2] and not (other[1] & ~mask).any()]
    rules = {id(allow): allow for _, _, theirs in inner for allow in theirs}
    return np.concatenate([other[0] for other in inner]), mask, list(rules.values())


def _rules_behind(
    arrays: Arrays, vms: Ints, nodes: Mask, resource: int, allows: list[Allow]
) -> tuple[int, ...]:
    """The rules that want these VMs to run, so large, here, and other nodes to be empty."""
    behind = {allow.rule for allow in allows}
    for vm in vms.tolist():
        behind.update(arrays.target_rules.get(vm, ()))
        behind.update(arrays.need_rules.get((vm, resource), ()))
    for node, rules in arrays.node_rules.items():
        if not nodes[node]:
            behind.update(rules)
    return tuple(sorted(rule for rule in behind if rule >= 0))


def sentence(core: Core, problem: Problem) -> str:
    """The core in words: `101 VMs of 2 memory must run, and N1..N4 have room for 100`."""
    kept: list[Element] = [i for i, rule in enumerate(problem.constraints) if rule in core.constraints]
    arrays = arrays_of(_reduced(problem, [*kept, *core.capacities]))
    rules = _listed(core.constraints)
    because = f" ({rules})" if rules else ""
    found = _shortage(arrays)
    if found is not None:
        return _shortage_text(arrays, found) + because
    if not core.capacities:
        return f"these rules cannot hold together: {rules}" if rules else "the cluster allows no result"
    resources = ", ".join(dict.fromkeys(c.resource for c in core.capacities))
    where = _names(dict.fromkeys(c.node for c in core.capacities), problem.cluster)
    return f"what must run does not fit the {resources} of {where} whatever goes where{because}"


def _shortage_text(arrays: Arrays, found: Shortage) -> str:
    resource, scale = arrays.resources[found.resource], arrays.scale[found.resource]
    needs: Amounts = arrays.need[found.vms, found.resource]
    offers: Amounts = arrays.capacity[found.nodes, found.resource]
    where = _names((arrays.nodes[n] for n in np.flatnonzero(found.nodes)), arrays.problem.cluster)
    have = "has" if len(offers) == 1 else "have"
    if not len(offers):
        return f"{_listed(arrays.vms[v] for v in found.vms)} must run, and no node is left for that"
    if len(needs) == 1:
        most = amount_text(int(offers.max()) / scale, resource)
        name, need = arrays.vms[found.vms[0]], amount_text(int(needs[0]) / scale, resource)
        return (
            f"{name} of {need} must run, and {where} {have} {most} {'at most' * (len(offers) > 1)}".rstrip()
        )
    if needs.sum() <= offers.sum() or (needs == needs[0]).all():
        needs = needs[needs > 0]
        least = "at least " * bool((needs != needs[0]).any())
        each = amount_text(int(needs.min()) / scale, resource)
        room = int((offers // needs.min()).sum())
        return f"{len(needs)} VMs of {least}{each} must run, and {where} {have} room for {room}"
    total = amount_text(int(needs.sum()) / scale, resource)
    offered = amount_text(int(offers.sum()) / scale, resource)
    return f"{len(needs)} VMs that need {total} together must run, and {where} {have} {offered}"


def _names(names: Iterable[str], cluster: Cluster) -> str:
    """Nodes in few words: `N1..N4` when they follow one another in the cluster."""
    names = list(names)
    order = list(cluster.nodes)
    if len(names) > 2:
        first = order.index(names[0])
        if order[first : first + len(names)] == names:
            return f"{names[0]}..{names[-1]}"
    return _listed(names)


def _listed(items: Iterable[object]) -> str:
    items = list(items)
    more = [f"{len(items) - _SHOWN_MAX} more"] if len(items) > _SHOWN_MAX else []
    return ", ".join([*map(str, items[:_SHOWN_MAX]), *more])
