"""What placement reasons about: nodes with capacities, VMs with allocations, and how they are joined.

Resources have any names (`cpu`, `memory`, `storage-cache`, ...); amounts are numbers >= 0 in one unit per
resource. Everything is plain data: build it by hand, read it from files, or from a live configuration.
"""

from __future__ import annotations

import msgspec

from lucos.model import VmState

Quantities = dict[str, float]
"""Resource -> amount; a resource that is absent is 0."""


class Node(msgspec.Struct, frozen=True):
    """A host. `watts` is its power at evenly spaced loads from idle to full (2 numbers or more), for energy.

    `durations_s` overrides formulas for its `boot_node` and `shutdown_node`.
    """

    name: str
    capacity: Quantities
    online: bool = True
    site: str = ""
    watts: tuple[float, ...] = ()
    durations_s: dict[str, float] = {}


class Vm(msgspec.Struct, frozen=True):
    """A VM: what it is allocated now, its state, and its node (where it runs, or where its image sleeps).

    `vjob` names the group that is suspended and resumed together. `durations_s` overrides formulas by kind
    of action (`boot`, `migrate`, ...). `memory_used_mib` and the dirty rates (MiB, s, MiB/s) feed the
    network-aware pre-copy model when the cluster has a network.
    """

    name: str
    demand: Quantities
    node: str | None = None
    state: VmState = VmState.RUNNING
    vjob: str = ""
    durations_s: dict[str, float] = {}
    memory_used_mib: float = 0.0
    hot_dirty_mib: float = 5.0
    hot_dirty_s: float = 2.0
    cold_dirty_mibps: float = 0.0
    post_copy: bool = False


class Switch(msgspec.Struct, frozen=True):
    """`capacity_mbps` in Mbit/s is the sum it forwards; None when it blocks nothing."""

    name: str
    capacity_mbps: float | None = None


class Link(msgspec.Struct, frozen=True):
    """A full-duplex link of `capacity_mbps` (each way) from `switch` to a node or to another switch."""

    name: str
    switch: str
    end: str
    capacity_mbps: float
    end_is_node: bool = True


class Network(msgspec.Struct, frozen=True):
    """`routes` overrides shortest paths: (source node, destination node) -> names of the links on the way."""

    switches: tuple[Switch, ...] = ()
    links: tuple[Link, ...] = ()
    routes: dict[str, dict[str, tuple[str, ...]]] = {}


class Cluster(msgspec.Struct, frozen=True):
    """Nodes and VMs by name. Treat the mappings as read-only.

    `rtt_ms[a][b]` are measured round trips between nodes, or between sites for nodes that are not in it.
    """

    nodes: dict[str, Node] = {}
    vms: dict[str, Vm] = {}
    network: Network | None = None
    rtt_ms: dict[str, dict[str, float]] = {}

    @classmethod
    def of(cls, nodes: list[Node], vms: list[Vm]) -> Cluster:
        """From lists, each name once."""
        return cls({node.name: node for node in nodes}, {vm.name: vm for vm in vms})

    def round_trip_ms(self, a: str, b: str) -> float | None:
        """The round trip between two nodes (0 on one node); None when it was not measured."""
        if a == b:
            return 0.0
        for one, other in ((a, b), (self.nodes[a].site, self.nodes[b].site)):
            for x, y in ((one, other), (other, one)):
                if y in self.rtt_ms.get(x, {}):
                    return self.rtt_ms[x][y]
        return None


_UNITS = {"cpu_pct": "% CPU", "memory_mib": "MiB"}


def amount_text(amount: float, resource: str) -> str:
    """`30 uCpu`; the resources of the live system in words: `26 % CPU`, `512 MiB`."""
    return f"{amount:.10g} {_UNITS.get(resource, resource)}"
