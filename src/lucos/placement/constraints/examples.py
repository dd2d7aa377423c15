"""Small clusters and plans that the examples of several kinds share."""

from __future__ import annotations

from lucos.model import Boot, Kill, Migrate, Plan, PlannedAction, Shutdown, VmState
from lucos.placement.cluster import Cluster, Node, Vm

Step = Boot | Kill | Migrate | Shutdown


def cluster(
    hosts: dict[str, str | None], *, nodes: str = "N1 N2 N3", offline: str = "", **demand: float
) -> Cluster:
    """Nodes of 4 units of memory; VMs on the named nodes (None: ready) of 1 unit, or of `demand[vm]`."""
    return Cluster.of(
        [Node(name, {"memory": 4}, name not in offline.split()) for name in nodes.split()],
        [
            Vm(name, {"memory": demand.get(name, 1)}, host, VmState.RUNNING if host else VmState.READY)
            for name, host in hosts.items()
        ],
    )


def asleep(*, node: str = "N1", **hosts: str) -> Cluster:
    """A sleeping VM `S` with its image on `node`, beside VMs that run."""
    made = cluster(dict(hosts))
    return Cluster(made.nodes, {"S": Vm("S", {"memory": 1}, node, VmState.SLEEPING), **made.vms})


def plan(*steps: tuple[Step, float, float]) -> Plan:
    """A plan of (action, start, end), times in seconds."""
    return Plan(
        tuple(
            PlannedAction(number, action, start_s=start, end_s=end)
            for number, (action, start, end) in enumerate(steps)
        )
    )
