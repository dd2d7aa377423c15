"""What the lowerings of several kinds share: masks made once, and what is where when the plan begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from lucos.model import Constraint
from lucos.placement.arrays import NOWHERE, RUNNING, Arrays
from lucos.placement.lazy import np
from lucos.placement.primitives import Allow, Amounts, AnyPrimitive, Ints, Mask, Together, ints

T = TypeVar("T")
Names = tuple[str, ...]


def _shared(arrays: Arrays, what: str, names: object, make: Callable[[], T]) -> T:
    """The value made once for equal `names`; one tuple that many rules share is not even compared.

    The tuple is kept beside the value, so that its identity is not given to another one.
    """
    found = arrays.cache.get((what, id(names)))
    if found is None:
        made = arrays.cache.get((what, names))
        if made is None:
            made = arrays.cache[what, names] = make()
        found = arrays.cache[what, id(names)] = (names, made)
    value: T = found[1]
    return value


def nodes_of(arrays: Arrays, names: Names) -> Mask:
    """bool[N]: these nodes. Read-only, shared by all rules that name the same nodes."""
    return _shared(arrays, "nodes", names, lambda: arrays.nodes_of(names))


def excluding(arrays: Arrays, names: Names) -> Mask:
    """bool[N]: every node but these. Read-only, shared."""
    return _shared(arrays, "excluding", names, lambda: ~nodes_of(arrays, names))


def only(arrays: Arrays, node: int) -> Mask:
    """bool[N]: this node alone. Read-only, shared."""
    mask: Mask | None = arrays.cache.get(("only", node))
    if mask is None:
        mask = arrays.cache["only", node] = arrays.nodes_of((arrays.nodes[node],))
    return mask


def groups_of(arrays: Arrays, groups: tuple[Names, ...]) -> Ints:
    """int[N]: the group each node is in, -1 for none. Read-only, shared."""

    def make() -> Ints:
        group_of = np.full(len(arrays.nodes), NOWHERE, dtype=np.int32)
        for number, names in enumerate(groups):
            group_of[nodes_of(arrays, names)] = number
        return group_of

    return _shared(arrays, "groups", groups, make)


def each_node(arrays: Arrays) -> Ints:
    """int[N]: every node a group of its own. Read-only, shared."""
    return _shared(arrays, "each", (), lambda: ints(np.arange(len(arrays.nodes))))


def places_now(arrays: Arrays, vms: Ints) -> Ints:
    """The nodes these VMs hold when the plan begins: one per VM that runs, two while it is under way."""
    nodes: Ints = arrays.host[vms[arrays.state[vms] == RUNNING]]
    if arrays.leaving:
        left = [node for node, vm, _ in arrays.leaving if vm in vms]
        nodes = np.concatenate([nodes, ints(left)])
    return nodes


def usage_now(arrays: Arrays) -> Amounts:
    """int[N, R + 1]: what each node is used when the plan begins; the last column counts VMs."""

    def make() -> Amounts:
        usage = np.zeros((len(arrays.nodes), len(arrays.resources) + 1), dtype=np.int64)
        amounts = np.hstack([arrays.use, np.ones((len(arrays.vms), 1), dtype=np.int64)])
        running = np.flatnonzero(arrays.state == RUNNING)
        np.add.at(usage, arrays.host[running], amounts[running])
        for node, vm, _ in arrays.leaving:
            usage[node] += amounts[vm]
        return usage

    return _shared(arrays, "usage", (), make)


def stay(arrays: Arrays, vms: Ints) -> bool:
    """Whether one of these VMs runs from beginning to end, so that it holds its place all the time."""
    return bool(((arrays.state[vms] == RUNNING) & (arrays.target[vms] == RUNNING)).any())


def lasting(rule: Constraint) -> bool:
    """Whether the rule binds every instant if it holds when the plan begins; soft rules bind the result."""
    return rule.continuous and not rule.weight


def allow(rule: Constraint, number: int, arrays: Arrays, nodes: Mask) -> Allow:
    """The rule's VMs run on these nodes only."""
    vms = arrays.vms_of(rule.vms)
    held = lasting(rule) and bool(nodes[places_now(arrays, vms)].all())
    return Allow(rule=number, continuous=held, weight=rule.weight, vms=vms, nodes=nodes)


def inside_one(
    rule: Constraint, number: int, arrays: Arrays, group_of: Ints, mask_of: Callable[[int], Mask]
) -> Iterator[AnyPrimitive]:
    """All the rule's VMs are in one group; while it is continuous and one of them stays, in that one's."""
    vms = arrays.vms_of(rule.vms)
    current = set(group_of[places_now(arrays, vms)].tolist())
    held = lasting(rule) and len(current) <= 1 and NOWHERE not in current
    if held and not rule.relocate and stay(arrays, vms):
        yield Allow(rule=number, continuous=True, vms=vms, nodes=mask_of(current.pop()))
    else:
        yield Together(
            rule=number,
            continuous=held,
            weight=rule.weight,
            vms=vms,
            group_of=group_of,
            relocate=held and rule.relocate,
        )
