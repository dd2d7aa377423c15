"""VE files: the examples, what the fields mean, and every error at its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucos.environments.vefile import load_ve, parse_ve
from lucos.errors import InputError
from lucos.model import Constraint, VmSpec
from lucos.model.workload import Workload, parse_workload

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = '[ve]\nname = "shop"\nimage = "mini"\n'
ONE = HEAD + '[[vm]]\nname = "web"\n'


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.luc")), ids=lambda path: path.name)
def test_examples_load(path: Path) -> None:
    ve = load_ve(path)
    assert ve.vms
    assert ve.source == path.read_text()


def test_the_web_example() -> None:
    ve = load_ve(EXAMPLES / "web.luc")
    names = ["web1", "web2", "web3", "app1", "app2", "app3", "db1", "db2"]
    assert [vm.id for vm in ve.vms] == [f"shop.{name}" for name in names]
    assert [c.kind for c in ve.constraints] == ["spread", "spread", "spread", "ban"]
    assert {vm.id: len(vm.constraints) for vm in ve.vms}["shop.db1"] == 2


def test_fields_and_defaults() -> None:
    ve = parse_ve(
        ONE + 'count = 2\n[[vm]]\nname = "db"\ncpu = 2\nmemory_mib = 128\n'
        'workload = "tick+cpu:5"\nimage = "big"\n'
        '[constraints]\nplasma = "ban(web1, h1); >> spread($me);"\n'
    )
    ban = Constraint("ban", ("shop.web1",), ("h1",))
    spread = Constraint("spread", ("shop.web1", "shop.web2", "shop.db"), continuous=False)
    assert ve.constraints == (ban, spread)
    assert ve.vms == (
        VmSpec("shop.web1", "shop", "mini", constraints=(ban, spread)),
        VmSpec("shop.web2", "shop", "mini", constraints=(spread,)),
        VmSpec("shop.db", "shop", "big", 2, 128, "tick+cpu:5", (spread,)),
    )


def test_a_count_of_one_is_numbered() -> None:
    assert [vm.id for vm in parse_ve(ONE + "count = 1\n").vms] == ["shop.web1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ve]\nname = \n", "2:8: not valid TOML: invalid value"),
        ("[ve", "1:4: not valid TOML: "),
        ("", "the file lacks ve"),
        (HEAD, "the file lacks vm"),
        ('[ve]\nname = "shop"\n[[vm]]\nname = "web"\n', "1:2: [ve] lacks image"),
        (HEAD + "\n[[vm]]\ncpu = 1\n", "5:3: [vm] lacks name"),
        (ONE + "  cout = 3\n", "6:3: [vm] has no field cout; did you mean count?"),
        (ONE + "[constraint]\n", "6:2: the file has no field constraint; did you mean constraints?"),
        (ONE + 'count = "3"\n', "6:1: vm.count: must be a whole number, not '3'"),
        (ONE + "count = true\n", "6:1: vm.count: must be a whole number, not True"),
        (ONE + "count = 0\n", "6:1: vm.count: must be a whole number >= 1, not 0"),
        (ONE + "count = 1001\n", "6:1: vm.count: must be a whole number <= 1000, not 1001"),
        (ONE + "memory_mib = 9.5\n", "6:1: vm.memory_mib: must be a whole number, not 9.5"),
        (ONE + "cpu = 0\n", "6:1: vm.cpu: must be a whole number >= 1, not 0"),
        (ONE + '[[vm]]\nname = "Web"\n', "7:1: vm.name: must be 1 to 32 of a-z, 0-9 and -"),
        (HEAD.replace("shop", "x" * 33) + '[[vm]]\nname = "a"\n', "2:1: ve.name: must be 1 to 32"),
        (HEAD.replace("mini", "../mini"), "3:1: ve.image: must be the name of an image"),
        (ONE + 'count = 2\n[[vm]]\nname = "web2"\n', "8:1: two VMs are named web2"),
        (ONE + 'workload = "cpu:x"\n', "6:1: workload 'cpu:x': cpu needs a whole number from 1 to 100"),
        (
            ONE + '[constraints]\nplasma = "spread(wbe);"\n',
            "7:18: no VM named wbe in VE shop; did you mean web?",
        ),
        (ONE + "[constraints]\nplasma = '''spread(web);\n spread(x);'''\n", "8:9: no VM named x in VE shop"),
        (
            ONE + "[constraints]\nplasma = '''\nspread(web);\nspread(x);\n'''\n",
            "9:8: no VM named x in VE shop",
        ),
        (ONE + "[constraints]\nplasma = '''\n[x]\n'''\n", "8:1: unexpected '['"),
    ],
)
def test_errors_name_line_and_column(text: str, said: str) -> None:
    # A text that must not be taken for fields or tables comes after a field of many lines.
    for prefix, lines in (("", 0), ("# comment\n\n", 2)):
        with pytest.raises(InputError) as caught:
            parse_ve(prefix + text, file="my.luc")
        place, _, rest = said.partition(":") if said[0].isdigit() else ("", "", said)
        expected = f"my.luc:{int(place) + lines}:{rest}" if place else f"my.luc: {rest}"
        assert caught.value.message.startswith(expected)


def test_text_inside_a_script_is_not_taken_for_fields() -> None:
    text = HEAD + "[constraints]\nplasma = '''\n// [[vm]]\n// name = 3\n'''\n[[vm]]\nname = 7\n"
    with pytest.raises(InputError, match=r"^my.luc:10:1: vm.name: must be a text, not 7"):
        parse_ve(text, file="my.luc")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("spread($me);\n~1 ban(web1, h1);\ngather($me);", ["my.luc:8", "my.luc:10", "together and apart"]),
        ("fence($me, h1);\nban(web2, h1);", ["my.luc:8", "my.luc:9", "leave shop.web2 no node"]),
        ("fence($me, h[1..2]);\nspread($me);", ["my.luc:8", "my.luc:9", "3 VMs run, 2 nodes are left"]),
        ("before(web1, web2);\nbefore(web2, web1);", ["my.luc:8", "my.luc:9", "circle"]),
    ],
)
def test_rules_that_contradict_each_other_are_refused(rules: str, said: list[str]) -> None:
    text = ONE + "count = 3\n[constraints]\nplasma = '''" + rules + "'''"
    with pytest.raises(InputError) as caught:
        parse_ve(text, file="my.luc")
    assert all(word in caught.value.message for word in said)
    assert "soft" in caught.value.hint


def test_rules_that_only_some_hosts_could_meet_are_taken() -> None:
    rules = "ban($me, h[3..9]); spread($me); ~5 gather($me); fence(web1, h1); fence(web2, {h1, h2});"
    ve = parse_ve(ONE + f"count = 3\n[constraints]\nplasma = '{rules}'")
    assert [c.weight for c in ve.constraints] == [0, 0, 5, 0, 0]


def test_a_rule_without_vms_is_every_vms() -> None:
    rules = "runningCapacity(h1, 3); root(web1); split({{web1}, {web2}});"
    ve = parse_ve(ONE + f"count = 2\n[constraints]\nplasma = '{rules}'")
    assert [[c.kind for c in vm.constraints] for vm in ve.vms] == [
        ["runningCapacity", "root", "split"],
        ["runningCapacity", "split"],
    ]


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.luc: cannot read: No such file"):
        load_ve(tmp_path / "gone.luc")
    with pytest.raises(InputError, match="Is a directory"):
        load_ve(tmp_path)
    (tmp_path / "raw.luc").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        load_ve(tmp_path / "raw.luc")


def test_workloads() -> None:
    assert parse_workload("idle") == Workload()
    assert parse_workload("tick+cpu:20+dirty:5") == Workload(20, 5, tick=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cpu",
        "cpu:",
        "cpu:0",
        "cpu:101",
        "cpu:-1",
        "cpu:²",
        "tick:1",
        "idle:",
        "tick+",
        "tick+tick",
        "x:1",
    ],
)
def test_workloads_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^workload "):
        parse_workload(text)
