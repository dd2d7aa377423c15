"""TOML files read strictly into structs: what is wrong is told with file, line, field and a hint.

`Document` keeps where each value comes from: a line of the file, or an override such as `--set hosts=512`.
`to_toml` is the inverse, for plain values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from lucos.environments.tomlplaces import Places
from lucos.errors import InputError
from lucos.plasma.errors import suggestion

T = TypeVar("T")
Step = str | int

_QUANTITY = re.compile(r"\s*([0-9.]+)\s*([A-Za-z%/]+)\s*")
_TIMES_S = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES_MIB = {"mib": 1.0, "mb": 1e6 / 2**20, "gib": 1024.0, "gb": 1e9 / 2**20, "m": 1.0, "g": 1024.0}
_RATES_MIBPS = {"mib/s": 1.0, "gib/s": 1024.0, "mbit/s": 0.11921, "gbit/s": 119.21, "mb/s": 0.9537}
_UNITS: dict[str, tuple[str, dict[str, float]]] = {
    "s": ("seconds", _TIMES_S),
    "ms": ("milliseconds", {unit: 1000.0 * factor for unit, factor in _TIMES_S.items()}),
    "mib": ("MiB", _SIZES_MIB),
    "mibps": ("MiB per second", _RATES_MIBPS),
    "pct": ("percent", {"%": 1.0}),
}
_WORDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
_WORDS |= {"array": "a list", "object": "a table"}


class Document:
    """The data of one TOML file, and where each value was written. Raises `InputError` if it is not TOML."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self._places = Places(text, file)
        self._origins: dict[tuple[Step, ...], tuple[str, str]] = {}
        try:
            self.data: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self._places.syntax_error(str(error)) from None

    @classmethod
    def read(cls, path: Path) -> Document:
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror}", file=str(path)) from None
        except UnicodeDecodeError:
            raise InputError("is not a text in UTF-8", file=str(path)) from None

    def override(self, path: str, value: Any, origin: str, swept: str = "") -> None:
        """Give the field at a dotted path another value; `origin` is what errors about it call it.

        `swept` is the key of [sweep] that asks for it.
        """
        *tables, key = path.split(".")
        at: Any = self.data
        for table in tables:
            at = at.setdefault(table, {})
            if not isinstance(at, dict):
                raise InputError(f"{origin}: {table} is not a table")
        at[key] = value
        self._origins[tuple(path.split("."))] = origin, swept

    def error(self, path: str, message: str, hint: str = "") -> InputError:
        """An error about the field at a dotted path (`platform.site.0.hosts`)."""
        steps = tuple(int(step) if step.isdigit() else step for step in path.split("."))
        for length in range(len(steps), 0, -1):
            origin, swept = self._origins.get(steps[:length], ("", ""))
            if swept:
                return self._places.error(f"{origin}: {message}", "sweep", 0, swept, hint=hint)
            if origin:
                return InputError(f"{origin}: {message}", hint=hint)
        table, index, key = self._split(steps)
        return self._places.error(message, table, index, key, hint=hint)

    def _split(self, steps: tuple[Step, ...]) -> tuple[str, int, str]:
        """(table, its index, key): the longest beginning of `steps` that the file has as a table."""
        table: list[str] = []
        index = 0
        at: Any = self.data
        for n, step in enumerate(steps):
            inside = at.get(str(step)) if isinstance(at, dict) else None
            if isinstance(at, list) and isinstance(step, int):
                index, at = step, at[step]
            elif isinstance(inside, dict) or (isinstance(inside, list) and n + 1 < len(steps)):
                table, at, index = [*table, str(step)], inside, 0
            else:
                return ".".join(table), index, str(step)
        return ".".join(table), index, ""

    def convert(self, shape: type[T]) -> T:
        """The data as a struct; raises `InputError` at the first thing that does not fit."""
        for path, name, known in _unknown(self.data, inspect.type_info(shape), ""):
            raise self._unknown_field(path, name, known)
        try:
            return msgspec.convert(self.data, shape)
        except msgspec.ValidationError as error:
            raise self._wrong(str(error), shape) from None
        except InputError as error:
            # Settings check themselves, and name the field (scheduler.strategy, dvms.variant) when they can.
            field = re.search(r"\b[a-z_]+(\.[a-z_]+)+\b", error.message)
            path = _ending(self.data, field[0].split("."), "") if field else ""
            raise self.error(path, error.message, error.hint) from None

    def _unknown_field(self, path: str, name: str, known: list[str]) -> InputError:
        where = f"[{path}]" if path else "the file"
        longer = [key for key in known if key.startswith(f"{name}_")]
        meant = f"; did you mean {longer[0]}?" if longer else suggestion(name, known)
        value = self._value((*path.split("."), name) if path else (name,))
        hint = unit_hint(longer[0], value) if longer else ""
        full = f"{path}.{name}" if path else name
        words = (
            f"{re.sub(r'.[0-9]+', '', where)} has no {'table' if isinstance(value, dict) else 'field'} {name}"
        )
        return self.error(full, words + meant, hint or f"there are {', '.join(known)}")

    def _value(self, steps: tuple[Step, ...]) -> Any:
        at: Any = self.data
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at[step]
        return at

    def _wrong(self, message: str, shape: type) -> InputError:
        """msgspec's `Expected X, got Y - at $.vms.per_host` in our words, at the field's line."""
        what, _, where = message.replace("`", "").partition(" - at $")
        path = ".".join(re.findall(r"\w+", where))
        steps: tuple[Step, ...] = tuple(path.split(".")) if path else ()
        value, key = self._value(steps), str(steps[-1]) if steps else ""
        if "missing required field" in what:
            lacking = what.split()[-1]
            table = f"[{path}]" if path else "the file"
            return self.error(path or lacking, f"{table} lacks {lacking}", f"add {lacking} = ...")
        rule = what.partition(", got ")[0].removeprefix("Expected ").removesuffix(" | null")
        if "nvalid enum" in what:
            rule = f"one of {', '.join(map(str, _choices(shape, steps)))}"
        if "matching regex" in rule:
            rule = "a name of a-z, 0-9 and -, at most 32 long"
        for technical, plain in _WORDS.items():
            rule = re.sub(rf"\b{technical}\b", plain, rule)
        shown = "" if isinstance(value, dict | list) else f", not {value!r}"
        return self.error(path, f"{key}: must be {rule}{shown}", unit_hint(key, value))


