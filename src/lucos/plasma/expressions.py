"""Expressions: syntax tree -> value. `None` is a value that could not be told; why, is reported already."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from lark import Token, Tree

from lucos.plasma.errors import PROBLEMS_MAX, Problem, suggestion
from lucos.plasma.scope import Scope
from lucos.plasma.syntax import Node
from lucos.plasma.values import (
    Budget,
    Fault,
    Group,
    Name,
    Number,
    Text,
    Value,
    bounded,
    cardinality,
    combined,
    described,
    group_of,
    negated,
    truth,
)

RANGE_MAX = 1_000_000
NESTED_MAX = 32

_DIGITS_MAX = 40
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+(\.[0-9]+)?")
_PLAIN_NAME = re.compile(r"(@?)([A-Za-z0-9_][\w.-]*)")
_LEVELS = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">="), ("+", "-"), ("*", "/", "%"), ("^",))
_LEVEL = {symbol: level for level, symbols in enumerate(_LEVELS) for symbol in symbols}
_POWER = _LEVEL["^"]
_PREFIXES: dict[str, Callable[[Value], Value]] = {
    "-": negated,
    "#": cardinality,
    "!": lambda value: int(not truth(value)),
}


class Enough(Exception):
    """So many problems are found that no more are looked for."""


class Expressions:
    """Evaluates the expressions of one script over its scope, and collects problems.

    Positions in trees count from `base`, the offset of the statement they are in.
    """

    def __init__(self, scope: Scope, budget: Budget, problems: list[Problem]) -> None:
        self.scope = scope
        self.budget = budget
        self.base = 0
        self.problems = problems
        self._muted = 0
        self._nested = 0
        # Names that are written out are the same in every round of a loop.
        self._constants: dict[int, Value] = {}
        self._handlers: dict[str, Callable[[Node], Value | None]] = {
            "expression": self._chain,
            "variable": lambda tree: self.variable(str(tree.children[0]), tree),
            "variables": self._variables,
            "set": self._set,
            "names": self._names,
            "name": self._name,
            "number": lambda tree: self.number(str(tree.children[0])),
            "string": lambda tree: Text(str(tree.children[0])[1:-1]),
        }

    # --- Problems

    def report(self, place: Node | Token | tuple[int, int], message: str) -> None:
        """Collect a problem at a tree, token or pair of offsets; raises `Enough` when there are many."""
        if self._muted:
            return
        start, end = place if isinstance(place, tuple) else self.extent(place)
        # Of one place one problem is told: the rounds of a loop find it again and again.
        if all((known.start, known.end) != (start, end) for known in self.problems):
            self.problems.append(Problem(start, end, message))
        if len(self.problems) >= PROBLEMS_MAX:
            raise Enough

    def extent(self, place: Node | Token) -> tuple[int, int]:
        where = place.meta if isinstance(place, Tree) else place
        # A tree of nothing (an empty block) has no place of its own.
        start, end = getattr(where, "start_pos", None) or 0, getattr(where, "end_pos", None) or 0
        return self.base + start, self.base + end

    # --- Values

    def value(self, tree: Node | Token) -> Value | None:
        """What an expression is worth."""
        assert isinstance(tree, Tree)
        if self._nested >= NESTED_MAX:
            self.report(tree, "brackets nested too deep")
            return None
        self._nested += 1
        try:
            known = self._constants.get(id(tree))
            if known is None:
                known = self._handlers[tree.data](tree)
                if known is not None and tree.data in ("names", "name") and _is_constant(tree):
                    self._constants[id(tree)] = known
            return known
        except Fault as fault:
            self.report(tree, str(fault))
            return None
        finally:
            self._nested -= 1

    def variable(self, name: str, place: Node | Token) -> Value | None:
        try:
            return self.scope.value(name)
        except KeyError:
            known = [*self.scope.builtin, *(n for n, v in self.scope.variables.items() if v is not None)]
            why = self.scope.hidden.get(name) or f"undefined variable {name}{suggestion(name, known)}"
            self.report(place, why)
            return None

    def _chain(self, tree: Node) -> Value | None:
        value, _ = self._climb(tree.children, 0, 0)
        return value

    def _climb(self, items: list[Node | Token], at: int, level: int) -> tuple[Value | None, int]:
        """(value, index after it) of the operands that bind at least as tightly as `level`."""
        left, at = self._operand(items, at)
        while at < len(items) and _LEVEL[str(items[at])] >= level:
            symbol, token = str(items[at]), items[at]
            decided = self._decided(symbol, left, token)
            self._muted += decided
            right, at = self._climb(items, at + 1, _LEVEL[symbol] + 1)
            self._muted -= decided
            if decided:
                left = int(symbol == "||")
            elif left is None or right is None:
                left = None
            else:
                left = self._combined(symbol, left, right, token)
        return left, at

    def _decided(self, symbol: str, left: Value | None, token: Node | Token) -> bool:
        """Whether `left` alone tells what `left && ...` or `left || ...` is."""
        if symbol not in ("&&", "||") or left is None:
            return False
        return self.holds(left, token) is (symbol == "||")

    def holds(self, value: Value, place: Node | Token) -> bool | None:
        """Whether a condition holds; None when it is none, which is reported."""
        try:
            return truth(value)
        except Fault as fault:
            self.report(place, str(fault))
            return None

    def _combined(self, symbol: str, left: Value, right: Value, token: Node | Token) -> Value | None:
        if symbol in ("&&", "||"):
            known = self.holds(right, token)
            return None if known is None else int(known)
        try:
            return combined(symbol, left, right, self.budget)
        except Fault as fault:
            self.report(token, str(fault) + spacing_hint(left, right))
            return None

    def _operand(self, items: list[Node | Token], at: int) -> tuple[Value | None, int]:
        begin = at
        while isinstance(items[at], Token):
            at += 1
        if at == begin:
            return self.value(items[at]), at + 1
        value, after = self._climb(items, at, _POWER)
        for prefix in reversed(items[begin:at]):
            if value is None:
                break
            try:
                value = _PREFIXES[str(prefix)](value)
            except Fault as fault:
                self.report(prefix, str(fault) + spacing_hint(value))
                value = None
        return value, after

    # --- Sets and names

    def _set(self, tree: Node) -> Value | None:
        parts: list[Value] = []
        complete = True
        for child in tree.children:
            if child is None:
                continue
            value = self.value(child)
            if value is None:
                complete = False
            elif isinstance(value, Group) and child.data in ("name", "variables"):  # type: ignore[union-attr]
                parts += value.items.values()
            else:
                parts.append(value)
        return group_of(parts, self.budget) if complete else None

    def _names(self, tree: Node) -> Value:
        begin, _ = self.extent(tree)
        values = (
            self.number(found[2])
            if _NUMBER.fullmatch(found[2])
            else self.scope.name(found[2], begin + found.start(), begin + found.end(), bool(found[1]))
            for found in _PLAIN_NAME.finditer(str(tree.children[0]))
        )
        return group_of(values, self.budget)

    def _name(self, tree: Node) -> Value | None:
        tokens = {c.type: str(c) for c in tree.children if isinstance(c, Token)}
        spans = [c for c in tree.children if isinstance(c, Tree)]
        is_node, word, suffix = "NODE_MARK" in tokens, tokens["WORD"], tokens.get("SUFFIX", "")
        place = self.extent(tree)
        if not spans:
            return self.scope.name(word, *place, is_node)
        parts = self._spans(spans)
        if parts is None:
            return None
        if is_node:
            # No node has a longer name: made here, thousands are made at once.
            self.budget.spend(len(parts))
            texts = [f"{word}{part}{suffix}" for part in parts]
            return Group({text: Name(text, *place, True) for text in texts})
        names = (self.scope.name(f"{word}{part}{suffix}", *place) for part in parts)
        return group_of(names, self.budget)

    def _variables(self, tree: Node) -> Value | None:
        names = self.variable_names(tree)
        values = [self.variable(name, tree) for name in names or ()]
        known = [value for value in values if value is not None]
        return group_of(known, self.budget) if names and len(known) == len(values) else None

    def variable_names(self, tree: Node) -> list[str] | None:
        """`$T1`, `$T2`, ... of `$T[1..3]`."""
        parts = self._spans(c for c in tree.children[1:] if isinstance(c, Tree))
        return None if parts is None else [f"{tree.children[0]}{part}" for part in parts]

    def number(self, text: str) -> Number:
        """A number as written; raises `Fault`."""
        if len(text) > _DIGITS_MAX:
            raise Fault("this number is too long")
        if re.match(r"0\d", text):
            raise Fault(f"{text}: a number does not begin with 0; octal numbers are written as 0x..")
        number = int(text, 16) if text[:2] in ("0x", "0X") else float(text) if "." in text else int(text)
        return bounded(number, text)

    # --- Ranges

    def _spans(self, spans: Iterable[Node]) -> list[str] | None:
        """The numbers (or words) of `1..3, 7, x`, or None when one of them is at fault."""
        expanded = [self._span(span) for span in spans]
        known = [numbers for numbers in expanded if numbers is not None]
        return [n for numbers in known for n in numbers] if len(known) == len(expanded) else None

    def _span(self, span: Node) -> list[str] | None:
        bounds = [self._bound(bound) for bound in span.children if bound is not None]
        known = [bound for bound in bounds if bound is not None]
        if len(known) < len(bounds):
            return None
        if len(known) == 1:
            return known
        first, last = known
        low, high = _whole(first), _whole(last)
        fault = ""
        if low is None or high is None:
            fault = f"{first if low is None else last} is not a number: a range is [1..9]"
        elif low > high:
            fault = f"reversed range: {first} is larger than {last}"
        elif high - low >= RANGE_MAX:
            fault = f"range of {high - low + 1} names, at most {RANGE_MAX}"
        if fault or low is None or high is None:
            self.report(span, fault)
            return None
        self.budget.spend(high - low)
        width = len(first) if first.startswith("0") and first.isdigit() else 0
        return [str(n).zfill(width) for n in range(low, high + 1)]

    def _bound(self, bound: Node | Token) -> str | None:
        """A bound of a range, or a single element of it, as text."""
        if isinstance(bound, Token) and bound.type == "WORD":
            return str(bound)
        if isinstance(bound, Token) and bound.type == "STRING":
            return str(bound)[1:-1]
        value = self.variable(str(bound), bound) if isinstance(bound, Token) else self.value(bound)
        if value is None:
            return None
        if isinstance(value, Group | float):
            self.report(bound, f"{described(value)} in a range: whole numbers and names are expected")
            return None
        return str(value) if isinstance(value, int) else value.text


def _is_constant(tree: Node) -> bool:
    spans = (span for span in tree.children if isinstance(span, Tree))
    return all(isinstance(b, Token) and b.type == "WORD" for span in spans for b in span.children if b)


def spacing_hint(*values: Value) -> str:
    """A word for those who wrote 5-3 for a difference."""
    for value in values:
        if isinstance(value, Name) and re.match(r"\d[\w.]*-", value.text):
            return f"; {value.text} is one name: a minus between numbers has spaces around it"
    return ""


def _whole(word: str) -> int | None:
    """A number of a range: decimal, or hexadecimal as 0x1f."""
    if re.fullmatch(r"-?[0-9]{1,18}", word):
        return int(word)
    with suppress(ValueError):
        return int(word, 16) if re.fullmatch(r"0[xX][0-9a-fA-F]{1,15}", word) else None
    return None
