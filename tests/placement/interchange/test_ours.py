"""Our own format of problems and plans, and its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import instances
import pytest

from lucos.errors import InputError
from lucos.model import Boot, Plan, PlannedAction
from lucos.placement.interchange import load, load_plan, ours
from lucos.placement.problem import Capacity, Core, Objective, Problem, Solution, Status

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "instance.schema.json"


def test_what_is_written_reads_as_the_same() -> None:
    problem = instances.ours()
    assert load(ours.write_problem(problem), validated=False) == problem


def test_what_is_not_said_has_defaults() -> None:
    small = {"lucos": 1, "type": "PlacementProblem", "value": {"nodes": [], "vms": []}}
    assert load(json.dumps(small).encode()) == Problem(instances.Cluster())


def test_plans_carry_what_their_solver_claims() -> None:
    plan = Plan((PlannedAction(3, Boot("job", "a"), reason="asked for", end_s=1.25),))
    core = Core(capacities=(Capacity("a", "cpu"),))
    solution = Solution(Status.FEASIBLE, plan, (1.25,), (1.0,), core, ("a reason",))
    problem = Problem(instances.ours().cluster, objective=(Objective.MAKESPAN,))
    written = ours.write_plan(plan, problem, solution)
    assert load_plan(written, problem) == plan
    read = ours.read_plan(written)
    assert (read.status, read.objective, read.values) == (Status.FEASIBLE, (Objective.MAKESPAN,), (1.25,))
    assert (read.bounds, read.reasons, read.core) == ((1.0,), ("a reason",), core)


def test_the_schema_is_fresh() -> None:
    assert json.loads(SCHEMA.read_text()) == ours.schema(), "write json.dumps(ours.schema(), indent=2) there"


def _objects(schema: dict[str, Any]) -> list[str]:
    return [name for name, one in schema["$defs"].items() if one.get("type") == "object"]


def test_the_schema_knows_every_field_and_no_other() -> None:
    definitions = ours.schema()["$defs"]
    names = _objects(ours.schema())
    assert {"PlacementProblem", "Node", "Vm", "Constraint", "Migrate"} <= set(names)
    assert all(definitions[name]["additionalProperties"] is False for name in names)
    assert definitions["PlacementProblem"]["required"] == ["nodes", "vms"]
    assert "demand" in definitions["Vm"]["properties"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v["constraints"][0].update(contnuous=False), r"\$\.value\.constraints\[0\].*contnuous"),
        (lambda v: v["nodes"][1].update(capacity={"cpu": "4"}), r"\$\.value\.nodes\[1\]\.capacity\.cpu: Exp"),
        (lambda v: v["vms"].append(v["vms"][0]), r"\$\.value\.vms\[4\]: 'web' is declared twice"),
        (lambda v: v["ongoing"][0]["action"].update(speed=1), r"\$\.value\.ongoing\[0\]\.action.*speed"),
        (lambda v: v.update(objective=["fun"]), r"\$\.value\.objective\[0\]: Invalid enum value 'fun'"),
        (lambda v: v["durations"]["formulas"].update(boot={"base": 1}), r"\.durations\.formulas\.boot.*base"),
        (lambda v: v["rtt_ms"].update(lyon={"paris": None}), r"\$\.value\.rtt_ms\.lyon\.paris: Expected"),
        (lambda v: v.update(network={"links": 3}), r"\$\.value\.network\.links: Expected `array`"),
    ],
)
def test_faults_are_told_with_their_path(change: Any, said: str) -> None:
    document = json.loads(ours.write_problem(instances.ours()))
    change(document["value"])
    with pytest.raises(InputError, match=said):
        load(json.dumps(document).encode(), validated=False)
