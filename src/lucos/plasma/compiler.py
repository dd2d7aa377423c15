"""The compiler: script -> syntax tree -> sets of names -> constraints, with every problem collected.

Names are resolved where they are used, not where they are written: `{web1}` is a set of names until a
constraint takes it as VMs or as nodes. Sets are flat and keep the order they were written in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec
from lark import Token, Tree

from lucos.model import Constraint
from lucos.plasma.errors import PlasmaErrors, Problem, Source, listed, suggestion
from lucos.plasma.syntax import parse

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "spread": ("vms",),
    "gather": ("vms",),
    "ban": ("vms", "nodes"),
    "fence": ("vms", "nodes"),
}
"""What each constraint takes, in order: `vms` or `nodes`."""

RANGE_MAX = 10_000


class Name(msgspec.Struct, frozen=True):
    """A name in a set, and the offsets of the text it comes from."""

    text: str
    start: int
    end: int
    is_node: bool = False


Names = dict[str, Name]
"""An ordered set: the key is the name as written, with its `@`."""


def compile_script(
    text: str,
    *,
    vms: Sequence[str],
    ve: str,
    file: str = "",
    first_line: int = 1,
    first_column: int = 1,
) -> list[Constraint]:
    """The constraints of a script, in order, with full VM ids (`ve.vm`) and node names.

    `vms` are the short names of the VE's own VMs, also known as `$me` and `$ALL_VMS`. Raises `PlasmaErrors`
    with all problems, at places counted from `first_line` and `first_column` of `file`.
    """
    source = Source(text, file, first_line, first_column)
    tree, problems, broken = parse(text)
    compiler = _Compiler(vms, ve, problems, broken)
    statements = [child for child in tree.children if isinstance(child, Tree)]
    found = [c for statement in statements if (c := compiler.statement(statement))]
    if compiler.problems:
        raise PlasmaErrors(source, compiler.problems)
    return found


class _Compiler:
    def __init__(self, vms: Sequence[str], ve: str, problems: list[Problem], broken: set[str]) -> None:
        self._ve = ve
        self._own = dict.fromkeys(vms)
        self._builtin = {"$me", "$ALL_VMS"}
        everyone = {vm: Name(vm, 0, 0) for vm in vms}
        # A variable whose assignment is at fault stays unknown in silence: its error is told already.
        self._variables: dict[str, Names | None] = dict.fromkeys(broken)
        self._variables |= dict.fromkeys(self._builtin, everyone)
        self.problems = problems

    def statement(self, tree: Tree[Token]) -> Constraint | None:
        if tree.data == "constraint":
            return self._constraint(tree)
        self._assign(tree)
        return None

    def _assign(self, tree: Tree[Token]) -> None:
        variable, expression = tree.children
        assert isinstance(variable, Token)
        value = self._names(expression)
        if variable in self._builtin:
            self._report(variable, f"{variable} is every VM of the VE and cannot be assigned")
        else:
            self._variables[str(variable)] = value

    def _constraint(self, tree: Tree[Token]) -> Constraint | None:
        words = [c for c in tree.children if isinstance(c, Token)]
        discrete, kind = words[0].type == "DISCRETE", words[-1]
        arguments = [c for c in tree.children if isinstance(c, Tree)]
        takes = ARGUMENTS.get(kind)
        if takes is None:
            known = f"; constraints are {', '.join(ARGUMENTS)}"
            self._report(kind, f"unknown constraint {kind}{suggestion(kind, ARGUMENTS) or known}")
            return None
        if len(arguments) != len(takes):
            wanted = f"{kind}({', '.join(takes)}) takes {len(takes)}"
            self._report(tree, f"{wanted} argument{'s'[: len(takes) > 1]}, got {len(arguments)}")
            return None
        sets = {role: self._resolve(kind, role, tree) for role, tree in zip(takes, arguments, strict=True)}
        return Constraint(str(kind), sets["vms"], sets.get("nodes", ()), continuous=not discrete)

    def _resolve(self, kind: str, role: str, tree: Tree[Token]) -> tuple[str, ...]:
        """The argument's names as full VM ids or node names; reports those that are neither."""
        names = self._names(tree)
        if names is None:
            return ()
        if not names:
            self._report(tree, f"this set is empty: {kind} needs at least one {role[:-1]}")
        return self._as_vms(names) if role == "vms" else self._as_nodes(kind, names)

    def _as_vms(self, names: Names) -> tuple[str, ...]:
        found: list[str] = []
        unknown: dict[tuple[int, int], list[str]] = {}
        for name in names.values():
            short = name.text.removeprefix(f"{self._ve}.")
            if name.is_node:
                self._add(name.start, name.end, f"{name.text} is a node (@); VMs are expected here")
            elif short in self._own:
                found.append(f"{self._ve}.{short}")
            else:
                unknown.setdefault((name.start, name.end), []).append(short)
        for (start, end), missing in unknown.items():
            hint = suggestion(missing[0], self._own)
            self._add(start, end, f"no VM named {listed(missing)} in VE {self._ve}{hint}")
        return tuple(dict.fromkeys(found))

    def _as_nodes(self, kind: str, names: Names) -> tuple[str, ...]:
        for name in names.values():
            if name.text in self._own and not name.is_node:
                self._add(
                    name.start,
                    name.end,
                    f"{name.text} is a VM; {kind} takes nodes here (@{name.text} if a node has that name)",
                )
        return tuple(dict.fromkeys(name.text for name in names.values()))

    # --- Expressions: None is a value that could not be told, reported already.

    def _names(self, tree: Tree[Token] | Token) -> Names | None:
        assert isinstance(tree, Tree)
        handlers: dict[str, Callable[[Tree[Token]], Names | None]] = {
            "union": self._union,
            "set": self._union,
            "difference": self._difference,
            "variable": self._variable,
            "variables": self._variable_range,
            "name": self._name,
        }
        return handlers[tree.data](tree)

    def _union(self, tree: Tree[Token]) -> Names | None:
        return _merged(self._names(part) for part in tree.children if part is not None)

    def _difference(self, tree: Tree[Token]) -> Names | None:
        left, right = (self._names(part) for part in tree.children)
        if left is None or right is None:
            return None
        return {key: name for key, name in left.items() if key not in right}

    def _variable(self, tree: Tree[Token]) -> Names | None:
        return self._value(str(tree.children[0]), tree)

    def _variable_range(self, tree: Tree[Token]) -> Names | None:
        base, *spans = tree.children
        numbers = self._spans(spans)
        return None if numbers is None else _merged(self._value(f"{base}{n}", tree) for n in numbers)

    def _value(self, variable: str, tree: Tree[Token]) -> Names | None:
        if variable not in self._variables:
            known = [name for name, value in self._variables.items() if value is not None]
            self._report(tree, f"undefined variable {variable}{suggestion(variable, known)}")
            return None
        value = self._variables[variable]
        if value is None or variable not in self._builtin:
            return value
        start, end = _extent(tree)
        return {key: Name(key, start, end) for key in value}

    def _name(self, tree: Tree[Token]) -> Names | None:
        tokens = {c.type: c for c in tree.children if isinstance(c, Token)}
        spans = [c for c in tree.children if isinstance(c, Tree)]
        numbers = self._spans(spans) if spans else [""]
        if numbers is None:
            return None
        mark, suffix = tokens.get("NODE_MARK", ""), tokens.get("SUFFIX", "")
        start, end = _extent(tree)
        texts = [f"{tokens['WORD']}{number}{suffix}" for number in numbers]
        return {f"{mark}{text}": Name(text, start, end, is_node=bool(mark)) for text in texts}

    def _spans(self, spans: Sequence[Tree[Token] | Token]) -> list[str] | None:
        """The numbers (or words) of `1..3, 7, x`, or None when one of them is at fault."""
        expanded = [self._span(span) for span in spans if isinstance(span, Tree)]
        known = [numbers for numbers in expanded if numbers is not None]
        return [n for numbers in known for n in numbers] if len(known) == len(expanded) else None

    def _span(self, span: Tree[Token]) -> list[str] | None:
        first, last = (None if word is None else str(word) for word in span.children)
        assert first is not None
        if last is None:
            return [first]
        low, high = _number(first), _number(last)
        if low is None or high is None:
            return self._fault(span, f"{first if low is None else last} is not a number: a range is [1..9]")
        if low > high:
            return self._fault(span, f"reversed range: {first} is larger than {last}")
        if high - low >= RANGE_MAX:
            return self._fault(span, f"range of {high - low + 1} names, at most {RANGE_MAX}")
        width = len(first) if first.startswith("0") and first.isdigit() else 0
        return [str(n).zfill(width) for n in range(low, high + 1)]

    def _fault(self, place: Tree[Token] | Token, message: str) -> list[str] | None:
        self._report(place, message)
        return None

    def _report(self, place: Tree[Token] | Token, message: str) -> None:
        self._add(*_extent(place), message)

    def _add(self, start: int, end: int, message: str) -> None:
        self.problems.append(Problem(start, end, message))


def _merged(parts: Iterable[Names | None]) -> Names | None:
    """The union, or None when a part is; every part is looked at, so that all problems are told."""
    seen = list(parts)
    known = [part for part in seen if part is not None]
    return {k: v for part in known for k, v in part.items()} if len(known) == len(seen) else None


def _extent(place: Tree[Token] | Token) -> tuple[int, int]:
    where = place if isinstance(place, Token) else place.meta
    assert where.start_pos is not None
    assert where.end_pos is not None
    return where.start_pos, where.end_pos


def _number(word: str) -> int | None:
    """A number of a range: decimal, or hexadecimal as 0x1f."""
    if re.fullmatch(r"[0-9]+", word):
        return int(word)
    return int(word, 16) if re.fullmatch(r"0x[0-9a-fA-F]+", word) else None
