"""From a problem's names to arrays: amounts to integers, durations to ticks, rules to primitives."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lucos.model import (
    Boot,
    BootNode,
    Kill,
    Migrate,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
    VmState,
)
from lucos.placement.arrays import KILLED, NOWHERE, READY, RUNNING, SLEEPING, Arrays
from lucos.placement.cluster import Node, Vm
from lucos.placement.constraints import KINDS
from lucos.placement.precopy import best_copy_s
from lucos.placement.primitives import Allow, Amounts, AnyPrimitive, Apart, Together, ints
from lucos.placement.problem import Problem

_STATES = {
    VmState.READY: READY,
    VmState.RUNNING: RUNNING,
    VmState.PAUSED: RUNNING,
    VmState.SLEEPING: SLEEPING,
    VmState.KILLED: KILLED,
}

_KINDS = ("migrate", "allocate", "resume", "resume_remote", "boot", "suspend", "shutdown", "kill")

# Fractions of a resource are kept to this many parts.
FINE = 1000


def arrays_of(problem: Problem) -> Arrays:
    """The arrays of a valid problem (see `validation.validate`). O(VMs + nodes + rules)."""
    cluster = problem.cluster
    nodes, vms = list(cluster.nodes.values()), list(cluster.vms.values())
    resources = tuple(
        sorted({name for n in nodes for name in n.capacity} | {r for v in vms for r in v.demand})
    )
    node_index = {node.name: i for i, node in enumerate(nodes)}
    vm_index = {vm.name: i for i, vm in enumerate(vms)}
    offered = _table((node.capacity for node in nodes), resources, len(nodes))
    used = _table((vm.demand for vm in vms), resources, len(vms))
    scale = _scales(problem, resources, offered, used)
    use = np.ceil(used * scale - 1e-6).astype(np.int64)
    state = ints([_STATES[vm.state] for vm in vms])
    ticks = _vm_ticks(problem, vms)
    arrays = Arrays(
        problem=problem,
        resources=resources,
        scale=tuple(int(s) for s in scale),
        nodes=tuple(node_index),
        vms=tuple(vm_index),
        node_index=node_index,
        vm_index=vm_index,
        capacity=np.floor(offered * scale + 1e-6).astype(np.int64),
        use=use,
        need=use.copy(),
        host=ints([NOWHERE if vm.node is None else node_index[vm.node] for vm in vms]),
        state=state,
        target=state.copy(),
        pinned=np.asarray([vm.state is VmState.PAUSED for vm in vms], dtype=np.bool_),
        online=np.asarray([node.online for node in nodes], dtype=np.bool_),
        node_target=np.full(len(nodes), -1, dtype=np.int32),
        closed=np.zeros(len(nodes), dtype=np.bool_),
        horizon=_ticks(problem, problem.horizon_s),
        migrate_ticks=ticks[:, 0],
        allocate_ticks=ticks[:, 1],
        resume_local_ticks=ticks[:, 2],
        resume_remote_ticks=ticks[:, 3],
        # By the state wanted, which is known once the rules were prepared: see `_fix_changes`.
        change_ticks=ticks[:, 4:],
        node_ticks=_node_ticks(problem, nodes),
    )
    _add_ongoing(arrays)
    _lower_rules(arrays)
    _fix_changes(arrays)
    return arrays


def _table(rows: Iterable[dict[str, float]], resources: tuple[str, ...], count: int) -> np.ndarray:
    table = np.zeros((count, len(resources)))
    column = {name: j for j, name in enumerate(resources)}
    for i, row in enumerate(rows):
        for name, amount in row.items():
            if name in column:
                table[i, column[name]] = amount
    return table


def _scales(problem: Problem, resources: tuple[str, ...], *tables: np.ndarray) -> np.ndarray:
    """1 for resources whose amounts are whole, `FINE` for others."""
    whole = np.ones(len(resources), dtype=np.bool_)
    for table in tables:
        whole &= np.all(table == np.rint(table), axis=0)
    for rule in problem.constraints:
        if rule.resource in resources and rule.kind in ("preserve", "resourceCapacity"):
            whole[resources.index(rule.resource)] &= float(rule.amount).is_integer()
    return np.where(whole, 1, FINE)


def _ticks(problem: Problem, seconds: float) -> int:
    return math.ceil(seconds / problem.durations.tick_s - 1e-6)


def _vm_ticks(problem: Problem, vms: list[Vm]) -> Amounts:
    """[V, kinds of `_KINDS`]; VMs that are alike in what decides are computed once."""
    durations, network = problem.durations, problem.cluster.network
    known: dict[object, list[int]] = {}
    rows = []
    for vm in vms:
        own = tuple(vm.durations_s.items()) if vm.durations_s else ()
        copied = None
        if network is not None and "migrate" not in vm.durations_s:
            # At best; the planner knows what bandwidth there is.
            copied = best_copy_s(vm, network)
        key = (own, vm.demand.get(durations.memory, 0.0), copied)
        row = known.get(key)
        if row is None:
            row = known[key] = [_ticks(problem, durations.of_vm(kind, vm)) for kind in _KINDS]
            if copied is not None:
                row[0] = _ticks(problem, copied)
        rows.append(row)
    return np.asarray(rows, dtype=np.int64).reshape(len(vms), len(_KINDS))


def _node_ticks(problem: Problem, nodes: list[Node]) -> Amounts:
    kinds = ("shutdown_node" if node.online else "boot_node" for node in nodes)
    ticks = [_ticks(problem, problem.durations.of_node(k, n)) for k, n in zip(kinds, nodes, strict=True)]
    return np.asarray(ticks, dtype=np.int64)


def _add_ongoing(arrays: Arrays) -> None:
    """What is under way counts where it leads, and holds what it leaves until it ends."""
    for step in arrays.problem.ongoing:
        action = step.action
        if isinstance(action, BootNode | ShutdownNode):
            arrays.node_target[arrays.node_index[action.node]] = isinstance(action, BootNode)
            continue
        vm = arrays.vm_index[action.vm]
        arrays.pinned[vm] = True
        if isinstance(action, Migrate | Suspend | Shutdown | Kill) and arrays.state[vm] == RUNNING:
            arrays.leaving.append((int(arrays.host[vm]), vm, _ticks(arrays.problem, step.end_s)))
        match action:
            case Migrate(destination=node) | Boot(node=node) | Resume(node=node):
                arrays.host[vm] = arrays.node_index[node]
                arrays.state[vm] = RUNNING
            case Suspend():
                arrays.state[vm] = SLEEPING
            case Shutdown() | Kill():
                arrays.state[vm] = READY if isinstance(action, Shutdown) else KILLED
                arrays.host[vm] = NOWHERE
        arrays.target[vm] = arrays.state[vm]
        for resource, amount in getattr(action, "amounts", ()):
            r = arrays.resource_of(resource)
            arrays.use[vm, r] = max(arrays.use[vm, r], arrays.scaled(amount, r))
        arrays.need[vm] = arrays.use[vm]


def _lower_rules(arrays: Arrays) -> None:
    rules = arrays.problem.constraints
    for number, rule in enumerate(rules):
        KINDS[rule.kind].prepare(rule, number, arrays)
    for node in np.flatnonzero(arrays.node_target == 0):
        arrays.closed[node] = True
    for number, rule in enumerate(rules):
        arrays.primitives += KINDS[rule.kind].lower(rule, number, arrays)
    stay = np.flatnonzero(arrays.pinned & arrays.runs & arrays.runs_now)
    for vm in stay:
        mask = np.zeros(len(arrays.nodes), dtype=np.bool_)
        mask[arrays.host[vm]] = True
        arrays.primitives.append(Allow(rule=-1, vms=ints([vm]), nodes=mask))


def _fix_changes(arrays: Arrays) -> None:
    """Pick each VM's change duration by the state it will be in: boot, suspend, shutdown or kill."""
    boot, suspend, shutdown, kill = (arrays.change_ticks[:, j] for j in range(4))
    arrays.change_ticks = np.select(
        [arrays.target == RUNNING, arrays.target == SLEEPING, arrays.target == KILLED],
        [boot, suspend, kill],
        shutdown,
    )


def rules_by_vm(primitives: list[AnyPrimitive], count: int) -> list[list[AnyPrimitive]]:
    """For each VM the primitives that restrict where it may be."""
    found: list[list[AnyPrimitive]] = [[] for _ in range(count)]
    for primitive in primitives:
        if isinstance(primitive, Apart):
            groups = primitive.sides
        elif isinstance(primitive, Together | Allow):
            groups = (primitive.vms,)
        else:
            continue
        for group in groups:
            for vm in group:
                found[vm].append(primitive)
    return found
