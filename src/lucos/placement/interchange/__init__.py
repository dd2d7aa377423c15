"""Problems and plans as files: BtrPlace's JSON and our own, read with one clear error for whatever is wrong.

`load` takes either, gzipped or not; `load_plan` likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from lucos.errors import InputError
from lucos.model import Plan
from lucos.placement.interchange import btrplace, btrplace_plan, ours
from lucos.placement.interchange.numbers import Numbered
from lucos.placement.interchange.reading import decoded, unpacked
from lucos.placement.problem import Problem
from lucos.placement.validation import validate

T = TypeVar("T")


def load(source: Path | str | bytes, *, validated: bool = True) -> Problem:
    """The problem in a file or in bytes; `InputError` names the file and the place of what is wrong.

    Who hands it to `solve`, which validates what it is given, may leave that out here.
    """
    return _of(source, lambda data: _problem(data, validated))


def load_plan(source: Path | str | bytes, problem: Problem) -> Plan:
    """The plan for `problem` in a file or in bytes."""
    return _of(source, lambda data: _plan(data, problem))


def _of(source: Path | str | bytes, read: Callable[[bytes], T]) -> T:
    if isinstance(source, bytes):
        return read(unpacked(source))
    try:
        return read(unpacked(Path(source).read_bytes()))
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", file=str(source)) from None
    except InputError as error:
        raise InputError(error.message, hint=error.hint, file=str(source)) from None


def _problem(data: bytes, validated: bool) -> Problem:
    head = _head(data)
    problem: Problem
    if "lucos" in head:
        problem = ours.read_problem(data)
    elif "model" in head:
        problem = btrplace.read_instance(data)
    elif "origin" in head:
        raise InputError("this is a plan", hint="name the instance first, then the plan")
    else:
        raise InputError("neither a BtrPlace instance (it has a model) nor one of ours (lucos, type, value)")
    if validated:
        validate(problem)
    return problem


def _plan(data: bytes, problem: Problem) -> Plan:
    head = _head(data)
    if "lucos" in head:
        return Plan(ours.read_plan(data).actions)
    if "origin" in head:
        return btrplace_plan.read_plan(data, problem)
    raise InputError("neither a BtrPlace plan (origin, actions) nor one of ours (lucos, type, value)")


def _head(data: bytes) -> dict[str, msgspec.Raw]:
    return decoded(data, dict[str, msgspec.Raw])


__all__ = ["Numbered", "load", "load_plan"]
