"""The simulated solver: solves as the real one does, and charges virtual time for it by a cost model."""

from __future__ import annotations

import msgspec

from lucos.actors.message import Message
from lucos.actors.ports import Solve, Solved
from lucos.actors.world import Actor, World
from lucos.placement.problem import Problem
from lucos.placement.worker import Request, answer


class SolverCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long solving takes: a constant and a part for each VM.

    Calibrated with repair problems: 20 VMs take 3 ms, 80 take 4, 1,280 take 33, 10,240 take 240 of a core,
    and 200,000 take 9.9 s (`make bench-placement`); rounded up.
    """

    call_s: float = 0.003
    per_vm_s: float = 5e-5

    def solving_s(self, problem: Problem) -> float:
        return self.call_s + self.per_vm_s * len(problem.cluster.vms)


class SimulatedThought(Message, frozen=True):
    """The time that solving takes is over."""

    request: Solve
    sender: str


class SimulatedSolver(Actor):
    """The Solver port (`actors.ports`) of one simulated node. Budgets must be of work, not of time.

    `calls` and `charged_s` tell what was asked of it so far.
    """

    def __init__(self, world: World, cost: SolverCost | None = None) -> None:
        super().__init__(world)
        self.calls = 0
        self.charged_s = 0.0
        self._cost = cost or SolverCost()
        self._free_s = 0.0

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case Solve(problem=problem, deadline_s=deadline_s):
                now_s = self.world.now_s()
                lasts_s = self._cost.solving_s(problem)
                self.calls += 1
                self.charged_s += lasts_s
                self._free_s = max(self._free_s, now_s) + lasts_s
                delay_s = min(self._free_s - now_s, deadline_s)
                self.world.after(delay_s, SimulatedThought(message, sender))
            case SimulatedThought(request=request, sender=asked_by):
                reply = answer(Request(request.problem, request.budget, request.deadline_s))
                solved = Solved(request.call_id, reply.solution, reply.error, reply.kind)
                self.world.send(asked_by, solved)
