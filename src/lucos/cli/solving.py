"""Commands that place VMs on paper: solve, check, explain. They read files and ask no agent."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from typer.core import TyperCommand

from lucos.cli.options import examples
from lucos.cli.render import Column, colours_on, rows_for_people, width_of, working
from lucos.errors import InputError, LucError
from lucos.model import Event, Plan

if TYPE_CHECKING:
    from lucos.placement.problem import Problem, Solution

SOLVED, BAD_INPUT, INFEASIBLE, UNKNOWN, BROKEN = 0, 1, 2, 3, 4
ROWS_MAX = 40

app = typer.Typer()


class Shown(StrEnum):
    TABLE = "table"
    JSON = "json"
    GANTT = "gantt"


class _Command(TyperCommand):
    """A command whose bad input exits with 1: its 2 says infeasible."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except Exception as error:
            # Typer's usage errors: their class lives in click or in typer, by the version.
            if not hasattr(error, "format_message"):
                raise
            said = InputError(error.format_message(), hint=f"luc {self.name} --help shows how it is used")
            raise _bad_input(said) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise _bad_input(error) from None


def _bad_input(error: LucError) -> LucError:
    error.exit_code = BAD_INPUT
    return error


Instance = Annotated[Path, typer.Argument(help="The problem: BtrPlace's JSON or ours, gzipped or not.")]
Rules = Annotated[
    Path | None, typer.Option(help="A Plasma script with more rules for the instance.", show_default=False)
]


@app.command(
    cls=_Command,
    epilog=examples(
        "luc solve cluster.json -o plan.json",
        "luc solve cluster.json.gz --objective migrations,makespan --budget 10 --format gantt",
        "luc solve cluster.json --rules site.plasma -o plan.svg --json",
    ),
)
def solve(
    instance: Instance,
    objective: Annotated[
        str, typer.Option(help="What to minimise, the first weighing most: NAME[,NAME].", show_default=False)
    ] = "",
    budget: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, help="Seconds to search. Default: a fixed amount of work."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Another seed searches otherwise.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the plan here (.svg: as a picture).", show_default=False),
    ] = None,
    form: Annotated[Shown, typer.Option("--format", help="How to print the plan.")] = Shown.TABLE,
    summary: Annotated[bool, typer.Option("--json", help="Print one summary object instead.")] = False,
    rules: Rules = None,
) -> None:
    """Find the best plan that brings a cluster to satisfy its rules.

    Exits with 0 when solved, 1 for bad input, 2 when proved infeasible, 3 when not known within the budget.
    """
    from lucos.placement.problem import Budget
    from lucos.placement.solver import solve as solved

    clock = _Clock()
    problem = _loaded(instance, rules, objective)
    clock.lap("load_s")
    with working("solving") as tell, _about(instance):
        solution = solved(problem, Budget(time_s=budget, seed=seed), _teller(tell, problem))
    clock.lap("solve_s")
    for part in ("plan_s", "check_s"):
        clock.took[part] = solution.stats.get(part, 0.0)
        clock.took["solve_s"] = max(clock.took["solve_s"] - clock.took[part], 0.0)
    if output is not None and solution.solved:
        _write(output, problem, solution, f"{instance.name}: {solution.status}")
    said = _summary(solution, clock.took)
    if summary:
        print(msgspec.json.encode(said).decode())
    elif form is Shown.JSON:
        print(_document(problem, solution).decode())
    else:
        print("\n".join(_lines(problem, solution, said, form)))
    if not solution.solved:
        raise typer.Exit(INFEASIBLE if solution.status == "infeasible" else UNKNOWN)


