"""Whether a primitive holds in a result: `place[V]` (NOWHERE: not running) and `online[N]`."""

from __future__ import annotations

import numpy as np

from lucos.placement.arrays import NOWHERE, Arrays
from lucos.placement.primitives import (
    Allow,
    AnyPrimitive,
    Apart,
    Distinct,
    Ints,
    Mask,
    Near,
    Online,
    Reserve,
    Timing,
    Together,
    Total,
)


def sides_on_nodes(rule: Apart, place: Ints) -> tuple[Ints, Ints]:
    """(nodes, sides): each pair once, side `s` of the rule having a VM on the node."""
    vms = np.concatenate(rule.sides)
    side = np.repeat(np.arange(len(rule.sides)), [len(side) for side in rule.sides])
    nodes = place[vms]
    pairs = np.unique(np.stack([nodes, side])[:, nodes >= 0], axis=1)
    return pairs[0], pairs[1]


def shared_nodes(rule: Apart, place: Ints) -> Ints:
    """Nodes on which two sides meet, in order."""
    nodes, counts = np.unique(sides_on_nodes(rule, place)[0], return_counts=True)
    return np.asarray(nodes[counts > 1])


def total_on(rule: Total, arrays: Arrays, place: Ints) -> int:
    """What the rule limits, as it is in the result."""
    there = place >= 0
    there[there] = rule.nodes[place[there]]
    return int(there.sum() if rule.resource < 0 else arrays.need[there, rule.resource].sum())


def received(arrays: Arrays, place: Ints) -> Mask:
    """[N] nodes that get a VM which is not there now."""
    arrived = (place >= 0) & ((place != arrays.host) | ~arrays.runs_now)
    mask = np.zeros(len(arrays.nodes), dtype=np.bool_)
    mask[place[arrived]] = True
    return mask


def _one_group(vms: Ints, group_of: Ints, place: Ints) -> int | None:
    """The group all of these VMs are in; NOWHERE when none runs, None when they are in several or in none."""
    groups = np.unique(group_of[place[vms][place[vms] >= 0]])
    if len(groups) == 0:
        return NOWHERE
    return int(groups[0]) if len(groups) == 1 and groups[0] >= 0 else None


def holds(rule: AnyPrimitive, arrays: Arrays, place: Ints, online: Mask, load: np.ndarray) -> bool:
    """Whether the rule holds in the result; `load` is `objectives.load_of` of it."""
    match rule:
        case Allow():
            nodes = place[rule.vms]
            return bool(rule.nodes[nodes[nodes >= 0]].all())
        case Apart():
            return len(shared_nodes(rule, place)) == 0
        case Together():
            return _one_group(rule.vms, rule.group_of, place) is not None
        case Distinct():
            found = [_one_group(vms, rule.group_of, place) for vms in rule.sets]
            used = [group for group in found if group != NOWHERE]
            return None not in found and len(set(used)) == len(used)
        case Total():
            return total_on(rule, arrays, place.copy()) <= rule.limit
        case Online():
            return int((online & rule.nodes).sum()) <= rule.limit
        case Near():
            nodes = np.unique(place[rule.vms][place[rule.vms] >= 0])
            return all(bool(rule.near(int(node))[nodes].all()) for node in nodes)
        case Reserve():
            mask = received(arrays, place) & rule.nodes
            return bool((load[mask, rule.resource] <= rule.limit[mask]).all())
        case Timing():
            return True
