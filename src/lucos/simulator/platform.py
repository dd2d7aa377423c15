"""What a simulated LUC consists of: sites, hosts and their links, and the VMs it starts with. Plain data."""

from __future__ import annotations

import msgspec

from lucos.model import Constraint, Resources


class SitePlan(msgspec.Struct, frozen=True):
    """A site. `backbone_mibps` is what its connection to the other sites carries each way; 0 does not limit.

    `local_rtt_ms` is the round trip between two of its hosts.
    """

    name: str
    local_rtt_ms: float = 0.5
    backbone_mibps: float = 0.0


class HostPlan(msgspec.Struct, frozen=True):
    """A host. `link_mibps` is what its network carries each way.

    `watts` is its power at evenly spaced CPU loads from idle to full (empty: no power is accounted for), and
    `standby_watts` what it draws when it is switched off but can be woken.
    """

    name: str
    site: str
    capacity: Resources
    link_mibps: float = 119.2
    watts: tuple[float, ...] = ()
    standby_watts: float = 0.0


class VmPlan(msgspec.Struct, frozen=True):
    """A VM that runs on `host` when the simulation begins; `id` is `VE.name`.

    It wants `cpu_pct` of a core. `dirty_intensity` is the share of its migration's bandwidth at which it
    dirties memory when it uses a whole core (SimGrid's definition of a steady dirty ratio).
    """

    id: str
    host: str
    memory_mib: int = 1024
    cpu: int = 1
    cpu_pct: float = 0.0
    dirty_intensity: float = 0.0
    constraints: tuple[Constraint, ...] = ()


class Platform(msgspec.Struct, frozen=True):
    """`rtt_ms` are round trips between sites, by pair of names in either order; `between_rtt_ms` the others.

    `jitter` is the fraction of a one-way delay that is added at random, `loss` that of datagrams lost.
    """

    sites: tuple[SitePlan, ...]
    hosts: tuple[HostPlan, ...]
    vms: tuple[VmPlan, ...] = ()
    rtt_ms: dict[tuple[str, str], float] = {}
    between_rtt_ms: float = 20.0
    jitter: float = 0.1
    loss: float = 0.0
