"""Where fields stand in a TOML text: `tomllib` tells values, not places, and errors need places."""

from __future__ import annotations

import re

from lucos.errors import InputError

_HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)")
_FIELD = re.compile(r"\s*([\w-]+)\s*=\s*")
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")

Place = tuple[int, int]


class Places:
    """Lines and columns of the tables and fields of one text, as it is written in the usual, flat way.

    A field written otherwise (inline tables, dotted or quoted keys) gets the place of its table, or none.
    """

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._fields: dict[tuple[str, int, str], Place] = {}
        self._texts: dict[tuple[str, int, str], Place] = {}
        self._lines = text.split("\n")
        table, index, counts, quote = "", 0, dict[str, int](), ""
        for number, line in enumerate(self._lines, 1):
            if quote:
                quote = "" if quote in line else quote
            elif header := _HEADER.match(line):
                table = header[1]
                index = counts[table] = counts.get(table, -1) + 1
                self._fields[table, index, ""] = (number, header.start(1) + 1)
            elif field := _FIELD.match(line):
                key = (table, index, field[1])
                self._fields[key] = (number, field.start(1) + 1)
                value = line[field.end() :].rstrip()
                opening = value[:3] if value[:3] in ("'''", '"""') else ""
                begin = (number, field.end() + 1 + (len(opening) or 1))
                self._texts[key] = (number + 1, 1) if opening and value == opening else begin
                quote = opening if opening not in value[3:] else ""

    def text_start(self, table: str, key: str) -> Place:
        """Where the string that `key` of `table` holds begins."""
        return self._texts.get((table, 0, key), (1, 1))

    def error(self, message: str, table: str, index: int = 0, key: str = "", *, hint: str = "") -> InputError:
        """An error at a field, or at its table when the field's place is not known."""
        default = self._fields.get((table, index, ""), (0, 0))
        line, column = self._fields.get((table, index, key), default)
        return InputError(message, hint=hint, file=self._file, line=line, column=column)

    def syntax_error(self, message: str) -> InputError:
        """The error of `tomllib` whose message is given, at its place."""
        found = _SYNTAX.fullmatch(message)
        line, column = (
            (int(found[2]), int(found[3]))
            if found and found[2]
            else (
                len(self._lines),
                len(self._lines[-1]) + 1,
            )
        )
        what = found[1] if found else message
        return InputError(
            f"not valid TOML: {what[:1].lower()}{what[1:]}", file=self._file, line=line, column=column
        )
