"""Plans told to people: as a Gantt chart, and why a VM is where it is."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from lucos.errors import UnknownObject
from lucos.model import (
    Allocate,
    Boot,
    Constraint,
    Kill,
    Migrate,
    Plan,
    PlannedAction,
    Resume,
    ShutdownNode,
    Suspend,
    VmState,
)
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.explain import conflict, explain
from lucos.placement.gantt import By, svg_of, text_of
from lucos.placement.problem import Capacity, Core, Problem, Solution, Status

PLAN = Plan(
    (
        PlannedAction(0, Migrate("web1", "N1", "N2"), (), "N1 lacked 2 cpu", 0, 4),
        PlannedAction(1, Suspend("job", "N2"), (), "", 0, 2),
        PlannedAction(2, Resume("job", "N3", "N2"), (1,), "", 2, 6),
        PlannedAction(3, Allocate("db", "N1", (("cpu", 3.0),)), (0,), "", 4, 5),
        PlannedAction(4, ShutdownNode(node="N4"), (), "", 0, 8),
        PlannedAction(5, Kill("old", "N1"), (), "", 8, 8),
    )
)


# --- Gantt


def test_rows_of_one_vm_stand_together() -> None:
    lines = text_of(PLAN, width=80).splitlines()
    assert lines[0].split() == ["0", "s", "2", "4", "6", "8"]
    assert [line.split("  ")[0].strip() for line in lines[1:]] == ["N4", "job", "", "web1", "db", "old"]
    assert re.search(r"^ +resume N2 -> N3 +█+\S? +2-6 s$", lines[3])
    assert max(map(len, lines)) <= 80


def test_bars_begin_and_end_at_their_times() -> None:
    axis, *lines = text_of(PLAN, width=80).splitlines()
    assert axis.index("4") == lines[4].index("█"), "db starts at 4 s"
    assert axis.index("2") == lines[2].index("█"), "job is resumed at 2 s"
    whole, half = lines[0].count("█"), lines[3].count("█")
    assert whole == 2 * half
    assert "█" in lines[5], "what takes no time is seen, too"


def test_rows_by_node() -> None:
    names = [line.split("  ")[0].strip() for line in text_of(PLAN, by=By.NODE, width=80).splitlines()[1:]]
    assert names == ["N1", "", "", "N2", "", "N4"]
    assert "job -> N3" in text_of(PLAN, by=By.NODE)


def test_colours_only_when_asked() -> None:
    assert "\033" not in text_of(PLAN)
    assert "\033[34m█" in text_of(PLAN, colour=True)


def test_an_empty_plan() -> None:
    assert text_of(Plan()) == "nothing to do\n"
    assert ElementTree.fromstring(svg_of(Plan())).tag.endswith("svg")


def long_plan(count: int) -> Plan:
    steps = [PlannedAction(i, Boot(f"vm{i:04}", "N1"), end_s=1.0) for i in range(count)]
    return Plan((*steps, PlannedAction(count, Migrate("slow", "N1", "N2"), start_s=3, end_s=9)))


def test_long_plans_are_summarised() -> None:
    lines = text_of(long_plan(708), rows_max=9).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "... 700 more (700 boot), all 0-1 s"
    assert any(line.startswith("slow") for line in lines), "what ends last is shown"


@pytest.mark.parametrize("by", list(By))
def test_the_picture_shows_every_action_and_its_reason(by: By) -> None:
    picture = svg_of(PLAN, by=by, title="a < b & c")
    root = ElementTree.fromstring(picture)
    spaces = {"svg": "http://www.w3.org/2000/svg"}
    titles = [title.text or "" for title in root.findall(".//svg:rect/svg:title", spaces)]
    assert sorted(title.split()[0] for title in titles) == [f"#{n}" for n in range(6)]
    assert any("N1 lacked 2 cpu" in title for title in titles)
    assert len(root.findall(".//svg:path", spaces)) == 2, "a line for each wait"
    assert "a &lt; b &amp; c" in picture
    assert "... 559 more (559 boot), all 0-1 s" in svg_of(long_plan(708))


# --- Why


def shop(*rules: Constraint) -> Problem:
    nodes = [Node(f"N{i}", {"cpu": 4.0}) for i in range(1, 6)] + [Node("N6", {"cpu": 4.0}, online=False)]
    vms = [
        Vm("web1", {"cpu": 3.0}, "N1"),
        Vm("web2", {"cpu": 3.0}, "N1"),
        Vm("db", {"cpu": 2.0}, "N2"),
        Vm("job", {"cpu": 1.0}, None, VmState.READY),
    ]
    return Problem(Cluster.of(nodes, vms), rules)


BAN = Constraint("ban", ("web1",), ("N3",), label="shop.plasma:2")
SPREAD = Constraint("spread", ("web1", "web2"), label="shop.plasma:1")
FULL = Constraint("runningCapacity", nodes=("N5",), amount=0, continuous=False)


def test_a_move_is_explained() -> None:
    plan = Plan(
        (
            PlannedAction(0, Migrate("db", "N2", "N5"), end_s=2),
            PlannedAction(1, Migrate("web1", "N1", "N4"), (0,), "N1 lacked 2 cpu", 2, 5),
        )
    )
    assert explain(shop(SPREAD, BAN), plan, "web1").splitlines() == [
        "web1 is running on N1 with 3 cpu.",
        "The plan does #1: migrate N1 -> N4, from 2 to 5 s.",
        "  N1 lacked 2 cpu",
        "If it stayed on N1, and all else went as planned:",
        "  - N1 would hold 6 of 4 cpu: web2, web1",
        "  - spread({web1, web2}) [shop.plasma:1]: web2 and web1 are both on N1",
        "Of 5 nodes that are on in the result:",
        "  - 1 not allowed by spread({web1, web2}) [shop.plasma:1]",
        "  - 1 not allowed by ban({web1}, {N3}) [shop.plasma:2]",
        "  - 2 without room for its cpu",
        "  - 2 left; N4 (75% full then) is number 2 from the emptiest",
        "    others: N2 (75%)",
        "#1 starts at 2 s, after",
        "  - #0 migrate db N2 -> N5 ends at 2 s",
        "Rules that name it:",
        "  - spread({web1, web2}) [shop.plasma:1]",
        "  - ban({web1}, {N3}) [shop.plasma:2]",
    ]


def test_rules_about_nodes_forbid_destinations() -> None:
    plan = Plan((PlannedAction(0, Migrate("web1", "N1", "N4"), end_s=3),))
    assert ">> runningCapacity({N5}" in explain(shop(FULL), plan, "web1")
    quarantine = Constraint("quarantine", nodes=("N5",))
    assert "1 not allowed by quarantine({N5})" in explain(shop(quarantine), plan, "web1")


def test_a_vm_left_alone() -> None:
    plan = Plan((PlannedAction(0, Migrate("web1", "N1", "N4"), end_s=3),))
    assert explain(shop(SPREAD), plan, "db").splitlines() == [
        "db is running on N2 with 2 cpu.",
        "The plan leaves it alone.",
    ]


def test_a_change_of_state_names_the_rule_that_asks_for_it() -> None:
    running = Constraint("running", ("job",), continuous=False)
    told = explain(shop(running), Plan((PlannedAction(0, Boot("job", "N5"), end_s=1),)), "job")
    assert "That state is asked for by\n  - >> running({job})" in told
    assert "5 nodes that are on" in told


def test_a_wait_without_dependencies_is_guessed_from_times() -> None:
    plan = Plan(
        (
            PlannedAction(0, Migrate("db", "N2", "N5"), end_s=2),
            PlannedAction(1, Migrate("web1", "N1", "N2"), start_s=2, end_s=5),
        )
    )
    assert "- #0 migrate db N2 -> N5 ends at 2 s (both use N2)" in explain(shop(), plan, "web1")


def test_a_move_for_the_objective_and_a_plan_that_does_not_hold() -> None:
    plan = Plan((PlannedAction(0, Migrate("db", "N2", "N5"), end_s=2),))
    assert "It could have stayed on N2" in explain(shop(), plan, "db")
    wrong = Plan((PlannedAction(0, Migrate("db", "N3", "N5"), end_s=2),))
    assert "This plan does not hold" in explain(shop(), wrong, "db")


def test_an_unknown_vm_is_told_with_close_names() -> None:
    with pytest.raises(UnknownObject, match="no VM 'web3'") as raised:
        explain(shop(), Plan(), "web3")
    assert "web1" in raised.value.hint


def test_a_conflict_in_words() -> None:
    core = Core((SPREAD,), (Capacity("N1", "cpu"),))
    assert conflict(shop(), Solution(Status.INFEASIBLE, core=core)) == [
        "these cannot hold together; without any one of them, the others can:",
        "  - spread({web1, web2}) [shop.plasma:1]",
        "  - N1 offers 4 cpu",
    ]
    assert conflict(shop(), Solution(Status.UNKNOWN, reasons=("no time",))) == ["no time"]
    assert "larger --budget" in conflict(shop(), Solution(Status.UNKNOWN))[0]
