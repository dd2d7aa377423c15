"""Plasma scripts: what they mean, and what is said of those that are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plasma_scripts import VMS, compiled, nodes_of, vms_of

from lucos.errors import InputError
from lucos.model import Constraint
from lucos.placement.constraints import SIGNATURES
from lucos.plasma import PlasmaErrors


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("web1", ["web1"]),
        ("shop.web1", ["web1"]),
        ("{web1, db}", ["web1", "db"]),
        ("{db, web1, db}", ["db", "web1"]),
        ("web[1..3]", ["web1", "web2", "web3"]),
        ("web [1..2]", ["web1", "web2"]),
        ("web[3, 1..2]", ["web3", "web1", "web2"]),
        ("{web[1..2], db}", ["web1", "web2", "db"]),
        ("web[1..2] + {db}", ["web1", "web2", "db"]),
        ("web[1..3] - {web2}", ["web1", "web3"]),
        ("web[1..3] - web2 + db", ["web1", "web3", "db"]),
        ("web[1..3] - web[1..2]", ["web3"]),
        ("$me", list(VMS)),
        ("$ALL_VMS - web[1..3]", ["app1", "app2", "db"]),
        ("{$me - {db}}", list(VMS[:-1])),
    ],
)
def test_sets_of_vms(expression: str, expected: list[str]) -> None:
    assert vms_of(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("h1", ["h1"]),
        ("{@h1, h2}", ["h1", "h2"]),
        ("WN [9..11] + {SN1 }", ["WN9", "WN10", "WN11", "SN1"]),
        ("@n-[1..2]", ["n-1", "n-2"]),
        ("@n-[1..2].b217.home", ["n-1.b217.home", "n-2.b217.home"]),
        ("node[08..11]", ["node08", "node09", "node10", "node11"]),
        ("@srv-[0xe..0x10, frontend]", ["srv-14", "srv-15", "srv-16", "srv-frontend"]),
        ("@db", ["db"]),
        ("a-b.c-d", ["a-b.c-d"]),
    ],
)
def test_sets_of_nodes(expression: str, expected: list[str]) -> None:
    assert nodes_of(expression) == expected


def test_a_whole_script() -> None:
    script = """
    // The 3 tiers; with a semicolon and # in a comment
    $T1 = {web1, web2};  $T2 = app[1..2];
    /* spread(nothing);
    */ $Both = $T[1..2];
    spread($T1);
    >> gather($Both);
    fence($ALL_VMS, h[1..2]);
    """
    assert compiled(script) == [
        Constraint("spread", ("shop.web1", "shop.web2"), label="shop.luc:15"),
        Constraint(
            "gather",
            ("shop.web1", "shop.web2", "shop.app1", "shop.app2"),
            continuous=False,
            label="shop.luc:16",
        ),
        Constraint("fence", tuple(f"shop.{vm}" for vm in VMS), ("h1", "h2"), label="shop.luc:17"),
    ]
    assert compiled("") == compiled("// nothing") == []


GOLDEN = """\
$T1 = {web1, wbe2};
spread($T1); gather($T1);
sprad(db); ban(db); spread();
fence(db, web1);
spread({@h1});
ban(app[2..1], h1); ban(db, {});
spread($T2);
$me = {db};
ban(app[1..x], h1);
spread($TT
gather(db);
spread(db); # all
fence(web[1..9], h1);
\tgather({db, dbb});
ban(db h1"""

SAID = """\
shop.luc:10:14: no VM named wbe2 in VE shop; did you mean web2?
   10 | $T1 = {web1, wbe2};
      |              ^^^^
shop.luc:12:1: unknown constraint sprad; did you mean spread?
   12 | sprad(db); ban(db); spread();
      | ^^^^^
shop.luc:12:12: ban(vms, nodes) takes 2 arguments, got 1
   12 | sprad(db); ban(db); spread();
      |            ^^^^^^^^
shop.luc:12:21: spread(vms) takes 1 argument, got 0
   12 | sprad(db); ban(db); spread();
      |                     ^^^^^^^^^
shop.luc:13:11: web1 is a VM; fence takes nodes here (@web1 if a node has that name)
   13 | fence(db, web1);
      |           ^^^^
shop.luc:14:9: h1 is a node (@); VMs are expected here
   14 | spread({@h1});
      |         ^^^
shop.luc:15:9: reversed range: 2 is larger than 1
   15 | ban(app[2..1], h1); ban(db, {});
      |         ^^^^
shop.luc:15:29: this set is empty: ban needs at least one node
   15 | ban(app[2..1], h1); ban(db, {});
      |                             ^^
shop.luc:16:8: undefined variable $T2; did you mean $T1?
   16 | spread($T2);
      |        ^^^
shop.luc:17:1: $me is every VM of this script and cannot be assigned
   17 | $me = {db};
      | ^^^
shop.luc:18:9: x is not a number: a range is [1..9]
   18 | ban(app[1..x], h1);
      |         ^^^^
shop.luc:20:1: unexpected 'gather'; expected ')' or ',' or '[' or an operator
   20 | gather(db);
      | ^^^^^^
shop.luc:21:13: unexpected '#'; comments start with //
   21 | spread(db); # all
      |             ^
shop.luc:23:14: no VM named dbb in VE shop; did you mean db?
   23 | \tgather({db, dbb});
      | \t            ^^^
shop.luc:24:8: unexpected 'h1'; expected ')' or ',' or '[' or an operator
   24 | ban(db h1
      |        ^^"""


def test_all_problems_are_told_at_their_place() -> None:
    with pytest.raises(PlasmaErrors) as caught:
        compiled(GOLDEN)
    assert caught.value.message == SAID
    assert isinstance(caught.value, InputError)
    assert len(caught.value.problems) == 15


def test_one_name_at_fault_is_told_once() -> None:
    with pytest.raises(PlasmaErrors) as caught:
        compiled("$T = web[1..9]; spread($T); gather($T);")
    (problem,) = caught.value.problems
    assert problem.message.startswith("no VM named web4, web5, web6, web7 and 2 more in VE shop")


def test_bounds() -> None:
    with pytest.raises(PlasmaErrors, match="range of 1000001 names, at most 1000000"):
        compiled("ban(db, h[0..1000000]);")
    with pytest.raises(PlasmaErrors) as caught:
        compiled("(;" * 1000)
    assert len(caught.value.problems) == 20


numbers = st.integers(0, 300)


@given(first=numbers, length=st.integers(0, 60), cut=numbers)
def test_a_range_is_the_union_of_its_parts(first: int, length: int, cut: int) -> None:
    last = first + length
    whole = nodes_of(f"h[{first}..{last}]")
    assert whole == [f"h{n}" for n in range(first, last + 1)]
    middle = first + cut % (length + 1)
    assert nodes_of(f"h[{first}..{middle}] + h[{middle}..{last}]") == whole
    assert nodes_of(f"h[{first}..{last}, {middle}]") == whole


subsets = st.lists(st.sampled_from(VMS), min_size=1)


@given(a=subsets, b=subsets)
def test_union_and_difference_are_those_of_sets(a: list[str], b: list[str]) -> None:
    left, right = f"{{{', '.join(a)}}}", f"{{{', '.join(b)}}}"
    assert vms_of(f"{left} + {right}") == list(dict.fromkeys(a + b))
    rest = [vm for vm in dict.fromkeys(a) if vm not in b]
    if rest:
        assert vms_of(f"{left} - {right}") == rest
    else:
        with pytest.raises(PlasmaErrors, match="this set is empty"):
            vms_of(f"{left} - {right}")


@given(st.text(alphabet=st.sampled_from("ab1 ${}[]()+-,;.@#>=/*\n\"'é"), max_size=60))
def test_any_text_compiles_or_is_refused_with_places(text: str) -> None:
    try:
        constraints, problems = compiled(text), []
    except PlasmaErrors as errors:
        constraints, problems = [], errors.problems
    assert all(0 <= p.start <= len(text) and p.message for p in problems)
    assert all(c.kind in SIGNATURES for c in constraints)
