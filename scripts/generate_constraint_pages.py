"""Writes docs/constraints: a page and a picture for each kind of constraint, from its module, and a table.

With --check it writes nothing and exits 1 when a file is not what it would write.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from lucos.model import Constraint
from lucos.model.signature import Modes, Role
from lucos.placement.constraints import KINDS, Kind

sys.path.insert(0, str(Path(__file__).parent))

from constraint_pictures import picture

PAGES = Path(__file__).resolve().parents[1] / "docs" / "constraints"
WORDS = {
    Role.VMS: "a set of VMs",
    Role.VM: "one VM",
    Role.NODES: "a set of nodes",
    Role.NODE: "one node",
    Role.SETS: "a set of sets of VMs",
    Role.GROUPS: "a set of disjoint sets of nodes",
    Role.RESOURCE: "the name of a resource",
    Role.AMOUNT: "a number",
}
MODES = {
    Modes.BOTH: "continuous, or discrete with `>>`",
    Modes.CONTINUOUS: "continuous",
    Modes.DISCRETE: "discrete",
}
_HEADED = re.compile(r"(Continuous and discrete|Continuous:|Discrete[:.]|Tip:)")
TABLE_HEAD = """\
# Constraints

Every kind of rule that [placement](../solve.md) obeys. *Continuous* rules hold at every instant of a plan,
*discrete* ones in its result. Soft ones may be given a weight, which is what breaking them costs.

| constraint | modes | soft | meaning |
| --- | --- | --- | --- |
"""
TABLE_FOOT = """
A rule binds VMs while they run: one that does not run cannot break it. A continuous rule that is already
broken when a plan begins binds the result of the plan only, and a soft rule always does.

## Adding one

One module in `src/lucos/placement/constraints` is all: it is found by being there.

1. Its docstring is the text of its page: the meaning in one line, then what its modes mean, then a tip.
2. `signature`: its name, what it takes, its modes, whether it may be soft.
3. `examples`: at least one in which it holds and one in which it does not: its pictures and its first tests.
4. `mistakes`: what can be wrong in a rule beyond its signature.
5. `broken` (at an instant) or `broken_by_plan` (when actions run): the checker's side, on names.
6. `prepare` and `lower`: the solver's side, on arrays, in the forms of `primitives.py`.

`tests/placement/constraints` compares both sides on every result of tiny clusters, for every kind that is
there. `scripts/generate_constraint_pages.py` writes these pages.
"""


def files() -> dict[str, str]:
    """Every file of the folder by its name."""
    made = {"README.md": TABLE_HEAD + "".join(map(_row, KINDS.values())) + TABLE_FOOT}
    for name, kind in KINDS.items():
        made[f"{name}.md"] = page(kind)
        made[f"{name}.svg"] = picture(kind.examples)
    return made


def page(kind: Kind) -> str:
    """The page of one kind."""
    signature = kind.signature
    title, _, text = inspect.cleandoc(sys.modules[type(kind).__module__].__doc__ or "").partition("\n\n")
    takes = [f"- `{role}`: {WORDS[role]}" for role in dict.fromkeys((*signature.takes, *signature.also))]
    forms = [f"`{signature.name}({', '.join(form)})`" for form in (signature.takes, signature.also) if form]
    facts = [f"It is {MODES[signature.modes]}."]
    facts += ["It may be soft (`~weight`)."] if signature.soft else ["It cannot be soft."]
    facts += ["While continuous it may be `relocatable`."] if signature.relocates else []
    lines = [f"{plasma(rule)};" for rule in dict.fromkeys(example.rule for example in kind.examples)]
    parts = [
        f"# {signature.name}",
        title,
        f"![Allowed and forbidden]({signature.name}.svg)",
        f"{' or '.join(forms)}, where",
        "\n".join(takes),
        " ".join(facts),
        "\n".join(["```plasma", *lines, "```"]),
        _paragraphs(text),
        "[All constraints](README.md)",
    ]
    return "\n\n".join(parts) + "\n"


def _paragraphs(text: str) -> str:
    """The docstring's text with its modes and its tip as items of their own."""
    paragraphs: list[str] = []
    for line in text.split("\n"):
        word = _HEADED.match(line)
        paragraphs.append(f"\n**{word[0]}**{line[word.end() :]}" if word else line)
    return re.sub("\n{3,}", "\n\n", "\n".join(paragraphs)).strip("\n")


def _row(kind: Kind) -> str:
    signature = kind.signature
    title = inspect.cleandoc(sys.modules[type(kind).__module__].__doc__ or "").partition("\n\n")[0]
    forms = " or ".join(f"({', '.join(form)})" for form in (signature.takes, signature.also) if form)
    soft = "yes" if signature.soft else "no"
    meaning = title.replace("\n", " ")
    return f"| [{signature.name}]({signature.name}.md){forms} | {signature.modes} | {soft} | {meaning} |\n"


def plasma(rule: Constraint) -> str:
    """The rule as a script states it."""
    signature = KINDS[rule.kind].signature
    form = signature.also if signature.also and not rule.groups else signature.takes
    prefix = ">> " if not rule.continuous and signature.modes is Modes.BOTH else ""
    prefix += f"~{rule.weight} " * bool(rule.weight) + "relocatable " * rule.relocate
    vms = iter(rule.vms)
    shown = {
        Role.VMS: lambda: _set(rule.vms),
        Role.VM: lambda: next(vms),
        Role.NODES: lambda: _set(rule.nodes, "@"),
        Role.SETS: lambda: _set([_set(part) for part in rule.sets]),
        Role.GROUPS: lambda: _set([_set(part, "@") for part in rule.groups]),
        Role.RESOURCE: lambda: rule.resource,
        Role.AMOUNT: lambda: f"{rule.amount:g}",
    }
    return f"{prefix}{rule.kind}({', '.join(shown[role]() for role in form)})"


def _set(names: tuple[str, ...] | list[str], mark: str = "") -> str:
    return "{" + ", ".join(mark + name for name in names) + "}"


def stale_files() -> dict[Path, str]:
    """The files that differ from what they should be, with what they should be."""
    wanted = {PAGES / name: text for name, text in files().items()}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text}


def main() -> int:
    stale = stale_files()
    check = "--check" in sys.argv[1:]
    PAGES.mkdir(exist_ok=True)
    for path, text in stale.items():
        print(f"{'out of date' if check else 'wrote'}: docs/constraints/{path.name}")
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
