"""The simulated solver: solves as the real one does, and charges virtual time for it by a cost model."""

from __future__ import annotations

from lucos.actors.message import Message
from lucos.actors.ports import Solve, Solved
from lucos.actors.world import Actor, World
from lucos.placement.problem import Problem
from lucos.placement.worker import Request, answer

CALL_S = 0.004
PER_VM_AND_NODE_S = 5e-6


def solving_s(problem: Problem) -> float:
    """How long solving takes: a constant and a part for each pair of VM and node, seen on partitions."""
    return CALL_S + PER_VM_AND_NODE_S * len(problem.cluster.vms) * len(problem.cluster.nodes)


class SimulatedThought(Message, frozen=True):
    """The time that solving takes is over."""

    request: Solve
    sender: str


class SimulatedSolver(Actor):
    """The Solver port (`actors.ports`) of one simulated node. Budgets must be of work, not of time."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._free_s = 0.0

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case Solve(problem=problem, deadline_s=deadline_s):
                now_s = self.world.now_s()
                self._free_s = max(self._free_s, now_s) + solving_s(problem)
                delay_s = min(self._free_s - now_s, deadline_s)
                self.world.after(delay_s, SimulatedThought(message, sender))
            case SimulatedThought(request=request, sender=asked_by):
                reply = answer(Request(request.problem, request.budget, request.deadline_s))
                solved = Solved(request.call_id, reply.solution, reply.error, reply.kind)
                self.world.send(asked_by, solved)
