"""How results look: tables that fit, colours on terminals only, JSON and YAML for programs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

import msgspec

from lucos.cli.options import Format
from lucos.model import Event

WIDTH_MAX = 100
_GAP = "  "
_NARROWEST = 6
_CODES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "dim": "2", "bold": "1"}


class Column(NamedTuple):
    """One column: its text for a row, and its colour for a row. A column to `keep` is cut last."""

    title: str
    cell: Callable[[Any], str]
    style: Callable[[Any], str] = lambda _row: ""
    right: bool = False
    keep: bool = False


def colours_on(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """`text` in a colour of `_CODES` when `stream` shows colours."""
    return _painted(text, style) if style and colours_on(stream) else text


def width_of(stream: TextIO) -> int:
    """Columns to fill: the terminal's, else 100."""
    return shutil.get_terminal_size((WIDTH_MAX, 24)).columns if stream.isatty() else WIDTH_MAX


def table(rows: Sequence[Any], columns: Sequence[Column], *, width: int, colour: bool) -> list[str]:
    """The lines of a table at most `width` wide, its titles first. Columns empty in all rows are left out."""
    texts = [[column.cell(row) for row in rows] for column in columns]
    shown = [i for i, column in enumerate(columns) if column.keep or any(texts[i])]
    widths = {i: max(map(len, [columns[i].title, *texts[i]])) for i in shown}
    _fit(widths, [i for i in shown if not columns[i].keep], shown, width)

    def cell(i: int, text: str, style: str) -> str:
        text = text if len(text) <= widths[i] else text[: widths[i] - 1] + "…"
        padding = " " * (widths[i] - len(text))
        text = _painted(text, style) if style and colour else text
        return padding + text if columns[i].right else text + padding

    lines = [[cell(i, columns[i].title, "bold") for i in shown]]
    for n, row in enumerate(rows):
        lines.append([cell(i, texts[i][n], columns[i].style(row)) for i in shown])
    return [_GAP.join(line).rstrip() for line in lines]


def _fit(widths: dict[int, int], first: list[int], then: list[int], width: int) -> None:
    """Narrow the widest of `first`, then of `then`, until the columns fit in `width`."""
    over = sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width
    for candidates in (first, then):
        while over > 0 and candidates:
            widest = max(candidates, key=widths.__getitem__)
            if widths[widest] <= _NARROWEST:
                break
            widths[widest] -= 1
            over -= 1


def show(value: Any, output: Format, lines: Callable[[], Sequence[str]]) -> None:
    """Print `value` (structs of agent.protocol) as JSON or YAML, or else the `lines` made for people."""
    if output is Format.JSON:
        print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    elif output is Format.YAML:
        import yaml

        print(yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False, allow_unicode=True), end="")
    else:
        print("\n".join(lines()))


def show_rows(
    rows: Sequence[Any], columns: Sequence[Column], output: Format, *, empty: str = "nothing"
) -> None:
    """Print a listing; `empty` is what a table without rows says."""
    show(rows, output, lambda: rows_for_people(rows, columns) if rows else [empty])


def rows_for_people(rows: Sequence[Any], columns: Sequence[Column]) -> list[str]:
    return table(rows, columns, width=width_of(sys.stdout), colour=colours_on(sys.stdout))


def say(line: str) -> None:
    """Tell a step of something long; on standard error, so that output stays clean."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def working(what: str, *, watch: bool = False) -> Iterator[Callable[[Event], None]]:
    """Show that something long runs; the value is told its events.

    With `watch` each event is a line of its own; else a terminal shows the last one beside a spinner.
    """
    if watch or not sys.stderr.isatty():
        from lucos.cli.rows import event_line

        yield (lambda event: say(event_line(event, sys.stderr))) if watch else (lambda _event: None)
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(what)) as status:
        yield lambda event: status.update(escape(f"{what}: {event.subject} {event.text}"))


def _painted(text: str, style: str) -> str:
    return f"\033[{_CODES[style]}m{text}\033[0m"