@app.command(
    cls=_Command, epilog=examples("luc check cluster.json", "luc check cluster.json plan.json --orders")
)
def check(
    instance: Instance,
    plan: Annotated[
        Path | None, typer.Argument(help="A plan for it; without one, the cluster as it is.")
    ] = None,
    orders: Annotated[
        bool, typer.Option("--orders", help="Judge every order that dependencies allow, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one object instead.")] = False,
    rules: Rules = None,
) -> None:
    """Judge a plan at every instant, or a cluster as it is; independent of the solver.

    Exits with 0 when everything holds, 1 for bad input, 4 when something is broken.
    """
    from lucos.placement.checker import check as checked
    from lucos.placement.checker import check_orders

    problem, judged = _judged(instance, rules, plan)
    waits = any(step.start_s for step in judged.actions)
    if orders and waits and not any(step.depends_on for step in judged.actions):
        raise InputError(
            f"{plan} tells when actions start, not what they wait for", hint="check it without --orders"
        )
    with working("checking"):
        faults = checked(problem, judged)
        if orders:
            faults += check_orders(problem, judged)
    if json:
        print(msgspec.json.encode({"holds": not faults, "faults": faults}).decode())
    else:
        lines = [str(fault) for fault in faults[:ROWS_MAX]]
        lines += [f"... {len(faults) - ROWS_MAX} more"] if len(faults) > ROWS_MAX else []
        count = len(judged.actions)
        counts = f"{_size(problem)}, {count} action{'s'[: count != 1]} in {judged.makespan_s:.6g} s"
        print("\n".join(lines or [f"everything holds: {counts}"]))
    if faults:
        raise typer.Exit(BROKEN)


@app.command(cls=_Command, epilog=examples("luc explain cluster.json plan.json web1"))
def explain(
    instance: Instance,
    plan: Annotated[Path, typer.Argument(help="The plan, as luc solve -o wrote it.")],
    vm: Annotated[str, typer.Argument(help="The VM.")],
    rules: Rules = None,
) -> None:
    """Tell in words why a plan moves a VM, or why it does not."""
    from lucos.placement.explain import explain as explained

    print(explained(*_judged(instance, rules, plan), vm))


