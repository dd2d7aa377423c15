"""Bytes of JSON, gzipped or not, as typed values; every fault is one `InputError` that tells the place."""

from __future__ import annotations

import json
import re
import zlib
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from lucos.errors import InputError

SIZE_MAX = 512 * 2**20
"""Bytes that a document may have, unpacked."""

AMOUNT_MAX = 1e12
"""Amounts and seconds beyond this are taken for mistakes."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_PLACE = re.compile(r"^(.*) - at (`key` in )?`(\$.*)`$", re.DOTALL)
_BYTE = re.compile(r"(.*) \(byte (\d+)\)$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")

T = TypeVar("T")


def fault(at: str, message: str, hint: str = "") -> InputError:
    """The error at a JSON path."""
    return InputError(f"{at}: {message}", hint=hint)


def unpacked(data: bytes) -> bytes:
    """The document without its compression; refuses what is truncated, damaged or too large."""
    parts: list[bytes] = []
    room = SIZE_MAX
    while data.startswith(_GZIP):
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(data, room + 1))
        except zlib.error as error:
            raise InputError(f"the gzip data is damaged: {error}") from None
        room -= len(parts[-1])
        if room < 0:
            break
        if not stream.eof:
            raise InputError("the gzip data is truncated", hint="copy or download the file again")
        data = stream.unused_data
    text = b"".join(parts) if parts else data
    if len(text) > SIZE_MAX:
        raise InputError(f"the document is larger than {SIZE_MAX >> 20} MiB")
    return text.removeprefix(_BOM)


def decoded(raw: bytes | msgspec.Raw, kind: type[T], at: str = "$") -> T:
    """`raw` as a `kind`; `at` is where it stands in its document."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise fault(*_located(str(error), bytes(raw), kind, at)) from None
    except msgspec.DecodeError as error:
        raise InputError(_with_line(str(error), bytes(raw), at)) from None
    except UnicodeDecodeError as error:
        raise fault(at, f"not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise fault(at, "nested too deeply") from None


def refuse_repeated_keys(raw: bytes | msgspec.Raw, at: str = "$") -> None:
    """Refuse objects with a key that appears twice, of which decoding would silently drop one.

    What decoding dropped is missing when it is encoded again, and its colon with it. Only then (or when a
    string is escaped) are keys looked at one by one.
    """
    raw = bytes(raw)
    try:
        if raw.count(b":") != msgspec.json.encode(msgspec.json.decode(raw)).count(b":"):
            json.loads(raw, object_pairs_hook=lambda pairs: _once(pairs, at))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded(raw, object, at)  # tells what is wrong
        raise fault(at, "nested too deeply") from None


def _once(pairs: list[tuple[str, Any]], at: str) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise fault(at, f"the key {key!r} appears twice in one object")
        seen.add(key)


def _with_line(message: str, raw: bytes, at: str) -> str:
    """A syntax error with its line and column, when it is in the whole document."""
    if not raw.strip():
        return "the document is empty"
    found = _BYTE.match(message)
    if found is None:
        cut = "it ends before it is complete" if "truncated" in message else message
        return f"{at}: {cut}"
    before = raw[: int(found[2])]
    line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
    place = f"line {line}, column {column}" if at == "$" else at
    return f"{place}: {found[1]}"


def _located(message: str, raw: bytes, kind: Any, at: str) -> tuple[str, str]:
    """The path and text of a fault."""
    found = _PLACE.match(message)
    if found is None:
        return at, message
    text, key, path = found.groups()
    try:
        at += _exact(path, msgspec.json.decode(raw), kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        # What comes after the first fault may be no JSON, or repeat a key.
        at += path[1:]
    return at, f"key: {text}" if key else text


def _exact(path: str, value: Any, kind: Any) -> str:
    """The path from `value` on, with the keys that msgspec leaves out: `.vms[...]` becomes `.vms.17`."""
    told = ""
    for name, index in _STEP.findall(path):
        if name:
            value, kind = value[name], _hints(kind).get(name, Any)
            told += f".{name}"
        elif isinstance(value, dict):
            kind = _item(kind)
            key = _first_wrong(value, kind)
            value, told = value[key], f"{told}.{key}"
        else:
            value, kind, told = value[int(index)], _item(kind), f"{told}[{index}]"
    return told


def _first_wrong(value: dict[str, Any], kind: Any) -> str:
    """The key of the first value that is no `kind`."""
    for key, one in value.items():
        try:
            msgspec.convert(one, kind)
        except msgspec.ValidationError:
            return key
    raise KeyError("all are right")


def _hints(kind: Any) -> dict[str, Any]:
    """Types of a struct's fields by their names in JSON."""
    for one in get_args(kind) or (kind,):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            hints = get_type_hints(one, include_extras=True)
            return {f.encode_name: hints[f.name] for f in msgspec.structs.fields(one)}
    return {}


def _item(kind: Any) -> Any:
    """The type of the items of a list, or of the values of a mapping."""
    arguments = [a for a in get_args(kind) if a is not Ellipsis and a is not type(None)]
    if get_origin(kind) in (Union, UnionType) and arguments:
        return _item(arguments[0])
    return arguments[-1] if arguments else Any
