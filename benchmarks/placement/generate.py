"""Clusters made from a seed, of any size: some nodes overloaded, some VMs bound by rules."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from lucos.model import Constraint, VmState
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.durations import Durations
from lucos.placement.problem import Objective, Problem

# Cores and GiB of the nodes there are; VMs take shares of these of very different sizes.
NODE_SIZES = ((32, 128), (48, 192), (64, 256))
VM_WEIGHTS = (1, 1, 2, 2, 3, 4, 6, 8)
SITE_NODES = 20
GROUP_VMS = 10
# One pair in so many shares a node when the plan begins: a rule that is broken already.
BROKEN_PAIRS = 10
FEWEST_MOVES = (Objective.MIGRATIONS, Objective.SUM_OF_ENDS)


class Shares(NamedTuple):
    """Which part of the VMs is bound by each kind of rule."""

    apart: float = 0.0
    fenced: float = 0.0
    banned: float = 0.0
    among: float = 0.0
    gathered: float = 0.0

    @classmethod
    def of(cls, total: float) -> Shares:
        """`total` of the VMs in a mix of all kinds."""
        return cls(*(total * part for part in (0.4, 0.2, 0.2, 0.1, 0.1)))


NO_RULES = Shares()


def overloaded(
    nodes: int, vms_per_node: int = 10, share: float = 0.08, rules: Shares = NO_RULES, seed: int = 1
) -> Problem:
    """A cluster of which `share` of the nodes lack CPU or memory; the others are 50 to 85 % full."""
    rng = random.Random(seed)
    hosts, vms = [], []
    over = set(rng.sample(range(nodes), round(nodes * share)))
    for i in range(nodes):
        cores, gib = rng.choice(NODE_SIZES)
        room = (cores * 100, gib * 1024)
        hosts.append(Node(f"N{i}", {"cpu_pct": room[0], "memory_mib": room[1]}, site=f"S{i // SITE_NODES}"))
        full = [rng.uniform(0.5, 0.85) for _ in room]
        if i in over:
            full[rng.random() < 0.3] = rng.uniform(1.03, 1.25)
        vms += _guests(rng, f"N{i}", room, full, i * vms_per_node, vms_per_node)
    return Problem(Cluster.of(hosts, vms), tuple(_rules(rng, hosts, vms, rules)), FEWEST_MOVES)


def _guests(
    rng: random.Random, node: str, room: tuple[int, int], full: Sequence[float], first: int, count: int
) -> list[Vm]:
    """VMs of mixed sizes that together take the share `full` of each resource of a node."""
    columns = []
    for capacity, part in zip(room, full, strict=True):
        weights = [rng.choice(VM_WEIGHTS) for _ in range(count)]
        columns.append([max(1, round(capacity * part * w / sum(weights))) for w in weights])
    return [
        Vm(f"V{first + i}", {"cpu_pct": cpu, "memory_mib": mib}, node)
        for i, (cpu, mib) in enumerate(zip(*columns, strict=True))
    ]


def _rules(rng: random.Random, hosts: list[Node], vms: list[Vm], shares: Shares) -> list[Constraint]:
    """Rules over disjoint VMs, in the order of `Shares`; nearly all hold when the plan begins."""
    order = rng.sample(range(len(vms)), len(vms))
    sites = _sites(hosts)
    home = {vm.name: int(vm.node[1:]) // SITE_NODES for vm in vms if vm.node}
    by_node: dict[str | None, list[str]] = {}
    for i in order:
        by_node.setdefault(vms[i].node, []).append(vms[i].name)
    free = dict.fromkeys(vms[i].name for i in order)
    made = _pairs(rng, "gather", shares.gathered, len(vms), by_node, free)
    made += _pairs(rng, "spread", shares.apart / BROKEN_PAIRS, len(vms), by_node, free)
    left = list(free)
    for _ in range(round(len(vms) * shares.apart * (1 - 1 / BROKEN_PAIRS) / 2)):
        made.append(Constraint("spread", (left.pop(), left.pop())))
    left.sort(key=home.__getitem__)
    groups = [tuple(left[i : i + GROUP_VMS]) for i in range(0, len(left), GROUP_VMS)]
    rng.shuffle(groups)
    for kind, share in (("fence", shares.fenced), ("among", shares.among), ("ban", shares.banned)):
        for _ in range(min(len(groups), round(len(vms) * share / GROUP_VMS))):
            made += _group(rng, kind, groups.pop(), sites, home)
    return made


def _sites(hosts: list[Node]) -> tuple[tuple[str, ...], ...]:
    names = [host.name for host in hosts]
    return tuple(tuple(names[i : i + SITE_NODES]) for i in range(0, len(names), SITE_NODES))


def _pairs(
    rng: random.Random,
    kind: str,
    share: float,
    count: int,
    by_node: dict[str | None, list[str]],
    free: dict[str, None],
) -> list[Constraint]:
    """Rules over two VMs that share a node."""
    nodes = list(by_node)
    made: list[Constraint] = []
    for _ in range(round(count * share / 2)):
        while len(guests := by_node[rng.choice(nodes)]) < 2:
            pass
        pair = (guests.pop(), guests.pop())
        for vm in pair:
            del free[vm]
        made.append(Constraint(kind, pair, relocate=kind == "gather"))
    return made


def _group(
    rng: random.Random,
    kind: str,
    group: tuple[str, ...],
    sites: tuple[tuple[str, ...], ...],
    home: dict[str, int],
) -> list[Constraint]:
    """One rule over VMs of about one site, or one for each of the sites they are at."""
    if kind == "ban":
        banned = rng.sample(sites, max(1, len(sites) // 10)) if len(sites) > 1 else [sites[0][:2]]
        return [Constraint("ban", group, tuple(name for site in banned for name in site), continuous=False)]
    parts: dict[int, list[str]] = {}
    for vm in group:
        parts.setdefault(home[vm], []).append(vm)
    if kind == "among":
        return [Constraint("among", tuple(part), groups=sites) for part in parts.values()]
    return [Constraint("fence", tuple(part), sites[site]) for site, part in parts.items()]


# (mean, deviation) of a VM's demand and what a node offers: VMPlaceS's injectors, the first and the later.
INJECTORS = ((70.0, 30.0, 800.0), (60.0, 20.0, 700.0))


def partition(seed: int, durations: Durations) -> Problem:
    """What a DVMS partition asks: 8 nodes, 80 VMs with VMPlaceS's demands, at least one node overloaded."""
    rng = random.Random(seed)
    mean, deviation, offered = INJECTORS[seed % 2]
    while True:
        demands = [min(max(rng.gauss(mean, deviation), 0.0), 100.0) for _ in range(80)]
        if any(sum(demands[i * 10 : i * 10 + 10]) > offered for i in range(8)):
            break
    hosts = [Node(f"N{i}", {"cpu_pct": offered, "memory_mib": 32768.0}, site=f"S{i // 4}") for i in range(8)]
    vms = [
        Vm(f"V{i}", {"cpu_pct": demand, "memory_mib": float(rng.choice((1024, 2048, 4096)))}, f"N{i // 10}")
        for i, demand in enumerate(demands)
    ]
    order = rng.sample([vm.name for vm in vms], len(vms))
    rules = [Constraint("spread", tuple(order[i : i + 2])) for i in range(0, rng.choice((0, 8, 16)), 2)]
    rules += [
        Constraint("fence", (vm,), tuple(f"N{n}" for n in range(4)))
        for vm in order[20 : rng.choice((20, 24))]
    ]
    rules += [Constraint("ban", (vm,), (f"N{rng.randrange(8)}",), continuous=False) for vm in order[30:34]]
    return Problem(Cluster.of(hosts, vms), tuple(rules), (Objective.MIGRATIONS,), durations)