def unit_hint(key: str, value: object) -> str:
    """For a quantity with a unit (`1h`) where the key names the unit (`duration_s`): what to write."""
    unit = _UNITS.get(key.rpartition("_")[2])
    if unit is None:
        return ""
    words, factors = unit
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    factor = factors.get(found[2].lower()) if found else None
    if found is None or factor is None:
        return f"{key} is a number of {words}: {key} = {value if isinstance(value, int | float) else '...'}"
    return f"{key} is a number of {words}: write {key} = {float(found[1]) * factor:g}"


def _structs(info: Any) -> Iterator[Any]:
    """The struct types that a value of this type may be."""
    if isinstance(info, inspect.StructType):
        yield info
    elif isinstance(info, inspect.UnionType):
        for part in info.types:
            yield from _structs(part)


def _items(info: Any) -> Any:
    """The type of the items of a list, None for what is no list."""
    if isinstance(info, inspect.UnionType):
        return next(filter(None, map(_items, info.types)), None)
    return getattr(info, "item_type", None)


def _unknown(data: Any, info: Any, path: str) -> Iterator[tuple[str, str, list[str]]]:
    """(path, name, known names) of the fields that no struct of this type has."""
    if isinstance(data, list):
        for n, item in enumerate(data):
            yield from _unknown(item, _items(info), f"{path}.{n}")
    struct = next(_structs(info), None)
    if not isinstance(data, dict) or struct is None:
        return
    fields = {field.encode_name: field.type for field in struct.fields}
    for name, value in data.items():
        if name not in fields:
            yield path, name, list(fields)
        else:
            yield from _unknown(value, fields[name], f"{path}.{name}" if path else name)


def _ending(data: dict[str, Any], steps: list[str], path: str) -> str:
    """The dotted field of `data` that ends with `steps`; empty when there is none."""
    at: Any = data
    for step in steps:
        at = at.get(step) if isinstance(at, dict) else None
    if at is not None:
        return f"{path}{'.'.join(steps)}"
    tables = ((key, table) for key, table in data.items() if isinstance(table, dict))
    return next(filter(None, (_ending(table, steps, f"{path}{key}.") for key, table in tables)), "")


def field_info(shape: type, steps: tuple[Step, ...]) -> Any:
    """The type of the field at a path, None when the struct has no such field."""
    info: Any = inspect.type_info(shape)
    for step in steps:
        if str(step).isdigit():
            info = _items(info)
            continue
        struct = next(_structs(info), None)
        fields = {field.encode_name: field.type for field in struct.fields} if struct else {}
        if step not in fields:
            return None
        info = fields[str(step)]
    return info


def _choices(shape: type, steps: tuple[Step, ...]) -> tuple[Any, ...]:
    info = field_info(shape, steps)
    if isinstance(info, inspect.EnumType):
        return tuple(member.value for member in info.cls)
    return info.values if isinstance(info, inspect.LiteralType) else ()


def read_value(text: str) -> Any:
    """A value as TOML writes it (`512`, `[1, 2]`, `true`); anything else is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def to_toml(data: Mapping[str, Any], path: str = "") -> str:
    """Plain values (of `msgspec.to_builtins`) as TOML; a field that is None is left out."""
    lines, tables = [], []
    for key, value in data.items():
        key = key if re.fullmatch(r"[\w-]+", key) else _toml_value(key)
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            tables.append(f"\n[{name}]\n{to_toml(value, name)}")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            tables += [f"\n[[{name}]]\n{to_toml(item, name)}" for item in value]
        elif value is not None:
            lines.append(f"{key} = {_toml_value(value)}\n")
    return "".join((*lines, *tables))


def _toml_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # JSON writes texts, numbers and booleans as TOML does.
    return msgspec.json.encode(value).decode()
