"""The Solver port: a process that crashes, hangs, is killed and idles; and its simulated twin."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from lucos.actors import Message
from lucos.actors.ports import SOLVER, Solve, Solved, Warm
from lucos.actors.real.solver import PENDING_MAX, SolverProcess
from lucos.actors.simulated.solver import SolverCost
from lucos.model import Constraint
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.problem import Budget, Problem, Status
from lucos.placement.worker import LENGTH_BYTES, NICENESS, Reply, Request, frame
from lucos.simulator import SimulatedLuc
from support.asking import Client

WORK = Budget(work=0.5)
# Workers that misbehave: they read a frame, or not, and never answer it.
SILENT = (sys.executable, "-c", "import time; time.sleep(60)")
DYING = (sys.executable, "-c", "import sys; sys.stdin.buffer.read(4); sys.exit(3)")
BABBLING = (sys.executable, "-c", "import os; os.write(1, b'\\0\\0\\0\\2hi'); input()")


def problem(vms: int = 2) -> Problem:
    """Two VMs that must part, on two nodes."""
    nodes = [Node(name, {"cpu_pct": 100.0}) for name in ("h1", "h2")]
    guests = [Vm(f"v{i}", {"cpu_pct": 10.0}, "h1") for i in range(vms)]
    spread = Constraint("spread", tuple(vm.name for vm in guests[:2]))
    return Problem(Cluster.of(nodes, guests), (spread,))


class Asker:
    """Asks one solver and keeps its answers by call."""

    def __init__(self, *command: str, idle_s: float = 30.0) -> None:
        self.answers: dict[int, Solved] = {}
        options = {"command": command} if command else {}
        self.solver = SolverProcess(self._hear, idle_s=idle_s, **options)

    def _hear(self, to: str, message: Message) -> None:
        assert to == "asker"
        assert isinstance(message, Solved)
        assert message.call_id not in self.answers, "answered twice"
        self.answers[message.call_id] = message

    def tell(self, call_id: int, what: Problem | None = None, deadline_s: float = 30.0) -> None:
        self.solver.receive(Solve(call_id, what or problem(), WORK, deadline_s), "asker")

    async def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.01)

    async def answer(self, call_id: int) -> Solved:
        await self.until(lambda: call_id in self.answers)
        return self.answers[call_id]

    async def ask(self, call_id: int, what: Problem | None = None, deadline_s: float = 30.0) -> Solved:
        self.tell(call_id, what, deadline_s)
        return await self.answer(call_id)


def play(story: Callable[[Asker], Awaitable[None]], *command: str, idle_s: float = 30.0) -> None:
    async def played() -> None:
        asker = Asker(*command, idle_s=idle_s)
        try:
            await story(asker)
        finally:
            await asker.solver.close()
            assert asker.solver.pid is None

    asyncio.run(played())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_warmed_process_solves_at_a_low_priority_one_problem_after_the_other() -> None:
    async def story(asker: Asker) -> None:
        assert asker.solver.pid is None
        asker.solver.receive(Warm(), "asker")
        await asker.until(lambda: asker.solver.pid is not None)
        pid = asker.solver.pid
        for call_id in (1, 2, 3):
            asker.tell(call_id)
        for call_id in (1, 2, 3):
            solution = (await asker.answer(call_id)).solution
            assert solution is not None
            assert solution.status is Status.OPTIMAL
            assert len(solution.plan.actions) == 1
        assert pid is not None
        assert asker.solver.pid == pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == NICENESS

    play(story)


def test_a_problem_that_makes_no_sense_is_answered_with_what_is_wrong() -> None:
    async def story(asker: Asker) -> None:
        wrong = msgspec.structs.replace(problem(), constraints=(Constraint("spread", ("nobody",)),))
        answer = await asker.ask(1, wrong)
        assert answer.solution is None
        assert answer.kind == "InputError"
        assert "nobody" in answer.error
        assert (await asker.ask(2)).solution is not None

    play(story)


def test_a_process_that_is_killed_is_replaced_and_who_waited_is_told() -> None:
    async def story(asker: Asker) -> None:
        assert (await asker.ask(1)).solution is not None
        first = asker.solver.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        asker.tell(2)
        await asyncio.sleep(0.1)
        os.kill(first, signal.SIGKILL)
        answer = await asker.answer(2)
        assert (answer.solution, answer.kind) == (None, "OperationFailed")
        assert (await asker.ask(3)).solution is not None
        assert asker.solver.pid not in (None, first)

    play(story)


def test_a_process_that_died_between_problems_is_replaced_unnoticed() -> None:
    async def story(asker: Asker) -> None:
        assert (await asker.ask(1)).solution is not None
        first = asker.solver.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await asyncio.sleep(0.2)
        assert (await asker.ask(2)).solution is not None

    play(story)


@pytest.mark.parametrize("command", [DYING, BABBLING], ids=["dying", "babbling"])
def test_a_process_that_answers_nonsense_or_dies_fails_its_question(command: tuple[str, ...]) -> None:
    async def story(asker: Asker) -> None:
        for call_id in (1, 2):
            answer = await asker.ask(call_id)
            assert (answer.solution, answer.kind) == (None, "OperationFailed")
            assert asker.solver.pid is None

    play(story, *command)


def test_a_worker_that_cannot_be_started_fails_its_question() -> None:
    async def story(asker: Asker) -> None:
        asker.solver.receive(Warm(), "asker")
        answer = await asker.ask(1)
        assert (answer.solution, answer.kind) == (None, "OperationFailed")

    play(story, "/nonexistent/solver")


def test_a_process_that_takes_too_long_is_killed_at_the_deadline() -> None:
    async def story(asker: Asker) -> None:
        began_s = time.monotonic()
        asker.tell(1, deadline_s=0.3)
        asker.tell(2, deadline_s=0.6)
        await asker.until(lambda: asker.solver.pid is not None)
        pid = asker.solver.pid
        assert pid is not None
        assert (await asker.answer(1)).kind == "Unreachable"
        assert not alive(pid)
        assert "0.6 s" in (await asker.answer(2)).error
        assert 0.6 <= time.monotonic() - began_s < 5.0

    play(story, *SILENT)


def test_more_problems_than_can_wait_are_refused_at_once() -> None:
    async def story(asker: Asker) -> None:
        for call_id in range(PENDING_MAX + 1):
            asker.tell(call_id)
        assert asker.answers[PENDING_MAX].kind == "Refused"

    play(story, *SILENT)


def test_an_idle_process_is_ended_and_started_again_when_needed() -> None:
    async def story(asker: Asker) -> None:
        assert (await asker.ask(1)).solution is not None
        first = asker.solver.pid
        assert first is not None
        await asker.until(lambda: asker.solver.pid is None)
        assert not alive(first)
        assert (await asker.ask(2)).solution is not None

    play(story, idle_s=0.3)


def test_a_worker_ends_by_itself_when_its_agent_is_gone_or_no_longer_waits() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "lucos.placement.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(frame(Request(problem(), WORK, 30.0)))
        worker.stdin.flush()
        length = int.from_bytes(worker.stdout.read(LENGTH_BYTES), "big")
        assert msgspec.msgpack.decode(worker.stdout.read(length), type=Reply).solution is not None
        worker.stdin.write(frame(Request(problem(400), WORK, 1e-6)))
        worker.stdin.close()
        assert worker.wait(10) == -signal.SIGALRM
    ended = subprocess.run(
        [sys.executable, "-m", "lucos.placement.worker"], stdin=subprocess.DEVNULL, timeout=30, check=False
    )
    assert ended.returncode == 0


def test_the_simulated_solver_takes_time_for_each_problem_in_turn() -> None:
    luc = SimulatedLuc.small(1, 1)
    client = Client(luc)
    began_s = luc.simulation.now_s
    calls = [client.tell("h1", SOLVER, lambda c: Solve(c, problem(), WORK, 5.0)) for _ in range(2)]
    for number, call in enumerate(calls, 1):
        answer = client.wait(call)
        assert isinstance(answer, Solved)
        assert answer.solution is not None
        assert luc.simulation.now_s - began_s == pytest.approx(number * SolverCost().solving_s(problem()))


def test_the_simulated_solver_says_what_is_wrong() -> None:
    luc = SimulatedLuc.small(1, 1)
    wrong = msgspec.structs.replace(problem(), constraints=(Constraint("ban", ("v0",), ("h9",)),))
    answer = Client(luc).ask("h1", SOLVER, lambda c: Solve(c, wrong, WORK, 5.0))
    assert (answer.solution, answer.kind) == (None, "InputError")