def swaps(pairs: int) -> Problem:
    """Pairs of full nodes, each with a VM that has to change places with one of the other; one spare node."""
    hosts, vms, rules = [Node("spare", {"memory": 4.0})], [], []
    for i in range(pairs):
        for here, there in ((2 * i, 2 * i + 1), (2 * i + 1, 2 * i)):
            hosts.append(Node(f"N{here}", {"memory": 16.0}))
            vms += [Vm(f"V{here}.{j}", {"memory": 4.0}, f"N{here}") for j in range(4)]
            rules.append(Constraint("fence", (f"V{here}.0",), (f"N{there}",), continuous=False))
            rules.append(Constraint("root", tuple(f"V{here}.{j}" for j in (1, 2, 3))))
    return Problem(Cluster.of(hosts, vms), tuple(rules), FEWEST_MOVES)


def exchange() -> Problem:
    """A VM must run on a node that has room for it only after others changed places."""
    vms = [Vm(f"V{i}", {"memory": 2.0}, "N1") for i in (1, 2, 3)]
    vms += [Vm("V4", {"memory": 5.0}, "N2"), Vm("V5", {"memory": 5.0}, state=VmState.READY)]
    rules = (
        Constraint("running", ("V5",), continuous=False),
        Constraint("fence", ("V5",), ("N1",), continuous=False),
    )
    return Problem(Cluster.of([Node("N1", {"memory": 10.0}), Node("N2", {"memory": 10.0})], vms), rules)


def full(nodes: int = 4, vms: int = 100, size: float = 2.0) -> Problem:
    """Nodes exactly full, and one more VM that has to run."""
    room = size * vms / nodes
    hosts = [Node(f"N{i}", {"memory": room}) for i in range(nodes)]
    guests = [Vm(f"V{i}", {"memory": size}, f"N{i * nodes // vms}") for i in range(vms)]
    guests.append(Vm("more", {"memory": size}, state=VmState.READY))
    return Problem(Cluster.of(hosts, guests), (Constraint("running", ("more",), continuous=False),))
