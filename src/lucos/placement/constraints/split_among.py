"""Each set of VMs is inside one group of nodes, and no two sets are in the same group.

It makes replicas of a whole service survive the loss of a rack or a site: one replica, a set of VMs, in each.

Continuous: at every instant, so each set keeps the group it is in.
Discrete: in the result; sets may change groups on the way.

Tip: there must be at least as many groups as sets that run; one more lets a discrete rule move a set.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import NOWHERE, Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import group_of, overlaps, places
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import groups_of, lasting, nodes_of, places_now, stay
from lucos.placement.moment import Moment
from lucos.placement.primitives import Allow, AnyPrimitive, Distinct

_NODES = "N1 N2 N3 N4"
_RULE = Constraint("splitAmong", sets=(("A", "B"), ("C",)), groups=(("N1", "N2"), ("N3", "N4")))


class SplitAmong(Kind):
    signature = Signature("splitAmong", (Role.SETS, Role.GROUPS))
    examples = (
        Example(
            "a group for each set", _RULE, cluster({"A": "N1", "B": "N2", "C": "N3"}, nodes=_NODES), True
        ),
        Example(
            "both sets in the first group",
            _RULE,
            cluster({"A": "N1", "B": "N1", "C": "N2"}, nodes=_NODES),
            False,
        ),
    )

    def mistakes(self, rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        yield from overlaps(rule.sets, "set")
        yield from overlaps(rule.groups, "group")

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        groups, taken = group_of(rule.groups), dict[int, tuple[int, str]]()
        for number, vms in enumerate(rule.sets):
            own: dict[int, str] = {}
            for vm, node in places(vms, moment):
                group = groups.get(node)
                if group is None:
                    return Breach(f"{vm} is on {node}, which is in no group", (node,), (vm,))
                other, first = taken.setdefault(group, (number, vm))
                if other != number:
                    return Breach(
                        f"{vm} and {first}, of different sets, are in one group", (node,), (first, vm)
                    )
                own.setdefault(group, vm)
            if len(own) > 1:
                names = tuple(own.values())
                return Breach(f"{names[0]} and {names[1]}, of one set, are in different groups", (), names)
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        sets = tuple(arrays.vms_of(vms) for vms in rule.sets)
        of_node = groups_of(arrays, rule.groups)
        current = [set(of_node[places_now(arrays, vms)].tolist()) for vms in sets]
        used = [group for found in current for group in found]
        held = lasting(rule) and max(map(len, current)) <= 1 and len(set(used)) == len(used)
        held = held and NOWHERE not in used
        yield Distinct(rule=number, continuous=held, weight=rule.weight, sets=sets, group_of=of_node)
        for vms, found in zip(sets, current, strict=True):
            if held and stay(arrays, vms):
                yield Allow(
                    rule=number, continuous=True, vms=vms, nodes=nodes_of(arrays, rule.groups[found.pop()])
                )


KIND = SplitAmong()
