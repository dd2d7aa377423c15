"""What expressions are worth: numbers, texts, names and sets of them; what operators do to them.

Sets keep the order they were written in. A set holds names, texts and numbers, or sets: what holds both is
made flat. Operators raise `Fault`, whose text is for the user. A `Budget` bounds the work of a script.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

SET_MAX = 1_000_000
DEPTH_MAX = 16
NUMBER_MAX = 10**15
WORK_MAX = 10_000_000


class Fault(Exception):
    """An operation that makes no sense."""


class Exhausted(Exception):
    """The script does more than a script may."""


class Budget:
    """Counts elements of sets, statements and constraints."""

    def __init__(self, left: int = WORK_MAX) -> None:
        self._left = left

    def spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise Exhausted


class Name(msgspec.Struct, frozen=True, gc=False):
    """A VM or node by name, and the offsets of the text it comes from (-1: see what holds it)."""

    text: str
    start: int = -1
    end: int = -1
    is_node: bool = False


class Text(msgspec.Struct, frozen=True, gc=False):
    text: str


Number = int | float
Atom = Number | Name | Text
Value: TypeAlias = "Atom | Group"


class Group(msgspec.Struct, frozen=True, eq=False):
    """A set: elements by what makes them equal. `depth` is 1 for a set of atoms, 2 for a set of such sets."""

    items: dict[Hashable, Value]
    depth: int = 1

    @property
    def identity(self) -> frozenset[Hashable]:
        return frozenset(self.items)

    def atoms(self) -> Iterator[Atom]:
        """The atoms at any depth, in order; those that are in several sets come several times."""
        for value in self.items.values():
            if isinstance(value, Group):
                yield from value.atoms()
            else:
                yield value


EMPTY = Group({})


def identity(value: Value) -> Hashable:
    """What two equal values share: names are equal to texts, whatever their mark."""
    if isinstance(value, Group):
        return value.identity
    return value.text if isinstance(value, Name | Text) else value


def group_of(values: Iterable[Value], budget: Budget) -> Group:
    """The set of these values; flat as soon as one of them is no set."""
    elements = list(values)
    depth = max((v.depth for v in elements if isinstance(v, Group)), default=0)
    if depth and not all(isinstance(v, Group) for v in elements):
        groups = (v.atoms() if isinstance(v, Group) else (v,) for v in elements)
        elements, depth = [atom for atoms in groups for atom in atoms], 0
    budget.spend(
        len(elements) + (sum(len(v.items) for v in elements if isinstance(v, Group)) if depth else 0)
    )
    if len(elements) > SET_MAX:
        raise Fault(f"a set of {len(elements)} elements, at most {SET_MAX}")
    if depth >= DEPTH_MAX:
        raise Fault(f"sets in sets deeper than {DEPTH_MAX}")
    return Group({identity(v): v for v in elements}, depth + 1)


def as_group(value: Value) -> Group:
    """A set as it is, an atom as a set of one."""
    return value if isinstance(value, Group) else Group({identity(value): value})


def described(value: Value) -> str:
    """What a value is, in a word."""
    if isinstance(value, Group):
        return "a set" if value.depth == 1 else "a set of sets"
    return "a name" if isinstance(value, Name) else "a text" if isinstance(value, Text) else "a number"


def truth(value: Value) -> bool:
    """Whether a condition holds; conditions are numbers."""
    if isinstance(value, int | float):
        return value != 0
    raise Fault(f"a condition is expected, not {described(value)}; #set counts a set")


def cardinality(value: Value) -> int:
    return len(as_group(value).items)


def negated(value: Value) -> Number:
    if isinstance(value, int | float):
        return -value
    raise Fault(f"- before {described(value)}; it takes a number")


def combined(symbol: str, left: Value, right: Value, budget: Budget) -> Value:
    """`left symbol right`, for every operator but && and ||."""
    if symbol in _COMPARISONS:
        return int(_compared(symbol, left, right))
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _calculated(symbol, left, right)
    if symbol in ("/", "%") and isinstance(right, int | float):
        return _parts(symbol, as_group(left), right, budget)
    if isinstance(left, int | float) or isinstance(right, int | float) or symbol not in _OF_SETS:
        raise Fault(f"{symbol} between {described(left)} and {described(right)}")
    return _OF_SETS[symbol](as_group(left), as_group(right), budget)


def _calculated(symbol: str, left: Number, right: Number) -> Number:
    if symbol in ("/", "%") and right == 0:
        raise Fault("division by zero")
    try:
        if symbol == "^" and abs(left) > 1 and right * math.log(abs(left)) > math.log(NUMBER_MAX):
            raise OverflowError
        result = _ARITHMETIC[symbol](left, right)
    except (OverflowError, ZeroDivisionError):
        result = math.inf
    return bounded(result, f"{left:g} {symbol} {right:g}")


def bounded(number: Number | complex, written: str) -> Number:
    """The number, whole if it can be; raises `Fault` when it is none or too large."""
    if isinstance(number, complex) or not abs(number) <= NUMBER_MAX:
        raise Fault(f"{written} is no number between -1e15 and 1e15")
    return int(number) if number == int(number) else number


def _compared(symbol: str, left: Value, right: Value) -> bool:
    compare = _COMPARISONS[symbol]
    if isinstance(left, int | float) and isinstance(right, int | float):
        return bool(compare(left, right))
    if isinstance(left, int | float) or isinstance(right, int | float):
        if symbol in ("==", "!="):
            return symbol == "!="
        raise Fault(f"{described(left)} cannot be compared with {described(right)}")
    # Sets compare by inclusion.
    return bool(compare(as_group(left).identity, as_group(right).identity))


def _alike(left: Group, right: Group, budget: Budget) -> tuple[Group, Group]:
    """Both of one depth: an empty set is of any; a set of sets beside a set is made flat."""
    if left.depth == right.depth or not left.items or not right.items:
        return left, right
    flat = (group_of(g.atoms(), budget) for g in (left, right))
    return next(flat), next(flat)


def _union(left: Group, right: Group, budget: Budget) -> Group:
    left, right = _alike(left, right, budget)
    budget.spend(len(right.items) + len(left.items) // 8)
    if len(left.items) + len(right.items) > SET_MAX:
        raise Fault(f"a union of more than {SET_MAX} elements")
    return Group(left.items | right.items, left.depth if left.items else right.depth)


def _difference(left: Group, right: Group, budget: Budget) -> Group:
    left, right = _alike(left, right, budget)
    budget.spend(len(left.items))
    return Group({k: v for k, v in left.items.items() if k not in right.items}, left.depth)


def _product(left: Group, right: Group, budget: Budget) -> Group:
    """Every element of one with every element of the other: a set of sets; of products, longer ones."""
    size = len(left.items) * len(right.items)
    if size > SET_MAX:
        raise Fault(f"a product of {size} pairs, at most {SET_MAX}")
    budget.spend(4 * size)

    def members(value: Value) -> Sequence[Value]:
        return list(value.items.values()) if isinstance(value, Group) else [value]

    pairs = (
        group_of([*members(a), *members(b)], budget)
        for a in left.items.values()
        for b in right.items.values()
    )
    return group_of(pairs, budget)


def _parts(symbol: str, whole: Group, number: Number, budget: Budget) -> Group:
    """`whole / n`: n parts whose sizes differ by at most one. `whole % n`: parts of n (the last: up to n)."""
    elements = list(whole.items.items())
    if not isinstance(number, int) or number < 1:
        raise Fault(f"{symbol} {number:g}: a set is split by a whole number from 1")
    if symbol == "/" and number > len(elements):
        raise Fault(f"{len(elements)} elements cannot be split into {number} parts")
    budget.spend(len(elements))
    count = number if symbol == "/" else max(1, math.ceil(len(elements) / number))
    size, larger = divmod(len(elements), count) if symbol == "/" else (number, 0)
    parts: list[Group] = []
    begin = 0
    for index in range(count):
        end = begin + size + (index < larger)
        parts.append(Group(dict(elements[begin:end]), whole.depth))
        begin = end
    return group_of(parts, budget)


_COMPARISONS: dict[str, Callable[[object, object], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,  # type: ignore[dict-item]
    "<=": operator.le,  # type: ignore[dict-item]
    ">": operator.gt,  # type: ignore[dict-item]
    ">=": operator.ge,  # type: ignore[dict-item]
}
_ARITHMETIC: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "^": operator.pow,
}
_OF_SETS: dict[str, Callable[[Group, Group, Budget], Group]] = {
    "+": _union,
    "-": _difference,
    "*": _product,
}
