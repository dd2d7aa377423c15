"""Tiny clusters and rules of any kind about them, drawn by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from lucos.model import Constraint, VmState
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.constraints import SIGNATURES
from lucos.placement.moment import Moment

AMOUNTS = {
    "headroom": (0, 0.25, 0.5, 1),
    "overbook": (1, 1.1, 1.5, 2),
    "latency": (1, 3),
    "maxOnline": (0, 1, 2),
}


@st.composite
def clusters(draw: DrawFn) -> Cluster:
    """Two or three nodes and one to three VMs, in every state, on nodes that are online."""
    names = [f"N{i}" for i in range(draw(st.integers(2, 3)))]
    off = draw(st.sampled_from([None, None, names[-1]]))
    nodes = [
        Node(name, {"cpu": draw(st.integers(1, 6))}, name != off, draw(st.sampled_from(["", "east"])))
        for name in names
    ]
    vms = []
    for i in range(draw(st.integers(1, 3))):
        state = draw(
            st.sampled_from([VmState.RUNNING] * 4 + [VmState.READY, VmState.SLEEPING, VmState.PAUSED])
        )
        host = None if state is VmState.READY else draw(st.sampled_from([n for n in names if n != off]))
        vms.append(Vm(f"V{i}", {"cpu": draw(st.integers(0, 4))}, host, state))
    trips = st.dictionaries(st.sampled_from([*names, "east"]), st.sampled_from([1.0, 3.0, 9.0]))
    made = Cluster.of(nodes, vms)
    return Cluster(
        made.nodes, made.vms, rtt_ms=draw(st.dictionaries(st.sampled_from([*names, "east"]), trips))
    )


@st.composite
def rules(draw: DrawFn, kind: str, cluster: Cluster) -> Constraint:
    """A hard rule of a kind, as its signature asks, continuous or not."""
    signature = SIGNATURES[kind]
    takes = draw(st.sampled_from([form for form in (signature.takes, signature.also) if form]))
    vms, nodes = list(cluster.vms), list(cluster.nodes)
    fields: dict[str, object] = {}
    for role in takes:
        match role:
            case Role.VM | Role.VMS:
                fields["vms"] = draw(_some(vms))
            case Role.NODE | Role.NODES:
                fields["nodes"] = draw(_some(nodes))
            case Role.SETS:
                fields["sets"] = draw(_parts(vms))
            case Role.GROUPS:
                fields["groups"] = draw(_parts(nodes))
            case Role.RESOURCE:
                fields["resource"] = "cpu"
            case Role.AMOUNT:
                fields["amount"] = draw(st.sampled_from(AMOUNTS.get(kind, (1, 2, 3, 5))))
    return Constraint(kind, continuous=draw(_continuous(signature)), **fields)  # type: ignore[arg-type]


def _continuous(signature: Signature) -> st.SearchStrategy[bool]:
    if signature.modes is Modes.BOTH:
        return st.booleans()
    return st.just(signature.modes is Modes.CONTINUOUS)


def _some(names: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)


@st.composite
def _parts(draw: DrawFn, names: list[str]) -> tuple[tuple[str, ...], ...]:
    """One to three disjoint sets, which may leave names out."""
    numbers = [draw(st.integers(0, 3)) for _ in names]
    parts = (tuple(n for n, i in zip(names, numbers, strict=True) if i == part) for part in range(3))
    return tuple(part for part in parts if part) or ((names[0],),)


def beginning(cluster: Cluster) -> Moment:
    """The cluster as it is, as checkers see it."""
    holding = (VmState.RUNNING, VmState.PAUSED)
    return Moment(
        {name: frozenset((vm.node,)) for name, vm in cluster.vms.items() if vm.node and vm.state in holding},
        cluster,
        {name: vm.state for name, vm in cluster.vms.items()},
        frozenset(name for name, node in cluster.nodes.items() if node.online),
    )
