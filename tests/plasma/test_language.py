"""The language beyond names and sets: arithmetic, blocks, soft rules, the forms of arguments, its bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plasma_scripts import (
    compiled,
    groups_of,
    nodes_of,
    number_of,
    vms_of,
    without_labels,
)

from lucos.errors import InputError
from lucos.model import Constraint
from lucos.placement.constraints import SIGNATURES
from lucos.plasma import PlasmaErrors, Problem, compile_script


def refused(script: str, **options: object) -> list[str]:
    with pytest.raises(PlasmaErrors) as caught:
        compiled(script, **options)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0xff", 255),
        ("2.5", 2.5),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("7 / 2", 3.5),
        ("6 / 2", 3),
        ("7 % 4", 3),
        ("2 * 3 ^ 2", 18),
        ("10 + -3 ^ 2", 1),
        ("9 ^ 0.5", 3),
        ("#web[1..3] + 1", 4),
        ("#{{web1, db}, {app1}}", 2),
        ("#{}", 0),
        ("#({0xa, 2.5, 3} + {10, 2.5})", 3),
        ("!0 + !5", 1),
        ("3 == 3", 1),
        ("(1 < 2) + (2 <= 2) + (3 > 4) + (1 != 1)", 2),
        ("1 && 0 || 1", 1),
        ("0 && 1 / 0", 0),
        ("1 || $undefined", 1),
        ("{web1, db} == {db, web1}", 1),
        ("{web1} < {web1, db}", 1),
        ("{{web1}, {db}} == {{db}, {web1}}", 1),
        ('web1 == "web1"', 1),
        ("$me == 6", 0),
        ("$me != 6", 1),
    ],
)
def test_arithmetic(expression: str, expected: float) -> None:
    assert number_of(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@h[1..5] / 2", [["h1", "h2", "h3"], ["h4", "h5"]]),
        ("@h[1..5] % 2", [["h1", "h2"], ["h3", "h4"], ["h5"]]),
        ("{@a, @b} * {@c, @d}", [["a", "c"], ["a", "d"], ["b", "c"], ["b", "d"]]),
        ("{@a} * {@b} * {@c}", [["a", "b", "c"]]),
        ("{{@a, @b}, {@c}}", [["a", "b"], ["c"]]),
        ("{{@a}, {@b}} + {{@c}}", [["a"], ["b"], ["c"]]),
        ("{{@a}, {@b}} - {{@a}}", [["b"]]),
        ("{} + {{@a}}", [["a"]]),
        ("{h[1..2] + {@x}}", [["h1", "h2", "x"]]),
    ],
)
def test_sets_of_sets(expression: str, expected: list[list[str]]) -> None:
    assert groups_of(expression) == expected


def test_the_infrastructure_of_the_seeds() -> None:
    script = """
    $R1 = {WN1 ,WN2 };  $R2 = WN [5..8];  $R3 = WN [9..11] + {SN1 };
    $small = {$R3 };  $medium = $R [1..3];
    latency ($me, $small );  latency($me, $medium); latency($me, 20); fence ($me ,$R2 + $R3 );
    """
    classes, all_classes, rtt, fence = compiled(script)
    assert classes.groups == (("WN9", "WN10", "WN11", "SN1"),)
    assert all_classes.groups[:2] == (("WN1", "WN2"), ("WN5", "WN6", "WN7", "WN8"))
    assert (rtt.amount, rtt.groups) == (20, ())
    assert len(fence.nodes) == 8


def test_variables() -> None:
    assert vms_of("$a + $c", "{$a, _, $c} = $me / 3;") == ["web1", "web2", "app2", "db"]
    assert vms_of("$b", "{$b} = $me / 2;") == ["web1", "web2", "web3"]
    assert vms_of("$T2", "$T[1..2] = $me % 3;") == ["app1", "app2", "db"]
    assert number_of("$x", "$x = 2; $x += 3; $x *= 4; $x -= 2; $x /= 2; $x %= 5;") == 4
    assert vms_of("$s", "$s = {web1}; $s += db; $s -= web1;") == ["db"]
    assert nodes_of("@h[$n, 7..(#$me + 2), x]", "$n = 5;") == ["h5", "h7", "h8", "hx"]
    assert nodes_of("$all", "$all = {}; for $r in @h[1..4] % 2 { $all += {$r}; }") == ["h1", "h2", "h3", "h4"]


def test_blocks() -> None:
    script = """
    $i = 0;
    for $v in $me {
        $i += 1;
        if $i == 1 { ban($v, h1); } else if ($i == 2 && #$me == 6) { ban($v, h2); }
        else { if $i > 5 { ban($v, h3); } }
    }
    for $tier in {web[1..3], app[1..2]} % 3 { spread($tier); }
    """
    assert without_labels(script) == [
        "ban({shop.web1}, {h1})",
        "ban({shop.web2}, {h2})",
        "ban({shop.db}, {h3})",
        "spread({shop.web1, shop.web2, shop.web3})",
        "spread({shop.app1, shop.app2})",
    ]
    # The variable of a loop is that of its block.
    assert vms_of("$v", "$v = db; for $v in $me { }") == ["db"]
    assert refused("for $v in $me { } spread($v);") == ["undefined variable $v"]


def test_soft_discrete_and_relocatable_rules() -> None:
    script = """
    spread($me); >> spread($me); ~10 spread($me); ~ >> spread($me); >> ~3 spread($me); $w = 7; ~$w
    ban(db, h1); relocatable gather($me); running(db); >> running(db); root(db);
    """
    told = [(c.kind, c.continuous, c.weight, c.relocate) for c in compiled(script)]
    assert told == [
        ("spread", True, 0, False),
        ("spread", False, 0, False),
        ("spread", True, 10, False),
        ("spread", False, 1, False),
        ("spread", False, 3, False),
        ("ban", True, 7, False),
        ("gather", True, 0, True),
        ("running", False, 0, False),
        ("running", False, 0, False),
        ("root", True, 0, False),
    ]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (">> root(db);", "root holds at every instant, it cannot be discrete: write it without >>"),
        ("~ root(db);", "root cannot be soft: write it without ~"),
        ("relocatable spread(db);", "spread cannot be relocatable; among, gather can"),
        (">> relocatable gather(db);", "relocatable says nothing of a discrete gather: drop one of the two"),
        (">> >> ban(db, h1);", ">> is written twice"),
        ("~0 ban(db, h1);", "a weight is a whole number from 1 to 1000000000"),
        ("split({web1, db});", "split takes sets of VMs here, not a set"),
        ("latency(db, {h1});", "latency takes groups of nodes here, not a set"),
        ("runningCapacity(3, 3);", "runningCapacity takes nodes here, not a number"),
        ("deadline(db, -1);", "deadline takes a number from 0, not -1"),
        ("deadline(db, 5-3);", "deadline takes a number here, not a name; 5-3 is one name: a minus between"),
        ("$x = 077;", "077: a number does not begin with 0"),
        ("$x = {077, 1};", "077: a number does not begin with 0"),
        (f"$x = {'9' * 5000};", "this number is too long"),
        (f"$x = {{{'9' * 5000}}};", "this number is too long"),
        (f"ban(db, h[{'9' * 5000}..{'9' * 5001}]);", "9999"),
        ("spread({1234567});", "no VM named 1234567 in VE shop"),
        ("$x = 1 / 0;", "division by zero"),
        ("$x = 10 ^ 16;", "10 ^ 16 is no number between -1e15 and 1e15"),
        ("$x = (-8) ^ 0.5;", "-8 ^ 0.5 is no number between"),
        ("$x = $me + 1;", "+ between a set and a number"),
        ("$x = $me / 7;", "6 elements cannot be split into 7 parts"),
        ("$x = $me % 0;", "% 0: a set is split by a whole number from 1"),
        ("$x = -$me;", "- before a set; it takes a number"),
        ("if $me { }", "a condition is expected, not a set; #set counts a set"),
        ("$x = $me < 3;", "a set cannot be compared with a number"),
        ("for $x in 3 { spread($x); }", "a set is expected here, not a number"),
        ("{$a, $b} = {web1};", "2 variables for 1 element"),
        ("{$a, web1} = $me;", "a $variable is expected here, or _ for what is not wanted"),
        ("$a.b = 3;", "$a.b belongs to another namespace and cannot be assigned"),
        ("ban(db, h[1..$me]);", "a set in a range: whole numbers and names are expected"),
        ("web1 : small;", "VMs and nodes are not declared here"),
        ("import x;", "imports are not possible here"),
        ("namespace x;", "the namespace here is shop"),
        ("for $x in $me { export $me to *; }", "exports are not possible in a block"),
        ("spread($me); /* ", "this comment never ends: close it with */"),
        ("before(db);", "before(vm, vm) takes 2 arguments, got 1"),
        ("latency(db);", "latency(vms, groups) or latency(vms, amount) takes 2 arguments, got 1"),
    ],
)
def test_refusals(script: str, said: str) -> None:
    (message,) = refused(script)
    assert message.startswith(said)


def test_names_known_to_the_caller() -> None:
    options = {"nodes": ["h1", "h2"], "resources": ["cpu", "memory"]}
    script = "ban(db, $ALL_NODES); preserve(db, cpu, 2);"
    assert [str(c) for c in compiled(script, **options)] == [
        "ban({shop.db}, {h1, h2})",
        ">> preserve({shop.db}, cpu, 2)",
    ]
    assert refused("ban(db, {h1, hh2}); preserve(db, cpus, 2); sprad(db); spread($mee);", **options) == [
        "no node named hh2; did you mean h2?",
        "no resource named cpus; did you mean cpu?",
        "unknown constraint sprad; did you mean spread?",
        "undefined variable $mee; did you mean $me?",
    ]


def test_arguments_of_every_form() -> None:
    script = """
    preserve(web1, cpu, 200); preserve(web1, "cpu", 0xc8);
    for $rc in {"cpu", "memory"} { resourceCapacity(@h[1..2], $rc, 8); }
    split({web[1..3] - db, {app1}}); splitAmong({{web1}, {db}}, {{@a, @b}, {@c}});
    before({web1, web2}, db); overbook(@h1, cpu, 1.5);
    """
    assert without_labels(script) == [
        ">> preserve({shop.web1}, cpu, 200)",
        ">> preserve({shop.web1}, cpu, 200)",
        "resourceCapacity({h1, h2}, cpu, 8)",
        "resourceCapacity({h1, h2}, memory, 8)",
        "split({{shop.web1, shop.web2, shop.web3}, {shop.app1}})",
        "splitAmong({{shop.web1}, {shop.db}}, {{a, b}, {c}})",
        "before({shop.web1, shop.db})",
        "before({shop.web2, shop.db})",
        "overbook({h1}, cpu, 1.5)",
    ]


def test_every_kind_can_be_written() -> None:
    samples = {
        "vms": "$me",
        "vm": "db",
        "nodes": "@h[1..2]",
        "node": "@h1",
        "sets": "{{web1}, {db}}",
        "groups": "{{@a}, {@b}}",
        "resource": "cpu",
        "amount": "2",
    }
    for kind, signature in SIGNATURES.items():
        for form in filter(None, (signature.takes, signature.also)):
            text = f"{kind}({', '.join(samples[role] for role in form)});"
            (made,) = {constraint.kind for constraint in compiled(text)}
            assert made == kind


def test_after_an_unreadable_statement_reading_goes_on() -> None:
    script = """
    for $x in $me { spread($x; ban($x, h1) gather($x); root(dbb); }
    for $y on $me { spread($y); gather($nothing); }
    if (a b) { x; } else { gather(zz); } spread({db); ban(web9, h1);
    for $z in $me { spread($z) } }
    root(dbb); for $z in $me { root(dbbb); # }
    """
    assert [m.partition("; ")[0] for m in refused(script)] == [
        "unexpected ';'",
        "unexpected 'gather'",
        "no VM named dbb in VE shop",
        "unexpected 'on'",
        "unexpected 'b'",
        "unexpected ')'",
        "no VM named web9 in VE shop",
        "unexpected '}'",
        "unexpected '}'",
        "no VM named dbb in VE shop",
        "no VM named dbbb in VE shop",
        "unexpected '#'",
    ]


def test_what_cannot_be_told_is_told_once() -> None:
    assert refused("$a = $b; $c = $a + 1; if $a { $d = 1; } for $v in $a { $e = 2; } ban($c, $d + $e);") == [
        "undefined variable $b"
    ]


def test_at_most_twenty_problems_are_told() -> None:
    assert len(refused("".join(f"spread(x{n});" for n in range(100)))) == 20
    assert len(refused("for $v in @h[1..1000] { spread($v); }")) == 1


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("x" * 2_000_001, "a script of 2000001 characters, at most 2000000 can be read"),
        (f"spread({'{' * 100}db{'}' * 100});", "brackets nested too deep"),
        ("if 1 {" * 100 + "}" * 100, "blocks nested deeper than 20"),
        ("$a = db; for $x in @h[1..100] { $a = {$a}; }", "sets in sets deeper than 16"),
        ("$a = @h[1..2000] * @h[1..2000];", "a product of 4000000 pairs, at most 1000000"),
        (
            "for $x in @h[1..1000] { $a = @h[$x..9999]; }",
            "h1 is not a number: a range is [1..9]",
        ),
        (
            "$a = @h[1..100000]; for $x in $a { $b = $a - {}; }",
            "this takes too much work: smaller sets or fewer rounds",
        ),
    ],
)
def test_bounds(script: str, said: str) -> None:
    assert said in refused(script)


@pytest.mark.parametrize(
    "script",
    [
        "spread(" + "(" * 3000 + "db" + ")" * 3000 + ");",
        "$x = " + "!" * 3000 + "1;",
        "$x = " + "1 + " * 3000 + "1;",
        "if 0 { } " + "else if 0 { } " * 1000,
        "for $x in {} { } " * 300,
    ],
)
def test_long_scripts_are_no_deep_ones(script: str) -> None:
    assert len(compiled(script)) <= 1


@pytest.mark.parametrize(
    "piece", ["{", "(;", "abc ", "}", ";", "$a = ", "for if ", '"', "/*", "é", "[", ">> "]
)
def test_large_nonsense_is_refused(piece: str) -> None:
    with pytest.raises(PlasmaErrors) as caught:
        compiled(piece * (10_000_000 // len(piece)))
    assert len(caught.value.message) < 1000
    if piece != ";":
        with pytest.raises(PlasmaErrors) as caught:
            compiled(piece * 10_000)
        assert len(caught.value.message) < 20_000


words = st.sampled_from(
    [
        *["web1", "@h1", "spread", "ban"],
        *'{}()[];,=12+-*/%#!~:<>"\n',
        "for",
        "in",
        "if",
        "else",
        "$a",
        "$b",
        "+=",
        "..",
        "==",
        ">>",
        "//",
        "/*",
        "*/",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(words, max_size=40).map(" ".join))
def test_any_words_compile_or_are_refused(text: str) -> None:
    problems: list[Problem] = []
    try:
        compiled(text)
    except PlasmaErrors as errors:
        problems = errors.problems
    assert all(0 <= p.start <= len(text) and p.message for p in problems)


sizes = st.integers(1, 12)


@given(count=sizes, parts=sizes)
def test_parts_make_the_whole(count: int, parts: int) -> None:
    names = [f"h{n}" for n in range(1, count + 1)]
    chunks = groups_of(f"@h[1..{count}] % {parts}")
    assert [n for chunk in chunks for n in chunk] == names
    assert all(len(chunk) == parts for chunk in chunks[:-1])
    if parts <= count:
        split = groups_of(f"@h[1..{count}] / {parts}")
        assert [n for part in split for n in part] == names
        assert len(split) == parts
        assert max(map(len, split)) - min(map(len, split)) <= 1


def test_the_deepest_script_is_read() -> None:
    deep = "1"
    for _ in range(15):
        deep = f"0 || 1 && 1 == 0 + 1 * 1 ^ #{{{deep}}}"
    script = "if 1 { " * 20 + f"deadline(db, {deep});" + "}" * 20
    assert [c.amount for c in compiled(script)] == [1]


def test_contradictions_are_refused() -> None:
    seen: list[list[Constraint]] = []

    def judge(rules: object) -> list[str]:
        seen.append(list(rules))  # type: ignore[call-overload]
        return ["spread (shop.luc:10) and gather (shop.luc:11) cannot both hold"]

    script = "spread($me);\ngather($me);"
    with pytest.raises(InputError, match="cannot both hold") as caught:
        compiled(script, contradictions=judge)
    assert "soft" in caught.value.hint
    assert [c.label for c in seen[0]] == ["shop.luc:10", "shop.luc:11"]
    assert compiled(script, contradictions=lambda _: []) == seen[0]


def test_a_large_script() -> None:
    vms = [f"vm{n}" for n in range(30_000)]
    script = "\n".join(f"spread({{{', '.join(vms[i : i + 6])}}});" for i in range(0, len(vms), 6))
    made = compile_script(script, vms=vms, ve="big", signatures=SIGNATURES)
    assert len(made) == 5000
    assert made[-1].vms[-1] == "big.vm29999"
    assert (
        compile_script("for $p in $me % 6 { spread($p); }", vms=vms, ve="big", signatures=SIGNATURES) == made
    )
