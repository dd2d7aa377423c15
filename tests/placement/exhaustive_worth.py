"""What results are worth to the exhaustive reference, and what a part of one costs at least."""

from __future__ import annotations

import numpy as np
from exhaustive_world import NOWHERE, Action, Static

from lucos.model import Constraint
from lucos.placement.problem import Objective

FINE = 1_000_000
PERCENT = 100


class Worth:
    """The VMs that were put somewhere, and the value of each objective as integers.

    Units: ticks, counts, memory, millionths of a thousandth of all capacity, milliwatts, weights.
    """

    def __init__(
        self,
        world: Static,
        objectives: tuple[Objective, ...],
        order: list[int],
        options: dict[int, list[int]],
    ) -> None:
        self.world, self.objectives = world, objectives
        self.place = [NOWHERE] * len(world.vms)
        self.load = [[0.0] * len(world.resources) for _ in world.nodes]
        self.used = [0] * len(world.nodes)
        self.broken: list[Constraint] = []
        self.cost = {v: {n: self._costs(v, n) for n in options[v]} for v in order}
        # What the VMs from a depth on cost at least, each objective by itself.
        zero = (0,) * len(objectives)
        self.rest = [zero]
        for vm in reversed(order):
            rows = [self.cost[vm][n] for n in options[vm]] or [zero]
            least = tuple(min(column) for column in zip(*rows, strict=True))
            self.rest.append(self._joined(self.rest[-1], least))
        self.rest.reverse()
        self.spent = [zero]
        self._read_balance()
        self._read_power()

    def _joined(self, one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(
            max(a, b) if objective is Objective.MAKESPAN else a + b
            for objective, a, b in zip(self.objectives, one, other, strict=True)
        )

    def _costs(self, vm: int, node: int) -> tuple[int, ...]:
        """What each objective has to do with where this VM is."""
        world, action = self.world, self.world.action(vm, node)
        ticks = 0 if action is None else action.ticks
        if not world.nodes[node].online:
            ticks += world.node_action(node).ticks
        moved = action is not None and action.kind == "migrate"
        memory = "memory" if "memory" in world.resources else None
        moves = {
            Objective.SUM_OF_ENDS: ticks,
            Objective.MAKESPAN: ticks,
            Objective.MIGRATIONS: int(moved),
            Objective.MIGRATED_MEMORY: moved * int(world.vms[vm].demand.get(memory, 0) if memory else 1),
        }
        return tuple(moves.get(objective, 0) for objective in self.objectives)

    def _read_balance(self) -> None:
        """The even share of each node, and the weight of a unit away from it."""
        world = self.world
        self.spread = [n for n, node in enumerate(world.nodes) if node.online and not world.closed[n]]
        self.share, self.weight = {}, []
        for r in range(len(world.resources)):
            total = int(max(sum(world.capacity[n][r] for n in self.spread), 1))
            needed = int(sum(need[r] for need, runs in zip(world.need, world.runs, strict=True) if runs))
            self.weight.append(max(1000 * FINE // total, 1))
            for n in self.spread:
                self.share[n, r] = int(world.capacity[n][r]) * needed // total

    def _read_power(self) -> None:
        names = self.world.resources
        self.cpu = next((i for i, name in enumerate(names) if "cpu" in name.lower()), 0)
        self.power: list[list[int]] = []
        for node in self.world.nodes:
            at = np.linspace(0, PERCENT, max(len(node.watts), 1))
            watts = np.interp(np.arange(PERCENT + 1), at, node.watts or (0,))
            self.power.append([int(w) for w in np.rint(watts * 1000)])

    def _milliwatts(self, node: int) -> int:
        room = max(int(self.world.capacity[node][self.cpu]), 1)
        return self.power[node][min(PERCENT * int(self.load[node][self.cpu]) // room, PERCENT)]

    def put(self, vm: int, node: int, penalties: list[Constraint]) -> None:
        """The VM goes there, which breaks these soft rules."""
        self.place[vm] = node
        self.used[node] += 1
        for r, amount in enumerate(self.world.need[vm]):
            self.load[node][r] += amount
        self.spent.append(self._joined(self.spent[-1], self.cost[vm][node]))
        self.broken += penalties

    def take(self, vm: int, node: int, penalties: list[Constraint]) -> None:
        """Undoes the last `put`."""
        self.place[vm] = NOWHERE
        self.used[node] -= 1
        for r, amount in enumerate(self.world.need[vm]):
            self.load[node][r] -= amount
        self.spent.pop()
        del self.broken[len(self.broken) - len(penalties) :]

    def least(self, depth: int) -> tuple[int, ...]:
        """No result with the VMs where they are now costs less, by any objective."""
        costs = list(self._joined(self.spent[-1], self.rest[depth]))
        for i, objective in enumerate(self.objectives):
            match objective:
                case Objective.NODES_USED:
                    costs[i] = sum(map(bool, self.used))
                case Objective.PENALTY:
                    costs[i] = sum(rule.weight for rule in self.broken)
                case Objective.ENERGY:
                    costs[i] = sum(self._milliwatts(n) for n, used in enumerate(self.used) if used)
                case Objective.BALANCE:
                    costs[i] = self._above()
        return tuple(costs)

    def _above(self) -> int:
        """What is above the shares stays there, and is missing elsewhere (shares are rounded down)."""
        world = self.world
        return sum(
            int(max(self.load[n][r] - self.share[n, r], 0)) * weight
            for n in self.spread
            for r, weight in enumerate(self.weight)
            if world.capacity[n][r]
        )

    def final(
        self, online: tuple[bool, ...], actions: list[Action], broken: list[Constraint]
    ) -> tuple[int, ...]:
        """The value of a result; times as if every action started as soon as its node is on."""
        boots = {a.node: a.ticks for a in actions if a.kind == "boot_node"}
        leads = ("boot", "resume", "migrate")
        ends = [a.ticks + (boots.get(a.node, 0) if a.kind in leads else 0) for a in actions]
        values = list(self.least(len(self.rest) - 1))
        for i, objective in enumerate(self.objectives):
            match objective:
                case Objective.SUM_OF_ENDS:
                    values[i] = sum(ends)
                case Objective.MAKESPAN:
                    values[i] = max(ends, default=0)
                case Objective.PENALTY:
                    values[i] = sum(rule.weight for rule in broken)
                case Objective.ENERGY:
                    values[i] = sum(self._milliwatts(n) for n, on in enumerate(online) if on)
                case Objective.BALANCE:
                    values[i] = sum(
                        abs(int(self.load[n][r]) - self.share[n, r]) * weight
                        for n in self.spread
                        for r, weight in enumerate(self.weight)
                    )
        return tuple(values)

    def timed(self, final: tuple[int, ...], ends: int, last: int) -> tuple[int, ...]:
        """The value when the actions' ends sum to `ends` and the last one is at `last`."""
        times = {Objective.SUM_OF_ENDS: ends, Objective.MAKESPAN: last}
        return tuple(times.get(o, value) for o, value in zip(self.objectives, final, strict=True))

    def shown(self, values: tuple[int, ...]) -> tuple[float, ...]:
        """Values in the units that people see."""
        tick_s = self.world.problem.durations.tick_s
        units = {
            Objective.SUM_OF_ENDS: tick_s,
            Objective.MAKESPAN: tick_s,
            Objective.BALANCE: 1 / FINE,
            Objective.ENERGY: 1e-3,
        }
        return tuple(v * units.get(o, 1.0) for o, v in zip(self.objectives, values, strict=True))
