"""DVMS calls: small partitions solved one after the other in a process that is up, as the live one is."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from typing import Any

CALLS = 500
# Calls before the clock counts: libraries load, and the first ones are not what a running solver answers.
WARM_UP = 5
# Most are proved at once; what is not is counted apart.
PROOF_WORK = 1.0


def measured(calls: int = CALLS) -> dict[str, Any]:
    """Times, statuses and their agreement with CP-SAT run to optimality, from a fresh process."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.placement.calls", str(calls)], stdout=subprocess.PIPE, check=True
    )
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def main() -> None:
    from benchmarks.placement.generate import partition

    from lucos.placement.live import DURATIONS
    from lucos.placement.problem import Budget, Solution, Status
    from lucos.placement.solver import solve
    from lucos.resources.dvms import DvmsSettings

    problems = [partition(seed, DURATIONS) for seed in range(int(sys.argv[1]) + WARM_UP)]
    budget = Budget(work=DvmsSettings().solve_work)
    times_ms, statuses, differ, worse, unproved = [], Counter[str](), [], [], 0
    for seed, problem in enumerate(problems):
        began_s = time.perf_counter()
        try:
            solution = solve(problem, budget)
        except Exception as error:  # a defect is told, and the other calls are measured
            solution = Solution(Status.UNKNOWN)
            differ.append((seed, repr(error)))
        took_ms = (time.perf_counter() - began_s) * 1000
        if seed < WARM_UP:
            continue
        times_ms.append(took_ms)
        statuses[str(solution.status)] += 1
        proved, best = exact(problem)
        if proved not in ("optimal", "infeasible"):
            unproved += 1
        elif solution.solved != (proved == "optimal"):
            differ.append((seed, f"{solution.status}, CP-SAT {proved}"))
        elif solution.solved and solution.values[0] != best:
            worse.append((seed, f"{solution.values[0]:g}, CP-SAT {best:g}"))
    times_ms.sort()
    json.dump(
        {
            "calls": len(times_ms),
            "median_ms": statistics.median(times_ms),
            "p99_ms": times_ms[int(len(times_ms) * 0.99) - 1],
            "max_ms": times_ms[-1],
            "statuses": statuses,
            "differ": differ,
            "worse": worse,
            "unproved": unproved,
        },
        sys.stdout,
    )


def exact(problem: Any) -> tuple[str, float]:
    """Status and fewest migrations of one CP-SAT model that places all VMs, run until it is proved."""
    from lucos.placement.exact import Effort, place
    from lucos.placement.lowering import arrays_of
    from lucos.placement.problem import Objective

    arrays = arrays_of(problem)
    result = place(arrays, objective=(Objective.MIGRATIONS,), effort=Effort(work=PROOF_WORK))
    return str(result.status), float(result.values[0]) if result.values else 0.0


if __name__ == "__main__":
    main()
