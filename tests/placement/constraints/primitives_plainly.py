"""What the primitives mean, in a few plain lines each, over names of nothing but indexes."""

from __future__ import annotations

from itertools import combinations

from lucos.placement.arrays import Arrays
from lucos.placement.primitives import (
    Allow,
    AnyPrimitive,
    Apart,
    Distinct,
    Near,
    Online,
    Reserve,
    Together,
    Total,
)

Place = dict[int, int]
"""VM -> node, for those that run in the result."""


def holds(rule: AnyPrimitive, place: Place, online: set[int], arrays: Arrays) -> bool:
    """Whether a result satisfies the primitive."""
    match rule:
        case Allow():
            return all(rule.nodes[place[vm]] for vm in rule.vms.tolist() if vm in place)
        case Apart():
            sides = [{place[vm] for vm in side.tolist() if vm in place} for side in rule.sides]
            return not any(a & b for a, b in combinations(sides, 2))
        case Together():
            return len(_groups(rule.vms.tolist(), rule.group_of, place)) <= 1 and -1 not in _groups(
                rule.vms.tolist(), rule.group_of, place
            )
        case Distinct():
            found = [_groups(vms.tolist(), rule.group_of, place) for vms in rule.sets]
            inside = all(len(groups) <= 1 and -1 not in groups for groups in found)
            return inside and not any(a & b for a, b in combinations(found, 2))
        case Total():
            there = [vm for vm, node in place.items() if rule.nodes[node]]
            amounts = (1 if rule.resource < 0 else arrays.need[vm, rule.resource] for vm in there)
            return sum(amounts) <= rule.limit
        case Online():
            return sum(bool(rule.nodes[node]) for node in online) <= rule.limit
        case Near():
            pairs = combinations([vm for vm in rule.vms.tolist() if vm in place], 2)
            return all(rule.near(place[a])[place[b]] for a, b in pairs)
        case Reserve():
            return all(
                sum(arrays.need[vm, rule.resource] for vm in guests) <= rule.limit[node]
                for node, guests in _guests(place).items()
                if rule.nodes[node] and any(not _there_now(vm, node, arrays) for vm in guests)
            )
    raise AssertionError(f"{rule} says nothing of results")


def _groups(vms: list[int], group_of: object, place: Place) -> set[int]:
    return {int(group_of[place[vm]]) for vm in vms if vm in place}  # type: ignore[index]


def _guests(place: Place) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for vm, node in place.items():
        found.setdefault(node, []).append(vm)
    return found


def _there_now(vm: int, node: int, arrays: Arrays) -> bool:
    return bool(arrays.runs_now[vm]) and int(arrays.host[vm]) == node
