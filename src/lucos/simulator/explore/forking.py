"""Forking the state of actors, and telling whether two such states are the same.

`freeze` and `thaw` copy a graph of objects with its closures, which `copy.deepcopy` shares. `digest` names a
state: equal digests mean states that no actor can tell apart. Instants count from now in both, so the same
situation at another time of day is the same state.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from hashlib import blake2b
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType
from typing import Any, cast

import msgspec

NOW_S = 1000.0


class Instant(float):
    """A reading of a node's clock. What is computed from it is an instant or a duration, as it should."""

    def __add__(self, seconds: float) -> Instant:
        return Instant(float(self) + seconds)

    __radd__ = __add__

    def __sub__(self, other: float) -> float:
        difference = float(self) - float(other)
        return difference if isinstance(other, Instant) else Instant(difference)

    def since_now_s(self) -> float:
        return float(self) - NOW_S


# --- copies -------------------------------------------------------------------------------------------

_codes: dict[CodeType, int] = {}
_code_of: list[CodeType] = []


def _instant(since_now_s: float) -> Instant:
    return Instant(NOW_S + since_now_s)


def _function(code: int, module: str, cells: tuple[CellType, ...], defaults: Any) -> FunctionType:
    made = FunctionType(_code_of[code], vars(sys.modules[module]), closure=cells)
    made.__defaults__, made.__kwdefaults__ = defaults
    return made


def _cell() -> CellType:
    return CellType()


def _fill(cell: CellType, contents: tuple[Any, ...]) -> None:
    (cell.cell_contents,) = contents


class _Freezer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, elapsed_s: float) -> None:
        super().__init__(file, protocol=5)
        self._now_s = NOW_S + elapsed_s

    def reducer_override(self, thing: Any) -> Any:
        kind = type(thing)
        if kind is Instant:
            return _instant, (round(float(thing) - self._now_s, 6),)
        if kind is FunctionType and "<" in thing.__qualname__:
            code = _codes.setdefault(thing.__code__, len(_codes))
            if code == len(_code_of):
                _code_of.append(thing.__code__)
            defaults = thing.__defaults__, thing.__kwdefaults__
            return _function, (code, thing.__module__, thing.__closure__, defaults)
        if kind is CellType:
            return _cell, (), (thing.cell_contents,), None, None, _fill
        return NotImplemented


def freeze(thing: object, elapsed_s: float = 0.0) -> bytes:
    """A copy of `thing` as it stands `elapsed_s` from now."""
    file = io.BytesIO()
    _Freezer(file, elapsed_s).dump(thing)
    return file.getvalue()


def thaw(frozen: bytes) -> Any:
    return pickle.loads(frozen)


# --- names of states ----------------------------------------------------------------------------------


class Digester:
    """`ignored` are attributes (`Class.name`) that take no part; ages count up to `memory_s`."""

    def __init__(self, ignored: Iterable[str] = (), memory_s: float = 0.0) -> None:
        self._ignored = frozenset(ignored)
        self._memory_s = memory_s

    def digest(self, thing: object) -> bytes:
        found: list[object] = []
        self._walk(thing, found, {})
        return blake2b(repr(found).encode(), digest_size=16).digest()

    def _walk(self, thing: Any, found: list[object], seen: dict[int, int]) -> None:
        kind = type(thing)
        if thing is None or kind in (bool, int, str, bytes, float):
            found.append(thing)
        elif kind is Instant:
            found.append(("at", max(round(thing.since_now_s(), 6), -self._memory_s)))
        elif kind is tuple or (isinstance(thing, msgspec.Struct) and thing.__struct_config__.frozen):
            found.append(kind.__name__)
            self._parts(thing, found, seen)
        elif isinstance(thing, Enum | type | BuiltinFunctionType):
            found.append(str(thing))
        elif isinstance(thing, set | frozenset):
            found.append(("set", *sorted(map(repr, thing))))
        elif kind is FunctionType and "<" not in thing.__qualname__:
            found.append(thing.__qualname__)
        elif id(thing) in seen:
            found.append(("again", seen[id(thing)]))
        else:
            seen[id(thing)] = len(seen)
            found.append(kind.__name__)
            self._parts(thing, found, seen)
        found.append(";")

    def _parts(self, thing: Any, found: list[object], seen: dict[int, int]) -> None:
        if isinstance(thing, tuple | list | deque):
            for item in thing:
                self._walk(item, found, seen)
        elif isinstance(thing, dict):
            for key, value in thing.items():
                self._walk(key, found, seen)
                self._walk(value, found, seen)
        elif isinstance(thing, FunctionType):
            found.append(thing.__code__.co_qualname)
            for cell in thing.__closure__ or ():
                self._walk(cell.cell_contents, found, seen)
        elif isinstance(thing, MethodType):
            found.append(cast(Callable[..., object], thing.__func__).__qualname__)
            self._walk(thing.__self__, found, seen)
        else:
            for name in _attributes(thing):
                if f"{type(thing).__name__}.{name}" not in self._ignored:
                    found.append(name)
                    self._walk(getattr(thing, name, None), found, seen)


def _attributes(thing: Any) -> list[str]:
    if isinstance(thing, msgspec.Struct):
        return list(thing.__struct_fields__)
    slots = [name for base in type(thing).__mro__ for name in getattr(base, "__slots__", ())]
    return slots + sorted(getattr(thing, "__dict__", ()))
