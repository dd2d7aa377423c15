"""Plans that are interrupted: what is left of the problem is solved again, from the middle."""

from __future__ import annotations

import numpy as np
import pytest

from lucos.model import Constraint, VmState
from lucos.placement.checker import check, check_orders
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.problem import Budget, Problem, Status
from lucos.placement.progress import remaining
from lucos.placement.solver import solve


def overloaded(seed: int) -> Problem:
    """Eight nodes, two overloaded; a VM to boot, one to suspend, one to resume; migrations of 1 to 5 s."""
    rng = np.random.default_rng(seed)
    vms = [
        Vm(f"V{i}", {"cpu": int(rng.integers(1, 6))}, f"N{i % 8}", durations_s={"migrate": 1 + i % 5})
        for i in range(32)
    ]
    vms += [Vm(f"L{i}", {"cpu": 8}, f"N{i % 2}", durations_s={"migrate": 3}) for i in range(4)]
    vms += [Vm("boots", {"cpu": 2}, state=VmState.READY), Vm("stops", {"cpu": 2}, "N3")]
    vms += [Vm("wakes", {"cpu": 2}, "N4", VmState.SLEEPING)]
    rules = (
        Constraint("running", ("boots", "wakes"), continuous=False),
        Constraint("sleeping", ("stops",), continuous=False),
        Constraint("spread", ("L0", "L1", "L2", "L3"), continuous=False),
        Constraint("spread", ("V0", "V1", "V2")),
    )
    return Problem(Cluster.of([Node(f"N{i}", {"cpu": 26}) for i in range(8)], vms), rules)


@pytest.mark.parametrize("seed", range(12))
def test_a_plan_interrupted_at_any_instant_is_finished_by_another(seed: int) -> None:
    problem = overloaded(seed)
    plan = solve(problem, Budget(work=0.3)).plan
    assert len(plan.actions) > 4
    for at_s in (0.0, 1.0, 1.5, 2.0, 3.5):
        ended = [step.number for step in plan.actions if step.end_s <= at_s]
        running = {s.number: s.end_s - at_s for s in plan.actions if s.start_s <= at_s < s.end_s}
        # The last of what was running failed.
        failed = [running.popitem()[0]] if len(running) > 1 else []
        left = remaining(problem, plan, ended, failed, running)
        again = solve(left, Budget(work=0.3))
        assert again.solved, again.reasons
        assert not check(left, again.plan)
        assert not check_orders(left, again.plan)
        assert not {s.action.vm for s in again.plan.actions} & {s.action.vm for s in left.ongoing}


def test_when_all_has_ended_nothing_is_left_to_do() -> None:
    problem = overloaded(1)
    plan = solve(problem, Budget(work=0.3)).plan
    again = solve(remaining(problem, plan, [step.number for step in plan.actions], [], {}))
    assert again.status is Status.OPTIMAL
    assert not again.plan.actions
