"""Scripts of one small VE, `shop`, for the tests of Plasma; and any scripts, for its properties."""

from __future__ import annotations

from hypothesis import strategies as st

from lucos.model import Constraint
from lucos.placement.constraints import SIGNATURES
from lucos.plasma import PlasmaErrors, compile_script

VMS = ("web1", "web2", "web3", "app1", "app2", "db")


def compiled(script: str, **options: object) -> list[Constraint]:
    return compile_script(
        script,
        vms=VMS,
        ve="shop",
        signatures=SIGNATURES,
        file="shop.luc",
        first_line=10,
        **options,  # type: ignore[arg-type]
    )


def without_labels(script: str) -> list[str]:
    """The constraints as text, without where they come from."""
    return [str(constraint) for constraint in compiled(script)]


def vms_of(expression: str, before: str = "") -> list[str]:
    (constraint,) = compiled(f"{before} spread({expression});")
    return [vm.removeprefix("shop.") for vm in constraint.vms]


def nodes_of(expression: str, before: str = "") -> list[str]:
    (constraint,) = compiled(f"{before} ban(db, {expression});")
    return list(constraint.nodes)


def groups_of(expression: str, before: str = "") -> list[list[str]]:
    (constraint,) = compiled(f"{before} among(db, {expression});")
    return [list(group) for group in constraint.groups]


def number_of(expression: str, before: str = "") -> float:
    (constraint,) = compiled(f"{before} deadline(db, {expression});")
    return constraint.amount


def outcome(script: str) -> list[str]:
    """The constraints, or the messages of what is wrong."""
    try:
        return without_labels(script)
    except PlasmaErrors as errors:
        return [problem.message for problem in errors.problems]


_STATEMENTS = [
    "spread·(·web[1..2]·)·;",
    ">>·ban·(·{·web1·,·db·}·-·db·,·@h1·+·n-[1..3, 0xa].x·)·;",
    "~·10 gather·(·$a·+·{·$b·,·web3·}·)·;",
    "~·>>·relocatable gather·(·$T[1..2]·)·;",
    "relocatable among·(·$me·,·{·{·@h1·}·,·{·@h2·,·h3·}·}·)·;",
    "deadline·(·{·db·}·,·#·$a·*·(·2·-·-·1·)·^·2·+·0x1f·%·7·)·;",
    'preserve·(·web1·,·"cpu // no comment"·,·2.5·)·;',
    "$a·=·{·web1·,·{·web2·,·@h1·}·,·$b·}·;",
    "$b·=·web[1..3]·;",
    "{·$T1·,·_·,·$T2·}·=·$me·/·3·;",
    "{·_·,·_·}·=·$me·%·3·;",
    "$T[1..2]·=·$me·%·(·#·$me·-·3·)·;",
    "$n·=·1·;",
    "$n·+=·-·2·*·!·$n·;",
    "$a·-=·{·}·;",
    "ban·(·$me·-·web1·-·db·,·@h[(·$n·+·1·)·..·9·,·x]-y·)·;",
]
_BLOCKS = [
    "%s",
    "%s",
    "for $b in $me·{·%s·}",
    "for $b in {·$a·,·$b·}·%%·2·{·%s·%s·}",
    "if $n·==·1·&&·!·(·$n·<·3·)·{·%s·}",
    "if·(·#·$a·>=·2·||·$n·)·{·%s·}·else if {·db·}·==·$b·{·%s·}·else·{·%s·}",
    "for $c in {·}·{·}·%s",
]
_SPACES = ["", "", "", " ", "\n", "\n\n\n", " // why\n", " /* how */ ", "\t", " /* of\n two */ "]


@st.composite
def scripts(draw: st.DrawFn) -> str:
    """Scripts that can be read, with odd spaces and comments; what they mean may be nonsense."""
    texts = draw(st.lists(st.sampled_from(_STATEMENTS), min_size=1, max_size=8))
    for block in draw(st.lists(st.sampled_from(_BLOCKS), max_size=5)):
        inner = [texts.pop(0) for _ in range(block.count("%s")) if texts]
        inner += ["spread·(·db·)·;"] * (block.count("%s") - len(inner))
        texts.append(block % tuple(inner))
    pieces = "·".join(texts).split("·")
    between = draw(st.lists(st.sampled_from(_SPACES), min_size=1, max_size=40))
    return "".join(piece + between[n % len(between)] for n, piece in enumerate(pieces))
