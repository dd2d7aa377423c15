"""Small random problems: every kind of rule, state and objective, most of them tight. A seed is a problem."""

from __future__ import annotations

from random import Random

import msgspec

from lucos.errors import InputError
from lucos.model import Constraint, VmState
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.constraints import SIGNATURES
from lucos.placement.durations import Durations, Linear
from lucos.placement.problem import Limits, Objective, Problem
from lucos.placement.validation import validate

RESOURCES = ("cpu", "memory")
TIMED = ("boot", "shutdown", "migrate", "suspend", "resume", "resume_remote", "kill", "allocate")
# Objectives whose optimum is far from what is there now: looked for in smaller problems.
BROAD = (Objective.BALANCE, Objective.ENERGY, Objective.NODES_USED)
KINDS_DRAWN = sorted(SIGNATURES)


def random_problem(seed: int) -> Problem:
    rng = Random(seed)
    objectives = rng.sample(list(Objective), rng.choice((1, 1, 1, 2, 2, 3)))
    broad = any(objective in BROAD for objective in objectives)
    nodes = _nodes(rng, rng.choice((2, 2, 3, 3) if broad else (2, 2, 3, 3, 3, 4, 4, 5, 6)))
    most = 6 if broad else 12 if rng.random() < 0.3 else 8
    vms = _vms(rng, nodes, rng.randint(1, most))
    kinds = ("boot_node", "shutdown_node", *TIMED)
    problem = Problem(
        msgspec.structs.replace(Cluster.of(nodes, vms), rtt_ms=_round_trips(rng, nodes)),
        objective=tuple(objectives),
        durations=Durations({kind: Linear(rng.randint(1, 4)) for kind in kinds}),
        limits=_limits(rng),
        horizon_s=rng.choice((3600.0,) * 9 + (float(rng.randint(3, 9)),)),
    )
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4, 5))):
        rule = _rule(rng, SIGNATURES[rng.choice(KINDS_DRAWN)], problem.cluster)
        longer = msgspec.structs.replace(problem, constraints=(*problem.constraints, rule))
        try:
            validate(longer)
        except InputError:
            continue
        problem = longer
    return problem


def _nodes(rng: Random, count: int) -> list[Node]:
    found = []
    for i in range(count):
        capacity: dict[str, float] = {r: rng.randint(3, 9) for r in RESOURCES}
        watts = (float(rng.randint(50, 100)), float(rng.randint(150, 300))) if rng.random() < 0.8 else ()
        if watts and rng.random() < 0.3:
            watts = (watts[0], float(rng.randint(int(watts[0]), int(watts[1]))), watts[1])
        online = i == 0 or rng.random() < 0.85
        own = {"boot_node": float(rng.randint(1, 5))} if rng.random() < 0.2 else {}
        found.append(Node(f"N{i}", capacity, online, rng.choice(("", "east")), watts, own))
    return found


def _vms(rng: Random, nodes: list[Node], count: int) -> list[Vm]:
    states = (VmState.RUNNING,) * 15 + (VmState.READY, VmState.READY, VmState.SLEEPING, VmState.SLEEPING)
    online = [node for node in nodes if node.online]
    left = {node.name: dict(node.capacity) for node in online}
    found = []
    for i in range(count):
        state = rng.choice((*states, VmState.PAUSED, VmState.KILLED) if rng.random() < 0.3 else states)
        demand: dict[str, float] = {r: rng.choice((0, 1, 1, 2, 2, 3, 4)) for r in RESOURCES}
        node = None
        if state in (VmState.RUNNING, VmState.PAUSED):
            roomy = [n.name for n in online if all(left[n.name][r] >= demand[r] for r in RESOURCES)]
            overload = not roomy or rng.random() < (0.2 if count < 8 else 0.06)
            node = rng.choice([n.name for n in online] if overload else roomy)
            for resource in RESOURCES:
                left[node][resource] -= demand[resource]
        elif state is VmState.SLEEPING:
            node = rng.choice(online).name
        own = {rng.choice(TIMED): float(rng.randint(1, 6))} if rng.random() < 0.3 else {}
        found.append(Vm(f"V{i}", demand, node, state, durations_s=own))
    return found


def _round_trips(rng: Random, nodes: list[Node]) -> dict[str, dict[str, float]]:
    names = [node.name for node in nodes]
    return {
        a: {b: float(rng.choice((1, 3, 9))) for b in names[i + 1 :] if rng.random() < 0.9}
        for i, a in enumerate(names)
    }


def _limits(rng: Random) -> Limits:
    if rng.random() < 0.85:
        return Limits()
    return Limits(*(rng.choice((None, 1, 2)) for _ in range(3)))


def _some(rng: Random, names: list[str], least: int = 1) -> tuple[str, ...]:
    count = rng.randint(min(least, len(names)), max(1, min(len(names), 4)))
    return tuple(rng.sample(names, count))


def _parts(rng: Random, names: list[str]) -> tuple[tuple[str, ...], ...]:
    """Two or three disjoint sets of names that may leave some out."""
    mixed = rng.sample(names, len(names))
    cuts = sorted(rng.sample(range(1, len(mixed)), min(2, len(mixed) - 1))) if len(mixed) > 1 else []
    parts = [mixed[i:j] for i, j in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]
    if len(parts) == 3 and rng.random() < 0.4:
        parts.pop()
    return tuple(tuple(part) for part in parts)


def _rule(rng: Random, signature: Signature, cluster: Cluster) -> Constraint:
    vms, nodes = list(cluster.vms), list(cluster.nodes)
    takes = signature.also if signature.also and rng.random() < 0.5 else signature.takes
    rule = Constraint(signature.name)
    fields: dict[str, object] = {}
    singles = takes.count(Role.VM)
    if singles:
        fields["vms"] = tuple(rng.sample(vms, min(singles, len(vms))))
    for role in takes:
        match role:
            case Role.VMS:
                fields["vms"] = _some(rng, vms, 2 if rng.random() < 0.9 else 1)
            case Role.NODES:
                fields["nodes"] = _some(rng, nodes, 1)
            case Role.NODE:
                fields["nodes"] = (rng.choice(nodes),)
            case Role.SETS:
                fields["sets"] = _parts(rng, vms)
            case Role.GROUPS:
                fields["groups"] = _parts(rng, nodes)
            case Role.RESOURCE:
                fields["resource"] = rng.choice(RESOURCES)
            case Role.AMOUNT:
                fields["amount"] = _amount(rng, signature.name)
    continuous = signature.modes is Modes.CONTINUOUS
    if signature.modes is Modes.BOTH:
        continuous = rng.random() < 0.5
    soft = signature.soft and rng.random() < 0.2
    fields |= {
        "continuous": continuous,
        "weight": rng.randint(1, 9) if soft else 0,
        "relocate": signature.relocates and continuous and not soft and rng.random() < 0.5,
    }
    return msgspec.structs.replace(rule, **fields)


def _amount(rng: Random, kind: str) -> float:
    match kind:
        case "headroom":
            return rng.choice((0.1, 0.25, 0.5))
        case "overbook":
            return rng.choice((1.0, 1.25, 1.5, 2.0))
        case "maxOnline":
            return float(rng.randint(1, 3))
        case "latency":
            return float(rng.choice((1, 3)))
        case "deadline":
            return float(rng.randint(1, 6))
        case _:
            return float(rng.randint(1, 6))
