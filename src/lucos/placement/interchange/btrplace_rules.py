"""BtrPlace's constraints and objectives as ours, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from lucos.errors import InputError
from lucos.model import Constraint
from lucos.model.signature import Modes, Role
from lucos.placement.constraints import SIGNATURES
from lucos.placement.interchange.btrplace_format import Number, Rule
from lucos.placement.interchange.reading import decoded, fault, refuse_repeated_keys
from lucos.placement.problem import Objective

_SAME = (
    "among ban fence gather killed lonely maxOnline noDelay offline online overbook preserve quarantine "
    "ready resourceCapacity root running runningCapacity seq sleeping split splitAmong spread"
)
KIND_OF = {name: name for name in _SAME.split()} | {
    "Deadline": "deadline",
    "Precedence": "before",
    "Serialize": "serialize",
    "Sync": "sync",
}
"""BtrPlace's id -> our kind."""

_ID_OF = {kind: name for name, kind in KIND_OF.items()} | {"precedence": "Precedence"}
_SINGLE = "ban deadline fence killed noDelay preserve ready root running sleeping".split()  # noqa: SIM905
_SINGLE_NODE = ("online", "offline", "overbook", "quarantine")
_AMOUNT_OF = {"overbook": "ratio", "deadline": "timestamp"}

OBJECTIVES: dict[str, tuple[Objective, ...]] = {
    "minimizeMTTR": (Objective.SUM_OF_ENDS,),
    "minimizeMTTRMigrationScheduling": (Objective.SUM_OF_ENDS,),
    "minimizeMigrations": (Objective.MIGRATIONS, Objective.SUM_OF_ENDS),
    "MinMigrations": (Objective.MIGRATIONS, Objective.SUM_OF_ENDS),
    "NumberOfMigrations": (Objective.MIGRATIONS, Objective.SUM_OF_ENDS),
}

_RELATIVE = re.compile(r"\+(\d{1,4}):(\d{1,2}):(\d{1,2})")
_Sets = tuple[tuple[str, ...], ...]


_FIELDS = tuple(field.encode_name for field in msgspec.structs.fields(Rule))
_Read = Callable[[Any, str], Any]


class RuleReader:
    """Reads rules; `vms` and `nodes` are the names by number."""

    def __init__(self, vms: Mapping[int, str], nodes: Mapping[int, str]) -> None:
        self._names = {"VM": vms, "node": nodes}
        self._parts: dict[tuple[bytes, str], _Sets] = {}
        self._shapes: dict[tuple[str, ...], tuple[str, Modes, list[tuple[str, str, _Read]]]] = {}

    def read(self, raw: msgspec.Raw, at: str) -> tuple[Constraint, ...]:
        """The rules of an array."""
        rules = decoded(raw, list[Rule], at)
        given = [
            {name: value for name, value in zip(_FIELDS, values, strict=True) if value is not UNSET}
            for values in map(msgspec.structs.astuple, rules)
        ]
        if bytes(raw).count(b":") != sum(map(len, given)):
            refuse_repeated_keys(raw, at)
        return tuple([self._rule(fields, f"{at}[{i}]") for i, fields in enumerate(given)])

    def _rule(self, given: dict[str, Any], at: str) -> Constraint:
        name, continuous = given.pop("id"), given.pop("continuous", False)
        if "vm1" in given and "vm2" in given:
            given["vms"] = [given.pop("vm1"), given.pop("vm2")]
        key = (name, *given)
        if key not in self._shapes:
            self._shapes[key] = self._shape(name, list(given), at)
        kind, modes, roles = self._shapes[key]
        if modes is not Modes.BOTH:
            continuous = modes is Modes.CONTINUOUS
        filled = {target: read(given[field], f"{at}.{field}") for target, field, read in roles}
        return Constraint(kind, continuous=continuous, label=at.removeprefix("$."), **filled)

    def _shape(self, name: str, given: list[str], at: str) -> tuple[str, Modes, list[tuple[str, str, _Read]]]:
        """How rules of this id with these fields are read: (field of ours, theirs, how)."""
        kind = KIND_OF.get(name, "")
        if kind not in SIGNATURES:
            raise fault(f"{at}.id", f"unknown constraint {name!r}", f"known are {', '.join(KIND_OF)}")
        roles: list[tuple[str, str, _Read]] = []
        for role in dict.fromkeys(SIGNATURES[kind].takes):
            fields, target, read = self._reads(role)
            field = next((field for field in fields if field in given), None)
            if field is None:
                raise fault(at, f"{name} needs the field {fields[0]}")
            given.remove(field)
            roles.append((target, field, read))
        for field in given:
            raise fault(f"{at}.{field}", f"{name} takes no {field}")
        return kind, SIGNATURES[kind].modes, roles

    def _reads(self, role: Role) -> tuple[tuple[str, ...], str, _Read]:
        """The fields of BtrPlace that may fill a role, the field of ours, and how one becomes the other."""
        match role:
            case Role.VM | Role.VMS:
                return ("vm", "vms"), "vms", partial(self._all, "VM")
            case Role.NODE | Role.NODES:
                return ("node", "nodes"), "nodes", partial(self._all, "node")
            case Role.SETS:
                return ("vParts", "parts"), "sets", partial(self._sets, "VM")
            case Role.GROUPS:
                return ("pParts", "parts"), "groups", partial(self._sets, "node")
            case Role.RESOURCE:
                return ("rc",), "resource", lambda value, _at: value
            case Role.AMOUNT:
                return ("amount", "ratio", "nb", "timestamp"), "amount", _amount_of

    def _all(self, what: str, numbers: list[int] | int, at: str) -> tuple[str, ...]:
        names = self._names[what]
        try:
            return tuple([names[n] for n in numbers]) if isinstance(numbers, list) else (names[numbers],)
        except KeyError as missing:
            raise fault(at, f"there is no {what} {missing}") from None

    def _sets(self, what: str, raw: msgspec.Raw, at: str) -> _Sets:
        """Sets of names. Equal sets are one object: thousands of rules share their groups of nodes."""
        key = (bytes(raw), what)
        if key not in self._parts:
            sets = decoded(raw, list[list[Number]], at)
            self._parts[key] = tuple(
                [self._all(what, numbers, f"{at}[{i}]") for i, numbers in enumerate(sets)]
            )
        return self._parts[key]


