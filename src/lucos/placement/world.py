"""A cluster that changes step by step while a plan is replayed: the moment at which rules are judged."""

from __future__ import annotations

from typing import Self

import msgspec

from lucos.model import VmState
from lucos.placement.cluster import Cluster, Quantities
from lucos.placement.moment import Moment
from lucos.placement.timeline import HOLDING, Stand, Step


class World(Moment):
    """A moment whose mappings live on. `present[node][vm]` is what a VM holds there, `used[node]` their sum.

    `usable` nodes may hold VMs, those in `shut` were shut down by the plan. `images[node]` are the VMs whose
    memory is saved there.
    """

    hosts: dict[str, frozenset[str]]
    states: dict[str, VmState] = {}
    online: set[str] = set()
    allocations: dict[str, Quantities] = {}
    present: dict[str, dict[str, Quantities]] = {}
    used: dict[str, Quantities] = {}
    usable: set[str] = set()
    shut: set[str] = set()
    images: dict[str, dict[str, None]] = {}

    @classmethod
    def started(cls, cluster: Cluster) -> Self:
        """The cluster as it is. O(nodes + VMs)."""
        online = {name for name, node in cluster.nodes.items() if node.online}
        world = cls({}, cluster, online=online, usable=set(online))
        world.present = {name: {} for name in cluster.nodes}
        world.used = {name: {} for name in cluster.nodes}
        places = {name: frozenset((name,)) for name in cluster.nodes}
        world.states = {name: vm.state for name, vm in cluster.vms.items()}
        for name, vm in cluster.vms.items():
            if vm.node is None:
                continue
            if vm.state in HOLDING:
                world.hosts[name] = places[vm.node]
                world._put(name, vm.node, vm.demand)
            elif vm.state is VmState.SLEEPING:
                world.images.setdefault(vm.node, {})[name] = None
        return world

    def snapshot(self) -> Self:
        """This instant, to keep."""
        return msgspec.structs.replace(
            self,
            hosts=dict(self.hosts),
            states=dict(self.states),
            online=set(self.online),
            allocations=dict(self.allocations),
            present={name: dict(guests) for name, guests in self.present.items()},
            used={name: dict(used) for name, used in self.used.items()},
            usable=set(self.usable),
            shut=set(self.shut),
            images={name: dict(vms) for name, vms in self.images.items()},
        )

    def guests(self, node: str) -> list[str]:
        return list(self.present[node])

    def allocated(self, vm: str, resource: str, node: str = "") -> float:
        here = self.present[node].get(vm) if node else None
        return super().allocated(vm, resource) if here is None else here.get(resource, 0.0)

    def begin(self, step: Step) -> tuple[str, ...]:
        """A step starts. The nodes on which something changed."""
        if step.node:
            if step.boots:
                self.online.add(step.node)
            else:
                self.usable.discard(step.node)
                self.shut.add(step.node)
            return (step.node,)
        assert step.before is not None
        assert step.during is not None
        return self._change(step.vm, step.before, step.during)

    def finish(self, step: Step) -> tuple[str, ...]:
        """A step ends. The nodes on which something changed."""
        if step.node:
            if step.boots:
                self.usable.add(step.node)
                self.shut.discard(step.node)
            else:
                self.online.discard(step.node)
            return (step.node,)
        assert step.during is not None
        assert step.after is not None
        return self._change(step.vm, step.during, step.after)

    def _change(self, vm: str, old: Stand, new: Stand) -> tuple[str, ...]:
        self.states[vm] = new.state
        if old is new:
            return ()
        self.allocations[vm] = new.amounts
        for node, amounts in old.held:
            del self.present[node][vm]
            used = self.used[node]
            for resource, amount in amounts.items():
                used[resource] -= amount
        for node, amounts in new.held:
            self._put(vm, node, amounts)
        if new.held:
            self.hosts[vm] = frozenset(node for node, _ in new.held)
        else:
            self.hosts.pop(vm, None)
        if old.image:
            del self.images[old.image][vm]
        if new.image:
            self.images.setdefault(new.image, {})[vm] = None
        return tuple(node for node, _ in (*old.held, *new.held)) + tuple(filter(None, (old.image, new.image)))

    def _put(self, vm: str, node: str, amounts: Quantities) -> None:
        self.present[node][vm] = amounts
        used = self.used[node]
        for resource, amount in amounts.items():
            used[resource] = used.get(resource, 0.0) + amount
