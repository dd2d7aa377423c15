"""Laying scripts out: what it looks like, that it changes nothing else, and that once is enough."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from plasma_scripts import outcome, scripts

from lucos.cli.main import main
from lucos.environments.vefile import format_ve, parse_ve
from lucos.errors import InputError
from lucos.plasma import PlasmaErrors, Source, format_script
from lucos.plasma.formatting import tokens
from lucos.plasma.syntax import comments

UGLY = """\


// The tiers
namespace  a.b ; import x.*;import y;



/* a block
   of two lines */
VM [1..10] :small<clone , boot = 10>; @n-[1 .. 3].home : s;
$a={web1,@h2 , /* in */ x}-web[1..3]+ -3*(2 - 1 ); // why
{$a,_}=$s/3;
if(  $a==3&&!$b ){

spread($a);}else if $c { gather( {$x,$y} ); // both
  // nothing else

  }  // so
else{ban($a,h1);}
for $x in {$a, $b} { for $y in $x%3 {  ~10 >>spread( $y ); ~ban($x , $y); relocatable gather($x);} }
fence({a-name-of-some-length-1,a-name-of-some-length-2,a-name-of-some-length-3,a-name-of-some-length-4}, h[1..2,"x",(#$s-1)..$k]-foo);
export $a,$T[1..3] to *,a.*; spread(a // one
 ,b); for $x in $y {}
// the end"""  # noqa: E501

PRETTY = """\
// The tiers
namespace a.b;
import x.*;
import y;

/* a block
   of two lines */
VM[1..10] : small<clone, boot=10>;
@n-[1..3].home : s;
$a = {web1, @h2, /* in */ x} - web[1..3] + -3 * (2 - 1); // why
{$a, _} = $s / 3;
if ($a == 3 && !$b) {
    spread($a);
} else if $c {
    gather({$x, $y}); // both
    // nothing else
} // so
else {
    ban($a, h1);
}
for $x in {$a, $b} {
    for $y in $x % 3 {
        ~10 >> spread($y);
        ~ban($x, $y);
        relocatable gather($x);
    }
}
fence({a-name-of-some-length-1, a-name-of-some-length-2, a-name-of-some-length-3,
    a-name-of-some-length-4}, h[1..2, "x", (#$s - 1)..$k]-foo);
export $a, $T[1..3] to *, a.*;
spread(a // one
    , b);
for $x in $y {
}
// the end
"""


def formatted(text: str) -> str:
    return format_script(Source(text))


def told(text: str) -> list[str]:
    """The comments, without the ends of their lines."""
    return [comment.rstrip() for _, comment in comments(text)]


def test_what_it_looks_like() -> None:
    assert formatted(UGLY) == PRETTY
    assert formatted(PRETTY) == PRETTY
    assert formatted("") == formatted("\n \n") == ""


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(PlasmaErrors, match="unexpected"):
        formatted("spread(web1;")


@settings(max_examples=200, deadline=None)
@given(scripts())
def test_only_the_layout_changes(script: str) -> None:
    after = formatted(script)
    assert [token[1:] for token in tokens(after)] == [token[1:] for token in tokens(script)]
    assert told(after) == told(script)
    assert formatted(after) == after
    assert outcome(after) == outcome(script)


VE = """\
[ve]
name = "shop"
image = "mini"

[constraints]
plasma = {}  # the rules

[[vm]]
name = "web"
count = 2
"""


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("'spread(web[1..2]);'", "'spread(web[1..2]);'"),
        ('"spread( $me);"', "'''\nspread($me);\n'''"),
        (r'"ban($me,\"h1\");"', "'''\nban($me, \"h1\");\n'''"),
        ("'''spread( $me);'''", "'''\nspread($me);\n'''"),
        (
            "'''\n// Why\n  spread($me);\n\n\n ban($me, h1);'''",
            "'''\n// Why\nspread($me);\n\nban($me, h1);\n'''",
        ),
        ('"""\nspread(\t$me);"""', "'''\nspread($me);\n'''"),
        ("''", "''"),
    ],
)
def test_the_script_in_a_ve_file(value: str, after: str) -> None:
    text = VE.replace("{}", value)
    made = format_ve(text)
    assert made == VE.replace("{}", after)
    assert format_ve(made) == made
    rules = [[str(rule) for rule in parse_ve(t).constraints] for t in (text, made)]
    assert rules[0] == rules[1]


def test_a_script_that_is_no_plain_field_is_left_alone() -> None:
    text = VE.replace("[constraints]\nplasma = {}", 'constraints = { plasma = "spread( $me);" }')
    top = "constraints" + text.partition("constraints")[2].partition("\n")[0] + "\n"
    with pytest.raises(InputError, match="only a script in quotes of its own field"):
        format_ve(top + text.replace(top, ""))


def luc(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["fmt", *words])
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, ugly, ve, bad = (tmp_path / n for n in ("good.plasma", "ugly.btrp", "shop.luc", "bad.plasma"))
    good.write_text(PRETTY)
    ugly.write_text(UGLY)
    ve.write_text(VE.replace("{}", "'spread( $me);'"))
    bad.write_text("spread(a;\n")
    assert luc("--check", str(good)) == 0
    assert luc("--check", str(good), str(ugly), str(ve)) == 1
    shown = capsys.readouterr()
    assert shown.out == f"would format {ugly}\nwould format {ve}\n"
    assert "2 of 3 files are not formatted" in shown.err
    assert luc("--diff", str(ve)) == 0
    assert re.search(
        r"^-plasma = 'spread\( \$me\);'.*^\+spread\(\$me\);$", capsys.readouterr().out, re.M | re.S
    )
    assert ugly.read_text() == UGLY
    assert luc(str(good), str(ugly), str(ve), str(bad), str(tmp_path / "gone")) == 2
    shown = capsys.readouterr()
    assert shown.out == f"formatted {ugly}\nformatted {ve}\n"
    assert "bad.plasma:1:9: unexpected ';'" in shown.err
    assert "gone: cannot read: No such file" in shown.err
    assert ugly.read_text() == PRETTY
    assert luc("--check", str(good), str(ugly), str(ve)) == 0
