"""Objectives as sums over the variables of the model; those of time by a lower bound."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from lucos.placement.arrays import NOWHERE, READY, RUNNING, SLEEPING, Arrays
from lucos.placement.exact.choices import Indexes
from lucos.placement.exact.rules import Encoder
from lucos.placement.objectives import (
    PERCENT,
    balanced_nodes,
    cpu_resource,
    fair_shares,
    memory_of,
    milliwatts,
)
from lucos.placement.primitives import Amounts, Ints
from lucos.placement.problem import Objective


class Sum(msgspec.Struct, eq=False):
    """`constant` plus the sum of factors x variables."""

    variables: list[int] = []
    factors: list[int] = []
    constant: int = 0

    def add(self, variables: list[int], factors: list[int]) -> None:
        """Terms of factor 0 are left out."""
        for variable, factor in zip(variables, factors, strict=True):
            if factor:
                self.variables.append(variable)
                self.factors.append(factor)

    def value(self, values: Sequence[int]) -> int:
        return self.constant + sum(f * values[v] for v, f in zip(self.variables, self.factors, strict=True))


def ticks_of(arrays: Arrays, vms: Indexes, nodes: Indexes) -> Amounts:
    """How long at least until the action of each VM ends when it runs at the node in the result; 0: none.

    A node that is off must be booted first.
    """
    host, state = arrays.host[vms], arrays.state[vms]
    stays = host == nodes
    changed = np.any(arrays.need[vms] != arrays.use[vms], axis=1)
    found = np.select(
        [state == RUNNING, state == SLEEPING, state == READY],
        [
            np.where(stays, np.where(changed, arrays.allocate_ticks[vms], 0), arrays.migrate_ticks[vms]),
            np.where(stays, arrays.resume_local_ticks[vms], arrays.resume_remote_ticks[vms]),
            arrays.change_ticks[vms],
        ],
        0,
    )
    return np.asarray(np.where(arrays.online[nodes], found, found + arrays.node_ticks[nodes]), np.int64)


class Goals:
    """Builds each objective over an encoded model; variables that it needs are added to the model."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.arrays, self.choices = encoder, encoder.arrays, encoder.choices
        self.model, self.online = encoder.model, encoder.online
        self.pairs = list(range(len(self.choices.node)))

    def of(self, objective: Objective) -> Sum:
        match objective:
            case Objective.SUM_OF_ENDS:
                return self._sum_of_ends()
            case Objective.MAKESPAN:
                return self._makespan()
            case Objective.MIGRATIONS:
                return self._moved(np.ones(len(self.arrays.vms), np.int64))
            case Objective.MIGRATED_MEMORY:
                return self._moved(memory_of(self.arrays))
            case Objective.NODES_USED:
                return self._nodes_used()
            case Objective.BALANCE:
                return self._balance()
            case Objective.ENERGY:
                return self._energy()
            case Objective.PENALTY:
                return self._penalty()

    def _others(self) -> tuple[Indexes, Ints]:
        """The VMs that run in the result and are not placed by the model, and where."""
        vms = np.flatnonzero(self.choices.fixed != NOWHERE)
        return vms, self.choices.fixed[vms]

    def _changes(self) -> Amounts:
        """Durations of the actions of VMs that do not run in the result."""
        arrays = self.arrays
        return np.asarray(arrays.change_ticks[~arrays.runs & (arrays.target != arrays.state)], np.int64)

    def node_changes(self) -> Sum:
        """How many nodes are switched, as far as that is free."""
        total = Sum()
        for node in np.flatnonzero(self.online >= 0):
            total.add([int(self.online[node])], [-1 if self.arrays.online[node] else 1])
            total.constant += int(self.arrays.online[node])
        return total

    def _switched(self) -> Indexes:
        """The nodes that are switched whatever the model decides."""
        on = self.online == self.encoder.ON
        off = self.online == self.encoder.OFF
        return np.flatnonzero(np.where(self.arrays.online, off, on))

    def _sum_of_ends(self) -> Sum:
        arrays, choices = self.arrays, self.choices
        total = Sum(constant=int(self._changes().sum() + ticks_of(arrays, *self._others()).sum()))
        total.constant += int(arrays.node_ticks[self._switched()].sum())
        total.add(self.pairs, ticks_of(arrays, choices.vms[choices.row], choices.node).tolist())
        for node in np.flatnonzero(self.online >= 0):
            ticks = int(arrays.node_ticks[node])
            total.add([int(self.online[node])], [-ticks if arrays.online[node] else ticks])
            total.constant += ticks if arrays.online[node] else 0
        return total

    def _makespan(self) -> Sum:
        arrays, choices, model = self.arrays, self.choices, self.model
        sure = [self._changes(), ticks_of(arrays, *self._others()), arrays.node_ticks[self._switched()]]
        floor = int(max((part.max() for part in sure if part.size), default=0))
        ticks = ticks_of(arrays, choices.vms[choices.row], choices.node)
        end = model.integer(
            floor, max(floor, int(ticks.max(initial=0)), int(arrays.node_ticks.max(initial=0)))
        )
        for row in range(len(choices.vms)):
            mine = slice(int(choices.first[row]), int(choices.first[row + 1]))
            if ticks[mine].max(initial=0) > floor:
                model.linear([end, *self.pairs[mine]], [1, *(-ticks[mine]).tolist()], low=0)
        for node in np.flatnonzero(self.online >= 0):
            on, length = int(self.online[node]), int(arrays.node_ticks[node])
            if arrays.online[node]:
                model.linear([end, on], [1, length], low=length)
            else:
                model.linear([end, on], [1, -length], low=0)
        return Sum([end], [1])

    def _moved(self, weight: Amounts) -> Sum:
        arrays, choices = self.arrays, self.choices
        vms, nodes = self._others()
        away = arrays.runs_now[vms] & (arrays.host[vms] != nodes)
        total = Sum(constant=int(weight[vms[away]].sum()))
        vms = choices.vms[choices.row]
        away = arrays.runs_now[vms] & (arrays.host[vms] != choices.node)
        total.add(self.pairs, (weight[vms] * away).tolist())
        return total

    def _nodes_used(self) -> Sum:
        used = np.unique(self._others()[1])
        total = Sum(constant=len(used))
        pairs = np.flatnonzero(~np.isin(self.choices.node, used))
        for node, there in self.choices.by_node(pairs):
            some = self.encoder.any_of(there.tolist())
            total.add([some], [1])
            # Follows from the rest; with it the relaxation knows how much a node can take.
            for resource, room in enumerate(self.arrays.capacity[node].tolist()):
                mine, amounts, _ = self._load(node, there, resource)
                if sum(amounts) > room:
                    self.model.linear([*mine, some], [*amounts, -room], high=0)
        return total

    def _load(self, node: int, pairs: Indexes, resource: int) -> tuple[list[int], list[int], int]:
        """What a node holds: pairs, amounts and what is there anyway."""
        amounts = self.arrays.need[self.choices.vms[self.choices.row[pairs]], resource]
        some = amounts > 0
        return pairs[some].tolist(), amounts[some].tolist(), int(self.choices.load[node, resource])

    def _balance(self) -> Sum:
        arrays, total = self.arrays, Sum()
        shares, weights = fair_shares(arrays)
        there = dict(self.choices.by_node(np.arange(len(self.choices.node))))
        for node in np.flatnonzero(balanced_nodes(arrays)).tolist():
            for resource, weight in enumerate(weights.tolist()):
                pairs, amounts, least = self._load(node, there.get(node, self.choices.row[:0]), resource)
                share = int(shares[node, resource])
                if not pairs:
                    total.constant += weight * abs(least - share)
                    continue
                away = self.model.integer(0, max(share, least + sum(amounts)))
                self.model.linear([away, *pairs], [1, *(-a for a in amounts)], low=least - share)
                self.model.linear([away, *pairs], [1, *amounts], low=share - least)
                total.add([away], [weight])
        return total

    def _energy(self) -> Sum:
        """An online node costs its idle power, and what its power at its load (whole percents) adds."""
        arrays, total, cpu = self.arrays, Sum(), cpu_resource(self.arrays)
        there = dict(self.choices.by_node(np.arange(len(self.choices.node))))
        for node, table in enumerate(milliwatts(arrays)):
            on = int(self.online[node])
            if table is None or on == self.encoder.OFF:
                continue
            if on >= 0:
                total.add([on], [int(table[0])])
            else:
                total.constant += int(table[0])
            pairs, amounts, least = self._load(node, there.get(node, self.choices.row[:0]), cpu)
            room = max(int(arrays.capacity[node, cpu]), 1)
            if not pairs:
                percent = min(PERCENT * least // room, PERCENT)
                total.constant += int(table[percent] - table[0])
                continue
            percent = self.model.integer(0, PERCENT)
            row = [PERCENT * amount for amount in amounts]
            # percent x room <= 100 x load <= percent x room + room - 1: the load never exceeds the room.
            self.model.linear(
                [*pairs, percent], [*row, -room], low=-PERCENT * least, high=room - 1 - PERCENT * least
            )
            self._power(total, percent, table)
        return total

    def _power(self, total: Sum, percent: int, table: Amounts) -> None:
        steps = np.diff(table)
        if (steps == steps[0]).all():
            total.add([percent], [int(steps[0])])
            return
        added = (table - table[0]).tolist()
        power = self.model.integer(min(added), max(added))
        self.model.lookup(percent, added, power)
        # The steepest line below the table: what the relaxation knows of it.
        slope = min(added[p] // p for p in range(1, PERCENT + 1))
        self.model.linear([power, percent], [1, -slope], low=0)
        total.add([power], [1])

    def _penalty(self) -> Sum:
        rules, total = self.arrays.problem.constraints, Sum()
        for rule, literal in self.encoder.broken.items():
            total.add([literal], [rules[rule].weight])
        return total
