"""Running VMs are near each other: few milliseconds apart, for those that talk a lot.

Two forms. With groups of nodes, the classes of latency that the operator knows: all VMs are inside one group.
With a number, the round trip in milliseconds that was measured between nodes: no two VMs are further apart;
two nodes whose round trip was not measured count as too far.

Continuous: at every instant; with groups, VMs keep the group they are in.
Discrete: in the result.

Tip: prefer the measured form where agents measure: it follows the network, groups have to be kept up to date.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import msgspec

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example
from lucos.placement.constraints.checked import places
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import lasting, places_now
from lucos.placement.constraints.together import Together
from lucos.placement.lazy import np
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Mask, Near

_GROUPS = Constraint("latency", ("A", "B"), groups=(("N1", "N2"), ("N3",)))
_MEASURED = Constraint("latency", ("A", "B"), amount=5)
_RTT = {"N1": {"N2": 2.0, "N3": 20.0}}


def _measured(hosts: dict[str, str | None]) -> Cluster:
    return msgspec.structs.replace(cluster(hosts), rtt_ms=_RTT)


class Latency(Together):
    signature = Signature("latency", (Role.VMS, Role.GROUPS), also=(Role.VMS, Role.AMOUNT))
    examples = (
        Example("both in one class of latency", _GROUPS, cluster({"A": "N1", "B": "N2"}), True),
        Example("in two classes", _GROUPS, cluster({"A": "N1", "B": "N3"}), False),
        Example("2 ms apart", _MEASURED, _measured({"A": "N1", "B": "N2"}), True),
        Example("20 ms apart", _MEASURED, _measured({"A": "N1", "B": "N3"}), False),
    )

    def mistakes(self, rule: Constraint, cluster: Cluster) -> Iterable[str]:
        yield from super().mistakes(rule, cluster)
        if not rule.groups and not rule.amount:
            yield "it takes groups of nodes, or a round trip above 0 ms"

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        if rule.groups:
            return super().broken(rule, moment)
        for (vm, node), (other, place) in combinations(places(rule.vms, moment), 2):
            if vm != other and (trip_ms := _worst_ms(moment.cluster, node, place)) > rule.amount:
                apart = f"{trip_ms:g} ms apart" if trip_ms < math.inf else "on nodes never measured"
                text = f"{vm} on {node} and {other} on {place} are {apart}"
                return Breach(text, (node, place), (vm, other))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterator[AnyPrimitive]:
        if rule.groups:
            yield from super().lower(rule, number, arrays)
            return
        vms, near = arrays.vms_of(rule.vms), nearness(arrays, rule.amount)
        held = False
        if lasting(rule):
            places = np.unique(places_now(arrays, vms))
            held = all(near(place)[places].all() for place in places.tolist())
        yield Near(rule=number, continuous=held, weight=rule.weight, vms=vms, near=near)


def nearness(arrays: Arrays, max_ms: float) -> Callable[[int], Mask]:
    """node -> bool[N]: the nodes within `max_ms` of it, both ways. Shared by rules of one limit."""
    masks: dict[int, Mask] = arrays.cache.setdefault(("near", max_ms), {})
    cluster = arrays.problem.cluster
    named = {*cluster.rtt_ms, *(name for row in cluster.rtt_ms.values() for name in row)}

    def near(node: int) -> Mask:
        if node not in masks:
            trips = _trips_ms(cluster, named, arrays.nodes[node])
            masks[node] = np.asarray([trip <= max_ms for trip in trips], dtype=np.bool_)
        return masks[node]

    return near


def _trips_ms(cluster: Cluster, named: set[str], here: str) -> Iterator[float]:
    """The round trip from `here` to each node; infinite when unmeasured. Sites are looked up once."""
    by_site: dict[str, float] = {}
    for name, node in cluster.nodes.items():
        if name == here or (name in named and here in named):
            yield _worst_ms(cluster, here, name)
        else:
            if node.site not in by_site:
                by_site[node.site] = _worst_ms(cluster, here, name)
            yield by_site[node.site]


def _worst_ms(cluster: Cluster, a: str, b: str) -> float:
    there, back = cluster.round_trip_ms(a, b), cluster.round_trip_ms(b, a)
    return math.inf if there is None or back is None else max(there, back)


KIND = Latency()
