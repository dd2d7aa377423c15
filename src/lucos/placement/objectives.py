"""What objectives are worth: the definitions that solver and planner share, and the value of a plan.

In arrays every objective is an integer: ticks, counts, scaled memory, milliwatts, millionths of capacity;
`unit_of` turns it into the number that people see.
"""

from __future__ import annotations

import numpy as np

from lucos.model import (
    Boot,
    BootNode,
    Kill,
    Migrate,
    Plan,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
)
from lucos.placement.arrays import NOWHERE, Arrays
from lucos.placement.holding import holds
from lucos.placement.lowering import arrays_of
from lucos.placement.primitives import Amounts, Mask
from lucos.placement.problem import Objective, Problem

# One unit of BALANCE is a thousandth of a resource's total capacity; arrays count in millionths of that.
_BALANCE_FINE = 1_000_000
PERCENT = 100


def objectives_of(problem: Problem) -> tuple[Objective, ...]:
    """The problem's objectives in order; soft rules put PENALTY first unless it is named."""
    named = tuple(dict.fromkeys(problem.objective))
    soft = any(rule.weight for rule in problem.constraints)
    return (Objective.PENALTY, *named) if soft and Objective.PENALTY not in named else named


def unit_of(objective: Objective, arrays: Arrays) -> float:
    """What one unit of the objective in arrays is for people."""
    match objective:
        case Objective.SUM_OF_ENDS | Objective.MAKESPAN:
            return arrays.problem.durations.tick_s
        case Objective.MIGRATED_MEMORY:
            memory = memory_resource(arrays)
            return 1 / arrays.scale[memory] if memory is not None else 1.0
        case Objective.BALANCE:
            return 1 / _BALANCE_FINE
        case Objective.ENERGY:
            return 1e-3
        case _:
            return 1.0


def memory_resource(arrays: Arrays) -> int | None:
    """The resource that counts as memory: the one named in the durations, else one whose name says so."""
    names = arrays.resources
    if arrays.problem.durations.memory in names:
        return names.index(arrays.problem.durations.memory)
    return next((i for i, name in enumerate(names) if name.lower().startswith("mem")), None)


def memory_of(arrays: Arrays) -> Amounts:
    """[V] what a VM's migration moves, for MIGRATED_MEMORY (1 each when no resource is memory)."""
    memory = memory_resource(arrays)
    return np.ones(len(arrays.vms), np.int64) if memory is None else arrays.use[:, memory]


def cpu_resource(arrays: Arrays) -> int:
    """The resource that power depends on: the first whose name contains `cpu`, else the first."""
    return next((i for i, name in enumerate(arrays.resources) if "cpu" in name.lower()), 0)


def balanced_nodes(arrays: Arrays) -> Mask:
    """[N] the nodes over which BALANCE spreads: online now and not to be emptied."""
    return np.asarray(arrays.online & ~arrays.closed)


def fair_shares(arrays: Arrays) -> tuple[Amounts, Amounts]:
    """([N, R] the load an even spread gives each node, rounded down; [R] weight of one unit away from it)."""
    nodes = balanced_nodes(arrays)
    offered = np.where(nodes[:, None], arrays.capacity, 0)
    total = np.maximum(offered.sum(axis=0), 1)
    needed = arrays.need[arrays.runs].sum(axis=0)
    return offered * needed // total, np.maximum(1000 * _BALANCE_FINE // total, 1)


def milliwatts(arrays: Arrays) -> list[Amounts | None]:
    """For each node its power at 0..100 % of load (whole percents, rounded down); None: it costs nothing."""
    tables: dict[tuple[float, ...], Amounts | None] = {(): None}
    found = []
    for node in arrays.problem.cluster.nodes.values():
        if node.watts not in tables:
            at = np.linspace(0, PERCENT, len(node.watts))
            watts = np.interp(np.arange(PERCENT + 1), at, node.watts)
            tables[node.watts] = np.rint(watts * 1000).astype(np.int64)
        found.append(tables[node.watts])
    return found


