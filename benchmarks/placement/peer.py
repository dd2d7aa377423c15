"""The plain way: one CP-SAT model with a Boolean per VM and node, as the nearest rival has it, beside ours.

`python -m benchmarks.placement.peer FILE SECONDS` solves one of our instances so; it knows capacities and
pairs that must be apart, minimises the number of moved VMs, and plans no order of the moves.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.placement.measure import peak_mb

if TYPE_CHECKING:
    from lucos.placement.problem import Problem


def measured(file: Path, limit_s: float) -> dict[str, Any]:
    """`status`, `total_s`, `moves` (None: no answer) and `peak_mb` of the plain model in a fresh process."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.placement.peer", str(file), str(limit_s)], stdout=subprocess.PIPE
    )
    if run.returncode:
        return {"status": "failed", "total_s": 0.0, "moves": None, "peak_mb": 0.0}
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def main() -> None:
    began_s = time.perf_counter()
    file, limit_s = Path(sys.argv[1]), float(sys.argv[2])
    from ortools.sat.python import cp_model

    from lucos.placement.interchange import load

    model, moves = _model(load(file))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 2
    solver.parameters.max_time_in_seconds = max(0.1, limit_s - (time.perf_counter() - began_s))
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    json.dump(
        {
            "status": solver.status_name(status).lower(),
            "total_s": time.perf_counter() - began_s,
            "moves": round(solver.value(moves)) if found else None,
            "peak_mb": peak_mb(),
        },
        sys.stdout,
    )


def _model(problem: Problem) -> tuple[Any, Any]:
    """The model, and the number of moved VMs as an expression."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    nodes, vms = list(problem.cluster.nodes.values()), list(problem.cluster.vms.values())
    on = {
        (vm.name, node.name): model.new_bool_var(f"{vm.name} on {node.name}") for vm in vms for node in nodes
    }
    for vm in vms:
        model.add_exactly_one(on[vm.name, node.name] for node in nodes)
    for node in nodes:
        for resource, capacity in node.capacity.items():
            held = sum(int(vm.demand[resource]) * on[vm.name, node.name] for vm in vms)
            model.add(held <= int(capacity))
    for rule in problem.constraints:
        assert rule.kind == "spread", "the plain model knows pairs that must be apart"
        for node in nodes:
            model.add_at_most_one(on[vm, node.name] for vm in rule.vms)
    moves = sum(1 - on[vm.name, vm.node] for vm in vms if vm.node)
    for (name, there), boolean in on.items():
        model.add_hint(boolean, problem.cluster.vms[name].node == there)
    model.minimize(moves)
    return model, moves


if __name__ == "__main__":
    main()