class _Clock:
    """Seconds of each part, from one lap to the next."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}
        self._since_s = time.perf_counter()

    def lap(self, part: str) -> None:
        now_s = time.perf_counter()
        self.took[part], self._since_s = now_s - self._since_s, now_s


@contextmanager
def _no_collection() -> Iterator[None]:
    """While a problem is read, nothing becomes garbage; afterwards, what was read is looked at no more."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _about(file: Path) -> Iterator[None]:
    """What makes no sense is in this file."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, hint=error.hint, file=str(file)) from None


def _loaded(instance: Path, rules: Path | None, objective: str = "") -> Problem:
    """The problem in a file, with the rules of a script and other objectives, if any."""
    from lucos.placement.interchange import load

    with working("reading"), _no_collection():
        problem = load(instance, validated=False)
    if rules is not None:
        from lucos.placement.interchange.scripts import with_rules

        problem = with_rules(problem, rules)
    return msgspec.structs.replace(problem, objective=_objectives(objective)) if objective else problem


def _judged(instance: Path, rules: Path | None, plan: Path | None) -> tuple[Problem, Plan]:
    """A problem that makes sense, and the plan to judge."""
    from lucos.placement.interchange import load_plan
    from lucos.placement.validation import validate

    problem = _loaded(instance, rules)
    with _about(instance):
        validate(problem)
    return problem, load_plan(plan, problem) if plan is not None else Plan()


def _objectives(names: str) -> tuple[Any, ...]:
    from lucos.placement.problem import Objective

    known = ", ".join(Objective)
    try:
        chosen = tuple(Objective(name.strip()) for name in names.split(","))
    except ValueError:
        wrong = next(name for name in names.split(",") if name.strip() not in list(Objective))
        raise InputError(f"there is no objective {wrong.strip()!r}", hint=f"there are {known}") from None
    if len(set(chosen)) < len(chosen):
        raise InputError(f"{names}: an objective is named twice")
    return chosen


def _teller(tell: Any, problem: Problem) -> Any:
    def told(_what: str, best: Solution) -> None:
        text = ", ".join(_values(problem, best))
        tell(Event(0.0, "", "solve", "best so far", text))

    return told


def _values(problem: Problem, solution: Solution) -> list[str]:
    """`migrations 3 (optimal)`, `sum of ends 819 (at least 800)`."""
    from lucos.placement.objectives import objectives_of

    names = [name.replace("_", " ") for name in objectives_of(problem)]
    return [
        f"{name} {value:.10g}" + (f" (at least {bound:.10g})" if bound < value - 1e-6 else "")
        for name, value, bound in zip(names, solution.values, solution.bounds, strict=True)
    ]


def _summary(solution: Solution, took: dict[str, float]) -> dict[str, Any]:
    from lucos.placement.timeline import kind_of

    steps = solution.plan.actions
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "status": solution.status,
        "objective": _one(solution.values),
        "bound": _one(solution.bounds),
        "actions": dict(sorted(Counter(kind_of(step.action) for step in steps).items())),
        "makespan_s": solution.plan.makespan_s,
        "sum_of_ends_s": sum(step.end_s for step in steps),
        **{part: round(took[part], 4) for part in ("load_s", "solve_s", "plan_s", "check_s")},
        "peak_rss_mb": round(kilobytes / 1024, 1),
    }


def _one(values: tuple[float, ...]) -> float | list[float] | None:
    """The number itself when there is one objective; all in order when there are several."""
    return list(values) if len(values) > 1 else values[0] if values else None


_COLUMNS = (
    Column("#", lambda s: str(s.number), right=True, keep=True),
    Column("START", lambda s: f"{s.start_s:.6g}", right=True, keep=True),
    Column("END", lambda s: f"{s.end_s:.6g}", right=True, keep=True),
    Column("ACTION", lambda s: _kind(s), keep=True),
    Column("VM", lambda s: s.action.vm, keep=True),
    Column("WHERE", lambda s: _where(s), keep=True),
    Column("WHY", lambda s: s.reason),
)


def _kind(step: Any) -> str:
    from lucos.placement.timeline import kind_of

    return kind_of(step.action).replace("_", " ")


def _where(step: Any) -> str:
    from lucos.placement.gantt import where

    return where(step)


def _lines(problem: Problem, solution: Solution, said: dict[str, Any], form: Shown) -> list[str]:
    from lucos.placement.explain import conflict

    steps = solution.plan.actions
    lines: list[str] = []
    if not solution.solved:
        lines = [f"{solution.status}: {line}" for line in conflict(problem, solution)[:1]] + conflict(
            problem, solution
        )[1:]
    elif not steps:
        lines = ["nothing to do: everything holds as it is"]
    elif form is Shown.GANTT:
        from lucos.placement.gantt import text_of

        lines = [text_of(solution.plan, width=width_of(sys.stdout), colour=colours_on(sys.stdout)).rstrip()]
    else:
        # What moves says more than what is only given another share.
        ranked = sorted(steps, key=lambda step: _kind(step) == "allocate") if len(steps) > ROWS_MAX else steps
        lines = rows_for_people(ranked[:ROWS_MAX], _COLUMNS)
        lines += [_rest(ranked[ROWS_MAX:])] if len(steps) > ROWS_MAX else []
    if solution.solved:
        counts = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in said["actions"].items())
        lines += ["", "; ".join([f"{solution.status}: {counts or 'no action'}", *_values(problem, solution)])]
    times = ", ".join(
        f"{part.removesuffix('_s')} {said[part]:.2f} s" for part in ("load_s", "solve_s", "plan_s", "check_s")
    )
    return [*lines, f"{_size(problem)}; {times}; {said['peak_rss_mb']:.0f} MB"]


def _rest(steps: Any) -> str:
    start, end = min(step.start_s for step in steps), max(step.end_s for step in steps)
    return f"... {len(steps)} more, between {start:.6g} and {end:.6g} s (-o PLAN.json has them all)"


def _size(problem: Problem) -> str:
    cluster = problem.cluster
    return f"{len(cluster.nodes)} nodes, {len(cluster.vms)} VMs, {len(problem.constraints)} rules"


def _document(problem: Problem, solution: Solution) -> bytes:
    """The plan in the format of the instance."""
    from lucos.placement.interchange import Numbered, btrplace_plan, ours

    if isinstance(problem, Numbered) and solution.solved:
        return btrplace_plan.write_plan(problem, solution.plan)
    return ours.write_plan(solution.plan, problem, solution)


def _write(path: Path, problem: Problem, solution: Solution, title: str) -> None:
    if path.suffix == ".svg":
        from lucos.placement.gantt import svg_of

        data = svg_of(solution.plan, title=title).encode()
    else:
        data = _document(problem, solution)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", file=str(path)) from None
