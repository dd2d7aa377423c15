"""`luc plan` and `luc apply` against a fake agent: shown, asked for, done, or planned again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import yaml
from fake_agent import ANSWERS, PLAN, PROPOSAL, FakeAgent

from lucos.agent.protocol import Outcome
from lucos.errors import Refused
from lucos.model import Plan
from lucos.model.proposal import Proposal

Luc = Callable[..., Any]

EMPTY = Proposal("shop", Plan(), "optimal", ("migrations",), (0.0,), (0.0,), kept=("shop.web1",))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.luc"
    path.write_text('[ve]\nname = "shop"\nimage = "mini"\n[[vm]]\nname = "db"\n')
    return path


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_plan_shows_what_would_be_done_and_why(agent: FakeAgent, luc: Luc, file: Path) -> None:
    ran = luc("plan", file)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "shop: 1 VM to start, 2 VMs stay"
    assert lines[1] == "  + spread({shop.web1, shop.web2})"
    table = [line.split() for line in lines if "old.a" in line or "shop.db" in line]
    assert table[0] == [
        "0",
        "s",
        "migrate",
        "old.a",
        "h1",
        "->",
        "h2",
        "3.5",
        "s",
        "h1",
        "lacked",
        "300",
        "MiB",
    ]
    assert table[1] == ["3.5", "s", "boot", "shop.db", "h1", "5.0", "s", "asked", "to", "run"]
    assert lines[-1] == "2 actions in about 8.5 s; the fewest moves possible"
    assert "█" in ran.out
    assert max(map(len, lines)) <= 100
    assert agent.asked("plan")["ve"]["name"] == "shop"
    assert not [r for r in agent.requests if r["op"] == "apply"]


def test_plan_without_a_file_asks_for_the_whole_luc(agent: FakeAgent, luc: Luc) -> None:
    agent.answers["plan"] = Proposal("", Plan(), "optimal")
    assert luc("plan").out == "nothing has to move\n"
    assert agent.asked("plan") == {"ve": None}


def test_a_plan_that_is_not_the_best_says_how_far_it_can_be(agent: FakeAgent, luc: Luc, file: Path) -> None:
    agent.answers["plan"] = msgspec.structs.replace(PROPOSAL, status="feasible", bounds=(0.0, 1.5))
    last = luc("plan", file).out.splitlines()[-1]
    assert last.endswith("; migrations 1 (no plan below 0), balance 4 (no plan below 1.5)")


def test_programs_get_the_proposal(agent: FakeAgent, luc: Luc, file: Path) -> None:
    assert msgspec.json.decode(luc("plan", file, "-o", "json").out) == plain(PROPOSAL)
    assert yaml.safe_load(luc("plan", file, "-o", "yaml").out) == plain(PROPOSAL)


def test_plan_draws_a_picture(agent: FakeAgent, luc: Luc, file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    assert luc("plan", file, "--svg", picture).code == 0
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    ran = luc("plan", file, "--svg", tmp_path / "no" / "where.svg")
    assert ran.code == 6
    assert "cannot write" in ran.err


def test_apply_shows_and_does_the_plan_it_showed(agent: FakeAgent, luc: Luc, file: Path) -> None:
    ran = luc("apply", file, "--yes", "--watch")
    assert ran.code == 0, ran.err
    assert "old.a" in ran.out
    assert "2 actions in about 8.5 s" in ran.out
    assert "violation.start" in ran.err
    request = agent.asked("apply")
    assert request["plan"] == plain(PLAN)
    assert request["ve"]["name"] == "shop"


def test_apply_asks_first(agent: FakeAgent, luc: Luc, file: Path) -> None:
    ran = luc("apply", file)
    assert ran.code == 2
    assert "do this to shop?" in ran.err
    assert not [r for r in agent.requests if r["op"] == "apply"]


def test_apply_with_nothing_to_do_does_nothing(agent: FakeAgent, luc: Luc, file: Path) -> None:
    agent.answers["plan"] = EMPTY
    ran = luc("apply", file)
    assert (ran.code, ran.out) == (0, "shop: 1 VM stays\nnothing to do\n")
    assert luc("apply", file, "-o", "json").out == "[]\n"
    assert not [r for r in agent.requests if r["op"] == "apply"]


def test_rules_alone_are_applied_too(agent: FakeAgent, luc: Luc, file: Path) -> None:
    agent.answers["plan"] = msgspec.structs.replace(PROPOSAL, plan=Plan(), added=())
    agent.answers["apply"] = []
    ran = luc("apply", file, "--yes")
    assert ran.code == 0, ran.err
    assert "nothing has to move" in ran.out
    assert agent.asked("apply")["plan"] == {"actions": []}


def test_when_things_have_changed_the_new_plan_is_shown(agent: FakeAgent, luc: Luc, file: Path) -> None:
    agent.answers["plan"] = deque([PROPOSAL, msgspec.structs.replace(PROPOSAL, plan=Plan(PLAN.actions[:1]))])
    agent.answers["apply"] = deque([Refused("the LUC has changed"), ANSWERS["apply"][:1]])
    ran = luc("apply", file, "--yes")
    assert ran.code == 0, ran.err
    assert "the LUC has changed; planning again" in ran.err
    assert "2 actions" in ran.out
    assert "1 action in about" in ran.out
    assert [r["args"]["plan"] for r in agent.requests if r["op"] == "apply"] == [
        plain(PLAN),
        plain(Plan(PLAN.actions[:1])),
    ]


def test_a_luc_that_never_stops_changing_is_given_up(agent: FakeAgent, luc: Luc, file: Path) -> None:
    agent.answers["apply"] = Refused("the LUC has changed")
    ran = luc("apply", file, "--yes")
    assert ran.code == 5
    assert ran.err.count("planning again") == 2


def test_an_action_that_failed_is_told(agent: FakeAgent, luc: Luc, file: Path) -> None:
    agent.answers["apply"] = [Outcome("shop.db", False, "", "h1", "h1 has no room")]
    ran = luc("apply", file, "--yes", "-o", "json")
    assert ran.code == 6
    assert msgspec.json.decode(ran.out)[0]["error"] == "h1 has no room"
    assert "h1 has no room" in ran.err


def test_what_cannot_be_placed_is_refused_with_its_conflict(agent: FakeAgent, luc: Luc, file: Path) -> None:
    agent.answers["plan"] = Refused("shop cannot be placed: 4 VMs of 900 MiB must run")
    ran = luc("plan", file)
    assert ran.code == 5
    assert "4 VMs of 900 MiB must run" in ran.err