def load_of(arrays: Arrays, place: np.ndarray) -> Amounts:
    """[N, R] what nodes hold in the result when VMs are at `place`."""
    there = place >= 0
    load = np.zeros_like(arrays.capacity)
    np.add.at(load, place[there], arrays.need[there])
    return load


def result_value(objective: Objective, arrays: Arrays, place: np.ndarray, online: Mask) -> int:
    """NODES_USED, BALANCE, ENERGY, MIGRATIONS or MIGRATED_MEMORY of a result, in arrays' units."""
    if objective is Objective.NODES_USED:
        return len(np.unique(place[place >= 0]))
    if objective in (Objective.MIGRATIONS, Objective.MIGRATED_MEMORY):
        moved = arrays.runs & arrays.runs_now & (place != arrays.host)
        return int(memory_of(arrays)[moved].sum() if objective is Objective.MIGRATED_MEMORY else moved.sum())
    load = load_of(arrays, place)
    if objective is Objective.BALANCE:
        shares, weight = fair_shares(arrays)
        nodes = balanced_nodes(arrays)
        return int((np.abs(load - shares)[nodes] * weight).sum())
    assert objective is Objective.ENERGY, objective
    cpu = cpu_resource(arrays)
    total = 0
    for node, table in enumerate(milliwatts(arrays)):
        if table is not None and online[node]:
            room = max(int(arrays.capacity[node, cpu]), 1)
            total += int(table[min(PERCENT * int(load[node, cpu]) // room, PERCENT)])
    return total


def timed_value(objective: Objective, plan: Plan) -> float:
    """SUM_OF_ENDS or MAKESPAN of a plan, in seconds."""
    if objective is Objective.MAKESPAN:
        return plan.makespan_s
    return sum(step.end_s for step in plan.actions)


def migrations_of(plan: Plan) -> list[Migrate]:
    return [step.action for step in plan.actions if isinstance(step.action, Migrate)]


def penalty_of(arrays: Arrays, place: np.ndarray, online: Mask) -> int:
    """The weights of the soft rules that the result breaks, each once."""
    load = load_of(arrays, place)
    soft = [rule for rule in arrays.primitives if rule.weight]
    broken = {rule.rule: rule.weight for rule in soft if not holds(rule, arrays, place, online, load)}
    return sum(broken.values())


def value_of(objective: Objective, arrays: Arrays, plan: Plan, place: np.ndarray, online: Mask) -> float:
    """What a plan and its result are worth by one objective, in the unit people see."""
    match objective:
        case Objective.SUM_OF_ENDS | Objective.MAKESPAN:
            return timed_value(objective, plan)
        case Objective.MIGRATIONS:
            return len(migrations_of(plan))
        case Objective.MIGRATED_MEMORY:
            memory = memory_of(arrays)
            moved = sum(int(memory[arrays.vm_index[step.vm]]) for step in migrations_of(plan))
            return moved * unit_of(objective, arrays)
        case Objective.PENALTY:
            return penalty_of(arrays, place, online)
        case _:
            return result_value(objective, arrays, place, online) * unit_of(objective, arrays)


def values_of(problem: Problem, plan: Plan) -> tuple[float, ...]:
    """What a plan of the problem is worth by each of its objectives (`objectives_of`), in their order."""
    arrays = arrays_of(problem)
    place = np.where(arrays.runs_now, arrays.host, NOWHERE).astype(np.int32)
    online = arrays.online.copy()
    for step in sorted(plan.actions, key=lambda step: (step.end_s, step.start_s, step.number)):
        vm = arrays.vm_index.get(step.action.vm, NOWHERE)
        match step.action:
            case Boot(node=node) | Resume(node=node) | Migrate(destination=node):
                place[vm] = arrays.node_index[node]
            case Shutdown() | Kill() | Suspend():
                place[vm] = NOWHERE
            case BootNode(node=node):
                online[arrays.node_index[node]] = True
            case ShutdownNode(node=node):
                online[arrays.node_index[node]] = False
    return tuple(value_of(o, arrays, plan, place, online) for o in objectives_of(problem))