def objective_of(name: str, at: str) -> tuple[Objective, ...]:
    if name not in OBJECTIVES:
        raise fault(at, f"unknown objective {name!r}", f"known are {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]


def objective_id(objective: tuple[Objective, ...]) -> str:
    """BtrPlace's name; `InputError` when it has none for this one."""
    for name, meant in OBJECTIVES.items():
        if objective == meant:
            return name
    raise InputError(
        f"BtrPlace has no objective {','.join(objective)}",
        hint="choose sum_of_ends or migrations,sum_of_ends, or write our own format",
    )


def written(rule: Constraint, vms: Mapping[str, int], nodes: Mapping[str, int]) -> dict[str, object]:
    """A rule as BtrPlace writes it; `InputError` for what it cannot say."""
    if rule.kind not in _ID_OF or rule.weight or rule.relocate:
        raise InputError(f"BtrPlace cannot say {rule}", hint="write our own format")
    signature, kind = SIGNATURES[rule.kind], rule.kind
    out: dict[str, object] = {"id": _ID_OF[kind]}
    for role in signature.takes:
        match role:
            case Role.VM if _ID_OF[kind] == "Precedence":
                out |= {"vm1": vms[rule.vms[0]], "vm2": vms[rule.vms[1]]}
            case Role.VM | Role.VMS:
                _put(out, "vm", kind in _SINGLE, rule, [vms[name] for name in rule.vms])
            case Role.NODE | Role.NODES:
                _put(out, "node", kind in _SINGLE_NODE, rule, [nodes[name] for name in rule.nodes])
            case Role.SETS:
                field = "vParts" if Role.GROUPS in signature.takes else "parts"
                out[field] = [[vms[name] for name in names] for names in rule.sets]
            case Role.GROUPS:
                field = "pParts" if Role.SETS in signature.takes else "parts"
                out[field] = [[nodes[name] for name in names] for names in rule.groups]
            case Role.RESOURCE:
                out["rc"] = rule.resource
            case Role.AMOUNT:
                out[_AMOUNT_OF.get(kind, "amount")] = _amount(kind, rule.amount)
    return out | {"continuous": rule.continuous}


def _put(out: dict[str, object], field: str, single: bool, rule: Constraint, numbers: list[int]) -> None:
    if single and len(numbers) != 1:
        raise InputError(f"BtrPlace takes one {field}: {rule}", hint="write one rule for each")
    out[field if single else f"{field}s"] = numbers[0] if single else numbers


def _amount(kind: str, amount: float) -> object:
    if kind == "deadline":
        minutes, seconds = divmod(whole(amount, "a deadline"), 60)
        return f"+{minutes // 60}:{minutes % 60}:{seconds}"
    return amount if kind == "overbook" else whole(amount, f"the amount of {kind}")


def whole(value: float, what: str) -> int:
    """BtrPlace counts in whole numbers; refuses to round."""
    if value != int(value):
        raise InputError(f"{what} is {value:g}, BtrPlace takes whole numbers", hint="write our own format")
    return int(value)


def _amount_of(value: float | str, at: str) -> float:
    """A number; or the seconds of a time from the start of the plan, `+hours:minutes:seconds`."""
    if not isinstance(value, str):
        return value
    found = _RELATIVE.fullmatch(value)
    if found is None:
        raise fault(at, f"{value!r} is not a time from the start of the plan", "write +hours:minutes:seconds")
    hours, minutes, seconds = map(int, found.groups())
    return hours * 3600.0 + minutes * 60 + seconds
