"""luc solve, check and explain: what they print and write, how they exit, and the tutorial."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lucos.model import Constraint, Plan
from lucos.placement import checker, solver
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.interchange import load, load_plan, ours
from lucos.placement.interchange.btrplace_model import write_instance
from lucos.placement.problem import Budget, Problem, Solution, Status

Luc = Callable[..., Any]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "solve.md"
SUMMARY = [
    *("status", "objective", "bound", "actions", "makespan_s", "sum_of_ends_s"),
    *("load_s", "solve_s", "plan_s", "check_s", "peak_rss_mb"),
]


def shop(*rules: Constraint) -> Problem:
    nodes = [Node(f"N{i}", {"cpu": 4.0}) for i in (1, 2, 3)]
    return Problem(Cluster.of(nodes, [Vm(f"web{i}", {"cpu": 3.0}, "N1") for i in (1, 2)]), rules)


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    file = tmp_path / "shop.json"
    file.write_bytes(ours.write_problem(shop()))
    return file


def test_a_plan_is_printed_with_reasons(luc: Luc, instance: Path) -> None:
    ran = luc("solve", instance)
    assert ran.code == 0
    title, step, _, status, sizes = ran.out.splitlines()
    assert title.split() == ["#", "START", "END", "ACTION", "VM", "WHERE", "WHY"]
    assert re.match(r"0 +0 +1 +migrate +web\d +N1 -> N[23] +N1 lacked 2 cpu", step)
    assert status == "optimal: 1 migrate; sum of ends 1"
    assert sizes.startswith("3 nodes, 2 VMs, 0 rules; load ")


def test_the_summary_has_exactly_its_keys(luc: Luc, instance: Path) -> None:
    ran = luc("solve", instance, "--json")
    said = json.loads(ran.out)
    assert list(said) == SUMMARY
    assert (said["status"], said["objective"], said["bound"]) == ("optimal", 1.0, 1.0)
    assert (said["actions"], said["makespan_s"], said["sum_of_ends_s"]) == ({"migrate": 1}, 1.0, 1.0)
    assert said["peak_rss_mb"] > 20


def test_several_objectives(luc: Luc, instance: Path) -> None:
    said = json.loads(luc("solve", instance, "--json", "--objective", "migrations, makespan").out)
    assert (said["objective"], said["bound"]) == ([1.0, 1.0], [1.0, 1.0])


def test_a_satisfied_cluster_needs_nothing(luc: Luc, tmp_path: Path) -> None:
    file = tmp_path / "calm.json"
    file.write_bytes(ours.write_problem(Problem(Cluster.of([Node("N1", {})], []))))
    ran = luc("solve", file)
    assert ran.code == 0
    assert ran.out.startswith("nothing to do: everything holds as it is\n")


def test_plans_are_written_in_the_format_of_the_instance(luc: Luc, instance: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert luc("solve", instance, "-o", plan).code == 0
    claimed = ours.read_plan(plan.read_bytes())
    assert (claimed.status, claimed.values, len(claimed.actions)) == (Status.OPTIMAL, (1.0,), 1)
    btrplace = tmp_path / "btrplace.json"
    btrplace.write_bytes(write_instance(shop()))
    assert luc("solve", btrplace, "-o", plan).code == 0
    (action,) = json.loads(plan.read_bytes())["actions"]
    assert (action["id"], action["from"], action["luc"]["number"]) == ("migrateVM", 0, 0)
    problem = load(btrplace)
    assert checker.check(problem, load_plan(plan, problem)) == []


def test_format_json_prints_the_plan(luc: Luc, instance: Path) -> None:
    ran = luc("solve", instance, "--format", "json")
    assert len(load_plan(ran.out.encode(), load(instance)).actions) == 1


def test_format_gantt_and_picture(luc: Luc, instance: Path, tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    ran = luc("solve", instance, "--format", "gantt", "-o", picture)
    assert "█" in ran.out
    assert ElementTree.fromstring(picture.read_bytes()).tag.endswith("svg")


def test_long_plans_are_cut_but_not_in_the_file(luc: Luc, tmp_path: Path) -> None:
    nodes = [Node("full", {"cpu": 1.0}), *(Node(f"N{i}", {"cpu": 1.0}) for i in range(60))]
    vms = [Vm(f"v{i}", {"cpu": 1.0}, "full") for i in range(61)]
    file, plan = tmp_path / "long.json", tmp_path / "plan.json"
    file.write_bytes(ours.write_problem(Problem(Cluster.of(nodes, vms))))
    ran = luc("solve", file, "-o", plan)
    assert ran.code == 0
    assert "... 20 more, between 0 and " in ran.out
    assert len(ours.read_plan(plan.read_bytes()).actions) == 60


def test_infeasible_exits_2_with_the_core(luc: Luc, tmp_path: Path) -> None:
    rules = (
        Constraint("fence", ("web1", "web2"), ("N1",), label="site.plasma:1"),
        Constraint("spread", ("web1", "web2"), continuous=False),
    )
    file, plan = tmp_path / "tight.json", tmp_path / "plan.json"
    file.write_bytes(ours.write_problem(shop(*rules)))
    ran = luc("solve", file, "-o", plan)
    assert ran.code == 2
    assert "fence({web1, web2}, {N1}) [site.plasma:1]" in ran.out
    assert not plan.exists()
    summary = luc("solve", file, "--json")
    said = json.loads(summary.out)
    assert (summary.code, said["status"], said["objective"], said["actions"]) == (2, "infeasible", None, {})
    document = ours.read_plan(luc("solve", file, "--format", "json").out.encode())
    assert document.status is Status.INFEASIBLE


def test_unknown_exits_3(luc: Luc, instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Budget] = []

    def no_time(problem: Problem, budget: Budget, on_progress: Any) -> Solution:
        asked.append(budget)
        return Solution(Status.UNKNOWN)

    monkeypatch.setattr(solver, "solve", no_time)
    ran = luc("solve", instance, "--budget", "0.5", "--seed", 7)
    assert ran.code == 3
    assert "a larger --budget may find one" in ran.out
    assert (asked[0].time_s, asked[0].seed) == (0.5, 7)


def test_rules_beside_the_instance(luc: Luc, instance: Path, tmp_path: Path) -> None:
    script = tmp_path / "site.plasma"
    script.write_text("ban({web1, web2}, {@N2});\nfence({web1}, {@N1});\n")
    ran = luc("solve", instance, "--rules", script)
    assert "migrate  web2  N1 -> N3" in ran.out
    assert ", 3 rules; " in ran.out or ", 2 rules; " in ran.out
    script.write_text("bann({web1}, {@N2});")
    ran = luc("check", instance, "--rules", script)
    assert ran.code == 1
    assert "site.plasma:1:1: " in ran.err
    assert "did you mean ban?" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve", "gone.json"], "gone.json: cannot read: No such file"),
        (["solve", "shop.json", "--objective", "fun"], "there is no objective 'fun'"),
        (["solve", "shop.json", "--objective", "makespan,makespan"], "named twice"),
        (["solve", "shop.json", "--budget", "-1"], "luc solve --help"),
        (["solve", "shop.json", "--format", "xml"], "gantt"),
        (["solve", "shop.json", "-o", "gone/plan.json"], "gone/plan.json: cannot write: No such file"),
        (["solve"], "luc solve --help"),
        (["check", "shop.json", "--nope"], "luc check --help"),
        (["check", "shop.json", "shop.json"], r"$.type: Invalid enum value 'PlacementProblem'"),
        (["check", "wrong.json"], "wrong.json: VM web1 is running on N9, which is unknown"),
        (["solve", "wrong.json"], "wrong.json: VM web1 is running on N9, which is unknown"),
        (["explain", "shop.json", "plan.json", "web9"], "did you mean web"),
    ],
)
def test_bad_input_exits_1(
    luc: Luc, instance: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(instance.parent)
    Path("plan.json").write_bytes(ours.write_plan(Plan(), shop()))
    wrong = Problem(Cluster.of([Node("N1", {"cpu": 4.0})], [Vm("web1", {"cpu": 3.0}, "N9")]))
    Path("wrong.json").write_bytes(ours.write_problem(wrong))
    ran = luc(*arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert said in ran.err


def test_check_lists_what_is_broken(luc: Luc, instance: Path) -> None:
    ran = luc("check", instance)
    assert ran.code == 4
    assert "N1 holds in the result 6 of 4 cpu: web1, web2" in ran.out
    machine = luc("check", instance, "--json")
    said = json.loads(machine.out)
    assert (machine.code, said["holds"], said["faults"][0]["nodes"]) == (4, False, ["N1"])


def test_check_of_a_plan(luc: Luc, instance: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    luc("solve", instance, "-o", plan)
    ran = luc("check", instance, plan, "--orders")
    assert ran.code == 0
    assert ran.out == "everything holds: 3 nodes, 2 VMs, 0 rules, 1 action in 1 s\n"
    assert json.loads(luc("check", instance, plan, "--json").out) == {"holds": True, "faults": []}


def test_orders_of_a_plan_without_dependencies_are_not_judged(luc: Luc, tmp_path: Path) -> None:
    file, plan = tmp_path / "a.json", tmp_path / "plan.json"
    file.write_bytes(write_instance(shop()))
    steps = [{"id": "migrateVM", "vm": 0, "from": 0, "to": 1, "start": 3, "end": 4}]
    plan.write_text(json.dumps({"origin": {}, "actions": steps}))
    assert luc("check", file, plan).code == 0
    ran = luc("check", file, plan, "--orders")
    assert ran.code == 1
    assert "not what they wait for" in ran.err


def test_explain(luc: Luc, instance: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    luc("solve", instance, "-o", plan)
    moved = ours.read_plan(plan.read_bytes()).actions[0].action.vm
    ran = luc("explain", instance, plan, moved)
    assert ran.code == 0
    assert "N1 lacked 2 cpu" in ran.out
    assert "If it stayed on N1" in ran.out


def test_other_commands_load_no_solver() -> None:
    code = "import sys\ntry:\n from lucos.cli import main\n main(['check', '--help'])\n"
    code += "except SystemExit: pass\n"
    code += "print([m for m in ('numpy', 'ortools', 'lark', 'lucos.placement.solver') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=True).stdout
    assert out.decode().splitlines()[-1] == "[]"


# --- The tutorial


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """The rest of the fence and the text of each block of a kind in the page."""
    for fence, text in re.findall(r"^```(\w+[^\n]*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        word, _, rest = fence.partition(" ")
        if word == kind:
            yield rest, text


def steady(line: str) -> str:
    """A line without what differs from run to run."""
    return re.sub(r"\d+\.\d\d s|\d+ MB", "?", line).rstrip()


def test_the_tutorial_is_true(luc: Luc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in [*blocks("json"), *blocks("plasma")]:
        if name:
            Path(name).write_text(text)
    Path("broken.json").write_text(Path("cluster.json").read_text().replace('"cpu": 3', '"cpu": "3"', 1))
    shown = [text for name, text in blocks("console") if name == "tutorial"]
    assert len(shown) >= 6
    for text in shown:
        command, *expected = text.splitlines()
        ran = luc(*shlex.split(command)[2:])
        got = (ran.out + ran.err).splitlines()
        if expected[-1] == "...":
            expected.pop()
            got = got[: len(expected)]
        assert list(map(steady, got)) == list(map(steady, expected)), command
    assert Path("plan.svg").exists()
