"""What gather, among and latency share: all VMs inside one group of nodes, which a relocation may change."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import ClassVar

from lucos.model import Constraint, Migrate, Plan
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Kind
from lucos.placement.constraints.checked import group_of, names_in, overlaps, places
from lucos.placement.constraints.lowered import groups_of, inside_one, nodes_of
from lucos.placement.constraints.schedules import SAME_INSTANT_S
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive


class Together(Kind):
    """The groups are those of the rule; `apart` ends the message when its VMs are in several."""

    apart: ClassVar[str] = ": not in one group"

    def group(self, rule: Constraint, node: str) -> Hashable:
        """The node's group; None for none."""
        return group_of(rule.groups).get(node)

    def mistakes(self, rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        return overlaps(rule.groups, "group")

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        pairs = list(places(rule.vms, moment))
        groups = dict.fromkeys(self.group(rule, node) for _, node in pairs)
        if None in groups:
            vm, node = next(pair for pair in pairs if self.group(rule, pair[1]) is None)
            return Breach(f"{vm} is on {node}, which is in no group", (node,), (vm,))
        if len(groups) <= 1 or (_may_move(rule) and self._relocating(rule, moment, set(groups))):
            return None
        vms = tuple(dict.fromkeys(vm for vm, _ in pairs))
        nodes = tuple(dict.fromkeys(node for _, node in pairs))
        return Breach(f"its VMs are on {', '.join(nodes)}{self.apart}", nodes, vms)

    def _relocating(self, rule: Constraint, moment: Moment, groups: set[Hashable]) -> bool:
        """Whether the group is on its way from where it was to one other group, some VM being in both."""
        old = {self.group(rule, node) for _, node in places(rule.vms, moment.origin)}
        return (
            len(old) == 1
            and len(groups - old) == 1
            and any({self.group(rule, node) for node in moment.of(vm)} == groups for vm in rule.vms)
        )

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        if not _may_move(rule):
            return None
        members, starts = names_in(rule.vms), dict[str, float]()
        for step in plan.actions:
            action = step.action
            if isinstance(action, Migrate) and action.vm in members and self._leaves(rule, action):
                starts[action.vm] = step.start_s
        if not starts or max(starts.values()) - min(starts.values()) <= SAME_INSTANT_S:
            return None
        first, last = min(starts, key=starts.__getitem__), max(starts, key=starts.__getitem__)
        times = f"{first} at {starts[first]:g} s and {last} at {starts[last]:g} s"
        return Breach(f"the group moves at different instants: {times}", (), (first, last))

    def _leaves(self, rule: Constraint, action: Migrate) -> bool:
        return self.group(rule, action.source) != self.group(rule, action.destination)

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterator[AnyPrimitive]:
        group_of_node = groups_of(arrays, rule.groups)
        yield from inside_one(rule, number, arrays, group_of_node, lambda g: nodes_of(arrays, rule.groups[g]))


def _may_move(rule: Constraint) -> bool:
    return rule.relocate and rule.continuous
