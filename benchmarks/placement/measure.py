"""One instance in a process of its own: `python -m benchmarks.placement.measure FILE` prints JSON.

Seconds are wall-clock; loading includes imports, and the first plan counts from when the instance is loaded.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from lucos.model import Plan
    from lucos.placement.problem import Problem

CHILD_LIMIT_S = 60.0


class Measured(msgspec.Struct, frozen=True):
    """`cpu_s` is what all threads used; `late` migrations start after 0, `needless` ones without need."""

    status: str
    load_s: float = 0.0
    solve_s: float = 0.0
    check_s: float = 0.0
    first_plan_s: float = 0.0
    total_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    values: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()
    actions: dict[str, int] = {}
    makespan_s: float = 0.0
    relocation_ends_s: float = 0.0
    late: int = 0
    needless: int = 0
    faults: int = 0
    stats: dict[str, float] = {}
    reason: str = ""

    @property
    def relocations(self) -> int:
        return self.actions.get("migrate", 0)

    @property
    def gap(self) -> float:
        """How far the first objective may be from the best, as a fraction of its bound."""
        if not self.values:
            return float("nan")
        spare = self.values[0] - self.bounds[0]
        return spare / self.bounds[0] if self.bounds[0] else float(spare > 0)


def measured(
    file: Path, objective: str = "", time_s: float | None = None, work: float | None = None
) -> Measured:
    """The instance in `file`, solved in a fresh process."""
    options = [f"--objective={objective}"] * bool(objective)
    options += [f"--time={time_s}"] * (time_s is not None) + [f"--work={work}"] * (work is not None)
    command = [sys.executable, "-m", "benchmarks.placement.measure", str(file), *options]
    try:
        run = subprocess.run(command, capture_output=True, timeout=CHILD_LIMIT_S)
    except subprocess.TimeoutExpired:
        return Measured("failed", total_s=CHILD_LIMIT_S, reason=f"no answer in {CHILD_LIMIT_S:g} s")
    if run.returncode:
        words = run.stderr.decode().strip().splitlines()
        return Measured("failed", reason=words[-1] if words else f"exit {run.returncode}")
    return msgspec.json.decode(run.stdout, type=Measured)


def peak_mb() -> float:
    """The most memory this process ever held; what its parent held does not count, as in getrusage."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def main() -> None:
    began_s = time.perf_counter()
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--objective", default="")
    parser.add_argument("--time", type=float)
    parser.add_argument("--work", type=float)
    asked = parser.parse_args()

    from lucos.placement.checker import check
    from lucos.placement.interchange import load
    from lucos.placement.problem import Budget, Objective
    from lucos.placement.solver import solve

    # `solve` validates.
    problem = load(asked.file, validated=False)
    if asked.objective:
        names = tuple(Objective(name) for name in asked.objective.split(","))
        problem = msgspec.structs.replace(problem, objective=names)
    loaded_s = time.perf_counter()
    solution = solve(problem, Budget(time_s=asked.time, work=asked.work))
    solved_s = time.perf_counter()
    faults = check(problem, solution.plan) if solution.solved else []
    checked_s = time.perf_counter()
    peak, cpu_s = peak_mb(), time.process_time()
    late, needless = waits(problem, solution.plan)
    kinds = Counter(step.action.__struct_config__.tag for step in solution.plan.actions)
    moves = [s for s in solution.plan.actions if s.action.__struct_config__.tag == "migrate"]
    answer = Measured(
        str(solution.status),
        load_s=loaded_s - began_s,
        solve_s=solved_s - loaded_s,
        check_s=checked_s - solved_s,
        first_plan_s=solution.stats.get("first_plan_s", 0.0),
        total_s=checked_s - began_s,
        cpu_s=cpu_s,
        peak_mb=peak,
        values=solution.values,
        bounds=solution.bounds,
        actions={str(kind): count for kind, count in kinds.items()},
        makespan_s=solution.plan.makespan_s,
        relocation_ends_s=sum(step.end_s for step in moves),
        late=late,
        needless=needless,
        faults=len(faults),
        stats=solution.stats,
        reason="; ".join(solution.reasons)[:300],
    )
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def waits(problem: Problem, plan: Plan) -> tuple[int, int]:
    """(migrations that start after 0, those of them that the checker lets start earlier)."""
    from lucos.model import Migrate, Plan
    from lucos.placement.checker import check

    late = [step for step in plan.actions if isinstance(step.action, Migrate) and step.start_s > 0]
    needless = 0
    for step in late[:20]:
        for at_s in sorted({0.0, *(s.end_s for s in plan.actions if s.end_s < step.start_s)}):
            early = msgspec.structs.replace(step, start_s=at_s, end_s=at_s + step.end_s - step.start_s)
            moved = Plan(tuple(early if s is step else s for s in plan.actions))
            if not check(problem, moved):
                needless += 1
                break
    return len(late), needless


if __name__ == "__main__":
    main()
