"""An instant of a cluster, as the checker sees it: who holds what where. Shares nothing with the solver."""

from __future__ import annotations

from collections.abc import Mapping, Set

import msgspec

from lucos.model import VmState
from lucos.placement.cluster import Cluster

NOWHERE: frozenset[str] = frozenset()


class Moment(msgspec.Struct):
    """`hosts`: VM -> the nodes on which it holds resources, running or paused: two while it migrates.

    `states`: states of VMs, those that are absent run if they have hosts. `online`: nodes that are on
    (None: all). `allocations`: what VMs hold now, where it differs from the cluster's. `start` is the
    instant at which the plan began (None: this one), for rules about what stays.
    """

    hosts: Mapping[str, frozenset[str]]
    cluster: Cluster = Cluster()
    states: Mapping[str, VmState] = {}
    online: Set[str] | None = None
    allocations: Mapping[str, Mapping[str, float]] = {}
    start: Moment | None = None

    def of(self, vm: str) -> frozenset[str]:
        """The nodes on which `vm` holds resources now."""
        return self.hosts.get(vm, NOWHERE)

    def state(self, vm: str) -> VmState:
        known = self.states.get(vm)
        return known if known is not None else VmState.RUNNING if self.of(vm) else VmState.READY

    def allocated(self, vm: str, resource: str, _node: str = "") -> float:
        """What `vm` holds of a resource; on `_node`, where a VM that migrates gets another amount there."""
        own = self.allocations.get(vm, {})
        return own[resource] if resource in own else self.cluster.vms[vm].demand.get(resource, 0.0)

    def guests(self, node: str) -> list[str]:
        """The VMs that hold resources of `node`."""
        return [vm for vm, nodes in self.hosts.items() if node in nodes]

    @property
    def origin(self) -> Moment:
        return self.start if self.start is not None else self
