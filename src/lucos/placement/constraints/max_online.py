"""At most `amount` of the nodes are online: a limit on power or cooling, or on licences per host.

Continuous: at every instant; a node counts from the start of its boot to the end of its shutdown.
Discrete: in the result; a node may boot before another one is off.

Tip: with the limit at what is online now, a continuous rule makes a node that replaces another wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.amounts import not_whole
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import lasting, nodes_of
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Online

_RULE = Constraint("maxOnline", nodes=("N1", "N2", "N3"), amount=2)


class MaxOnline(Kind):
    signature = Signature("maxOnline", (Role.NODES, Role.AMOUNT))
    examples = (
        Example("two of three nodes are on", _RULE, cluster({"A": "N1"}, offline="N3"), True),
        Example("all three are on", _RULE, cluster({"A": "N1"}), False),
    )

    def mistakes(self, rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        return not_whole(rule)

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        on = moment.online
        online = tuple(name for name in rule.nodes if on is None or name in on)
        text = f"{len(online)} nodes are online, more than {rule.amount:g}"
        return Breach(text, online) if len(online) > rule.amount else None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        nodes, limit = nodes_of(arrays, rule.nodes), int(rule.amount)
        held = lasting(rule) and int((arrays.online & nodes).sum()) <= limit
        yield Online(rule=number, continuous=held, weight=rule.weight, nodes=nodes, limit=limit)


KIND = MaxOnline()
