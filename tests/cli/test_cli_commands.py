"""Every command against a fake agent: what is asked, and what is shown as table, JSON and YAML."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from fake_agent import ANSWERS, DB, EVENTS, H1, SHOP, WEB1, WEB2, FakeAgent

from lucos.agent.protocol import DrainReport, Outcome
from lucos.errors import Refused, UnknownObject

Luc = Callable[..., Any]

LISTINGS = {
    ("ps",): "ps",
    ("ve", "ls"): "ves",
    ("node", "ls"): "nodes",
    ("info", "shop.web1"): "info",
    ("pause", "shop.db"): "pause",
    ("resume", "shop.db"): "unpause",
    ("stop", "shop.db"): "stop",
    ("kill", "shop.db", "--yes"): "kill",
    ("node", "drain", "h2"): "drain",
}


@pytest.mark.parametrize("command", LISTINGS, ids=" ".join)
def test_programs_get_the_protocols_structs(agent: FakeAgent, luc: Luc, command: tuple[str, ...]) -> None:
    expected = msgspec.json.decode(msgspec.json.encode(ANSWERS[LISTINGS[command]]))
    assert msgspec.json.decode(luc(*command, "-o", "json").out) == expected
    assert yaml.safe_load(luc(*command, "-o", "yaml").out) == expected


@pytest.mark.parametrize("command", LISTINGS, ids=" ".join)
def test_tables_fit_and_have_no_colour_codes(agent: FakeAgent, luc: Luc, command: tuple[str, ...]) -> None:
    long = "x" * 60
    agent.answers["ps"] = [WEB1, msgspec.structs.replace(WEB2, id=f"shop.{long}", workload=long)]
    agent.answers["nodes"] = [msgspec.structs.replace(H1, violation=long)]
    agent.answers["ves"] = [msgspec.structs.replace(SHOP, nodes=tuple(f"host{n}" for n in range(40)))]
    ran = luc(*command)
    assert ran.code == 0
    assert "\033" not in ran.out
    if command[0] != "info":
        assert max(map(len, ran.out.splitlines())) <= 100


def test_ps_shows_states_units_and_migrations(agent: FakeAgent, luc: Luc) -> None:
    assert luc("ps", "shop").out.splitlines() == [
        "VM         STATE            NODE  CPUS  CPU USED  WANTED   MEMORY  IMAGE  WORKLOAD",
        "shop.web1  running          h1       1      41 %    83 %   96 MiB  mini   cpu:80",
        "shop.web2  migrating to h3  h2       1       5 %     5 %  1.5 GiB  mini   tick+cpu:5",
        "shop.db    paused           h2       2       0 %     0 %   96 MiB  mini   idle",
    ]
    assert agent.asked("ps") == {"ve": "shop"}


def test_node_ls_says_what_is_wrong(agent: FakeAgent, luc: Luc) -> None:
    out = luc("node", "ls").out
    assert "83 of 50 %" in out
    assert "1.6 GiB of 1 GiB" in out
    assert "cpu, partition h1-7" in out
    assert "draining" in out


def test_empty_listings_say_what_to_do(agent: FakeAgent, luc: Luc) -> None:
    agent.answers |= {"ps": [], "ves": []}
    assert "luc run" in luc("ps").out
    assert "luc run" in luc("ve", "ls").out
    assert luc("ps", "-o", "json").out.strip() == "[]"


def test_info_shows_facts_and_constraints(agent: FakeAgent, luc: Luc) -> None:
    out = luc("info", "shop.web1").out
    assert out.startswith("vm shop.web1\n")
    assert "accel     tcg" in out
    assert "up        yes" in out
    assert "spread({shop.web1, shop.web2})" in out


def test_events_are_aligned_lines(agent: FakeAgent, luc: Luc) -> None:
    time.tzset()
    before_s = time.time()
    ran = luc("events", "--since", "10m", "--limit", "5")
    assert ran.out.splitlines() == [
        "22:13:20.250  h1      violation.start       h1              wants 83 % of 50 %",
        "22:13:21.500  h1      migration.end         shop.web1       h1 -> h3",
    ]
    asked = agent.asked("events")
    assert before_s - 600 <= asked.pop("since_s") <= time.time() - 600
    assert asked == {"limit": 5, "follow": False}


def test_followed_events_as_json_lines_and_yaml_documents(agent: FakeAgent, luc: Luc) -> None:
    expected = [msgspec.to_builtins(event) for event in EVENTS]
    ran = luc("events", "--follow", "-o", "json")
    assert [msgspec.json.decode(line) for line in ran.out.splitlines()] == expected
    assert agent.asked("events")["follow"] is True
    assert list(yaml.safe_load_all(luc("events", "-o", "yaml").out)) == expected


def test_top_once(agent: FakeAgent, luc: Luc) -> None:
    ran = luc("top", "--once")
    lines = ran.out.splitlines()
    assert "1 of 2 hosts" in lines[0]
    assert "violations: h1" in lines[0]
    assert "████████████" in ran.out
    assert "violation.start" in ran.out
    assert max(map(len, lines)) <= 100


def test_run_sends_the_ve_and_shows_its_vms(agent: FakeAgent, luc: Luc) -> None:
    file = Path(__file__).parents[2] / "examples" / "web.luc"
    ran = luc("run", file, "--watch", "--timeout", "60")
    assert ran.code == 0
    assert "violation.start" in ran.err
    assert "shop.web1  running" in ran.out
    asked = agent.asked("run")
    assert asked["timeout_s"] == 60
    assert asked["ve"]["name"] == "shop"
    assert len(asked["ve"]["vms"]) == 8
    assert msgspec.json.decode(luc("run", file, "-o", "json").out) == [
        msgspec.json.decode(msgspec.json.encode(SHOP))
    ]


def test_bad_file_is_refused_before_an_agent_is_sought(tmp_path: Path, luc: Luc) -> None:
    file = tmp_path / "bad.luc"
    file.write_text('[ve]\nname = "a"\nimage = "mini"\n[[vm]]\nname = "x"\ncpu = "two"\n')
    ran = luc("run", file)
    assert ran.code == 2
    assert ran.err == f"error: {file}:6:1: vm.cpu: must be a whole number, not 'two'\n"


def test_migrate_and_load(agent: FakeAgent, luc: Luc) -> None:
    out = luc("migrate", "web1", "h3", "--force").out
    assert out.splitlines()[1].split() == ["shop.web1", "ok", "running", "h3", "2.9", "s", "61", "ms"]
    assert agent.asked("migrate") == {"vm": "web1", "node": "h3", "force": True}
    assert luc("load", "web1", "tick+cpu:20").code == 0
    assert agent.asked("load") == {"vm": "web1", "workload": "tick+cpu:20"}
    ran = luc("load", "web1", "cpu:200")
    assert ran.code == 2
    assert "cpu needs a whole number from 1 to 100" in ran.err


def test_failed_outcomes_are_shown_and_exit_6(agent: FakeAgent, luc: Luc) -> None:
    agent.answers["stop"] = [
        Outcome("shop.a", True, "ready"),
        Outcome("shop.b", False, "running", "h1", "did not power off within 30 s"),
    ]
    ran = luc("stop", "shop")
    assert ran.code == 6
    assert "did not power off" in ran.out
    assert "failed for 1 of 2 VMs, shop.b: did not power off within 30 s" in ran.err
    assert "hint: luc events" in ran.err


def test_kill_and_leave_ask_first(agent: FakeAgent, luc: Luc) -> None:
    for command in (["kill", "shop.db"], ["node", "leave"]):
        ran = luc(*command)
        assert ran.code == 2
        assert "--yes" in ran.err
    assert agent.requests == []
    assert luc("node", "leave", "--yes").code == 0
    assert agent.asked("leave") == {}
    assert luc("node", "remove", "h3", "--yes").code == 0
    assert agent.asked("remove") == {"node": "h3"}


def test_drain_and_undrain(agent: FakeAgent, luc: Luc) -> None:
    ran = luc("node", "drain", "h2", "--no-wait", "--timeout", "9")
    assert ran.out == "shop.db left h2\n"
    assert agent.asked("drain") == {"node": "h2", "wait": False, "timeout_s": 9}
    agent.answers["drain"] = DrainReport("h2", (), {"shop.db": "ban leaves it nowhere to go"})
    ran = luc("node", "drain", "h2")
    assert ran.code == 6
    assert "ban leaves it nowhere to go" in ran.out
    assert luc("node", "undrain", "h2").code == 0
    assert agent.asked("undrain") == {"node": "h2"}


@pytest.mark.parametrize(
    ("error", "code"), [(UnknownObject("no VM x", hint="luc ps"), 2), (Refused("busy"), 5)]
)
def test_the_agents_errors_keep_their_exit_code(
    agent: FakeAgent, luc: Luc, error: Exception, code: int
) -> None:
    agent.answers["info"] = error
    ran = luc("info", "x")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(f"error: {error}\n")


def test_console_piped(agent: FakeAgent, luc: Luc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "typed").write_bytes(b"ls\r")
    with open(tmp_path / "typed") as typed:
        monkeypatch.setattr("sys.stdin", typed)
        ran = luc("console", "web1")
    assert ran.out.replace("\r", "") == "welcome to shop.web1\nyou typed ls"
    assert agent.asked("console") == {"vm": "web1"}


def test_a_ve_of_one_row_keeps_its_order(agent: FakeAgent, luc: Luc) -> None:
    agent.answers["ps"] = [DB]
    assert luc("ps").out.splitlines()[1].startswith("shop.db  paused")
