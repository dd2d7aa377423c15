"""Our own JSON: `{"lucos": 1, "type": "PlacementProblem", "value": {...}}`, and `PlacementPlan` for plans.

`docs/instance.schema.json` is the JSON schema of problems. Unlike the live system's records (model.wire),
a field that is not known is an error: who writes an instance by hand wants to hear of a misspelt rule.
"""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from lucos.model import Constraint, Plan, PlannedAction
from lucos.placement.cluster import Cluster, Network, Node, Vm
from lucos.placement.durations import Durations
from lucos.placement.interchange.reading import AMOUNT_MAX, decoded, fault, refuse_repeated_keys, unpacked
from lucos.placement.problem import Core, Limits, Objective, Problem, Solution, Status

T = TypeVar("T", bound=msgspec.Struct)


class PlacementProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cluster, what must hold in it, and what to minimise; see `Problem`."""

    nodes: tuple[Node, ...]
    vms: tuple[Vm, ...]
    constraints: tuple[Constraint, ...] = ()
    objective: tuple[Objective, ...] = (Objective.SUM_OF_ENDS,)
    durations: Durations = Durations()
    limits: Limits = Limits()
    horizon_s: float = 3600.0
    ongoing: tuple[PlannedAction, ...] = ()
    network: Network | None = None
    rtt_ms: dict[str, dict[str, float]] = {}


class PlacementPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plan, and what its solver claims of it: `values` and `bounds` are those of the `objective`."""

    actions: tuple[PlannedAction, ...]
    status: Status | None = None
    objective: tuple[Objective, ...] = ()
    values: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()
    reasons: tuple[str, ...] = ()
    core: Core | None = None


class ProblemDocument(msgspec.Struct, frozen=True):
    lucos: Literal[1]
    type: Literal["PlacementProblem"]
    value: PlacementProblem


class PlanDocument(msgspec.Struct, frozen=True):
    lucos: Literal[1]
    type: Literal["PlacementPlan"]
    value: PlacementPlan


def read_problem(data: bytes) -> Problem:
    """The problem of a document, gzipped or not; `InputError` with the path of what is wrong."""
    value = _read(data, ProblemDocument).value
    cluster = Cluster(_by_name(value.nodes, "nodes"), _by_name(value.vms, "vms"), value.network, value.rtt_ms)
    return Problem(
        cluster,
        value.constraints,
        value.objective,
        value.durations,
        value.limits,
        value.horizon_s,
        value.ongoing,
    )


def write_problem(problem: Problem) -> bytes:
    cluster = problem.cluster
    value = PlacementProblem(
        tuple(cluster.nodes.values()),
        tuple(cluster.vms.values()),
        problem.constraints,
        problem.objective,
        problem.durations,
        problem.limits,
        problem.horizon_s,
        problem.ongoing,
        cluster.network,
        cluster.rtt_ms,
    )
    return msgspec.json.encode(ProblemDocument(1, "PlacementProblem", value))


def read_plan(data: bytes) -> PlacementPlan:
    return _read(data, PlanDocument).value


def write_plan(plan: Plan, problem: Problem, solution: Solution | None = None) -> bytes:
    """The plan; with what its solver claims of it, when there is a `solution`."""
    value = PlacementPlan(plan.actions)
    if solution is not None:
        value = PlacementPlan(
            plan.actions,
            solution.status,
            problem.objective,
            solution.values,
            solution.bounds,
            solution.reasons,
            solution.core,
        )
    return msgspec.json.encode(PlanDocument(1, "PlacementPlan", value))


def schema() -> dict[str, Any]:
    """The JSON schema of problem documents."""
    made = msgspec.json.encode(msgspec.json.schema(_strict(ProblemDocument)))
    return msgspec.json.decode(made, type=dict[str, Any])


def _read(data: bytes, kind: type[T]) -> T:
    raw = unpacked(data)
    decoded(raw, _strict(kind))
    refuse_repeated_keys(raw)
    return decoded(raw, kind)


N = TypeVar("N", Node, Vm)


def _by_name(things: tuple[N, ...], field: str) -> dict[str, N]:
    named = {thing.name: thing for thing in things}
    if len(named) < len(things):
        names = [thing.name for thing in things]
        i = next(i for i, name in enumerate(names) if name in names[:i])
        raise fault(f"$.value.{field}[{i}]", f"{names[i]!r} is declared twice")
    return named


_BOUNDED: dict[Any, Any] = {
    float: Annotated[float, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)],
    int: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
}


@cache
def _strict(kind: Any) -> Any:
    """The same type, of which no struct takes unknown fields and no number is out of all proportion."""
    if kind in _BOUNDED:
        return _BOUNDED[kind]
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(_strict(part) for part in get_args(kind))]  # noqa: UP007 (made from a tuple)
    if get_origin(kind) in (tuple, dict, list):
        return get_origin(kind)[tuple(_strict(part) for part in get_args(kind))]
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return kind
    hints = get_type_hints(kind)
    fields = [
        (
            f.name,
            _strict(hints[f.name]),
            msgspec.field(default=f.default, default_factory=f.default_factory),  # type: ignore[call-overload]
        )
        for f in msgspec.structs.fields(kind)
    ]
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__, fields, tag=config.tag, forbid_unknown_fields=True, frozen=True, kw_only=True
    )
