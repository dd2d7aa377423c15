"""Nodes are emptied and kept empty: nobody runs there in the result, and meanwhile nobody enters.

Discrete: VMs that are there may leave at any time; to enter is forbidden at every instant.

Tip: for maintenance with the node powered off use offline.
"""

from __future__ import annotations

from lucos.model import Boot, Constraint, Migrate, Plan, Resume
from lucos.model.signature import Role
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import names_in
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.constraints.lowered import nodes_of
from lucos.placement.constraints.states import wanted_signature
from lucos.placement.moment import Moment

_RULE = Constraint("drain", nodes=("N1",), continuous=False)
_CLUSTER = cluster({"A": "N1", "B": "N2"})
_LEAVE = (Migrate("A", "N1", "N3"), 0, 3)


class Drain(Kind):
    signature = wanted_signature("drain", Role.NODES)
    examples = (
        Example("A leaves N1", _RULE, _CLUSTER, True, plan(_LEAVE)),
        Example("A stays on N1", _RULE, _CLUSTER, False),
        Example(
            "B passes through N1",
            _RULE,
            _CLUSTER,
            False,
            plan(_LEAVE, (Migrate("B", "N2", "N1"), 0, 2), (Migrate("B", "N1", "N2"), 2, 4)),
        ),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        for node in rule.nodes:
            guests = tuple(moment.guests(node))
            if guests:
                return Breach(f"{', '.join(guests[:4])} on {node}", (node,), guests)
        return None

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        drained = names_in(rule.nodes)
        for step in plan.actions:
            action = step.action
            if step.start_s < 0:
                continue  # under way when the plan begins: the VM was there already
            if isinstance(action, Boot | Resume):
                entered = action.node
            elif isinstance(action, Migrate):
                entered = action.destination
            else:
                continue
            if entered in drained:
                return Breach(f"{action.vm} enters {entered} at {step.start_s:g} s", (entered,), (action.vm,))
        return None

    def prepare(self, rule: Constraint, number: int, arrays: Arrays) -> None:
        arrays.closed |= nodes_of(arrays, rule.nodes)
        for name in rule.nodes:
            arrays.node_rules.setdefault(arrays.node_index[name], []).append(number)


KIND = Drain()
