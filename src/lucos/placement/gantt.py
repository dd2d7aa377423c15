"""A plan as a Gantt chart: lines for a terminal, or a picture (SVG).

One row for each action, those of one VM (or of one node) together, the first to start on top. Of a long plan
the actions that end last are drawn and the others counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from html import escape
from typing import NamedTuple

from lucos.model import Plan, PlannedAction
from lucos.placement.timeline import kind_of

TEXT_ROWS_MAX = 30
PICTURE_ROWS_MAX = 150
_BAR_MIN = 16
_NAME_MAX = 30
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# kind of action -> colour in a terminal (ANSI) and in a picture
_COLOURS = {
    "migrate": ("34", "#4c78a8"),
    "boot": ("32", "#59a14f"),
    "resume": ("32", "#8cd17d"),
    "allocate": ("36", "#76b7b2"),
    "suspend": ("33", "#f1a340"),
    "pause": ("33", "#f6d186"),
    "unpause": ("32", "#b6d7a8"),
    "shutdown": ("31", "#e15759"),
    "kill": ("31", "#9c2f31"),
    "boot_node": ("35", "#b07aa1"),
    "shutdown_node": ("35", "#79706e"),
}


class By(StrEnum):
    VM = "vm"
    NODE = "node"


class _Row(NamedTuple):
    """`name` is the VM or node of the row's group; `what` says the rest."""

    name: str
    what: str
    kind: str
    step: PlannedAction


def where(step: PlannedAction) -> str:
    """`N1 -> N2` for what moves, else the node."""
    action = step.action
    source = getattr(action, "source", "")
    end = getattr(action, "destination", "") or getattr(action, "node", "")
    return f"{source} -> {end}" if source and source != end else end


def text_of(
    plan: Plan, *, by: By = By.VM, width: int = 100, rows_max: int = TEXT_ROWS_MAX, colour: bool = False
) -> str:
    """The chart in lines of at most `width` characters."""
    rows = _rows(plan, by)
    if not rows:
        return "nothing to do\n"
    shown, rest = _cut(rows, rows_max)
    name = min(max(len(row.name) for row in shown), _NAME_MAX)
    what = min(max(len(row.what) for row in shown), max(width - name - _BAR_MIN - 16, 12))
    last_s = max(plan.makespan_s, 1e-9)
    times = [_span(row.step) for row in shown]
    cells = max(width - name - what - max(map(len, times)) - 6, _BAR_MIN)
    lines = [f"{'':<{name + what + 4}}{_axis(last_s, cells)}"]
    for i, row in enumerate(shown):
        first = not i or shown[i - 1].name != row.name
        bar = _bar(row.step, last_s, cells)
        bar = f"\033[{_COLOURS[row.kind][0]}m{bar}\033[0m" if colour else bar
        lines.append(
            f"{_fit(row.name if first else '', name)}  {_fit(row.what, what)}  {bar}  {times[i]}".rstrip()
        )
    return "\n".join([*lines, *_summary(rest)]) + "\n"


def svg_of(plan: Plan, *, by: By = By.VM, title: str = "", rows_max: int = PICTURE_ROWS_MAX) -> str:
    """The chart as a picture of its own; who hovers over a bar reads why it is there."""
    rows = _rows(plan, by)
    shown, rest = _cut(rows, rows_max)
    return _Picture(shown, _summary(rest), max(plan.makespan_s, 1e-9), title).drawn()


def _rows(plan: Plan, by: By) -> list[_Row]:
    rows: list[_Row] = []
    for step in plan.actions:
        action, kind = step.action, kind_of(step.action)
        verb = "" if kind == "migrate" else f"{kind.replace('_', ' ')} "
        node = getattr(action, "source", "") or getattr(action, "node", "")
        if by is By.VM and action.vm:
            rows.append(_Row(action.vm, f"{verb}{where(step)}".rstrip(), kind, step))
        elif action.vm:
            to = where(step).partition(" -> ")[2]
            rows.append(_Row(node, f"{verb}{action.vm}{f' -> {to}' if to else ''}", kind, step))
        else:
            rows.append(_Row(node, verb.rstrip(), kind, step))
    first_s: dict[str, float] = {}
    for row in rows:
        first_s[row.name] = min(first_s.get(row.name, row.step.start_s), row.step.start_s)
    return sorted(rows, key=lambda row: (first_s[row.name], row.name, row.step.start_s, row.step.number))


def _cut(rows: list[_Row], rows_max: int) -> tuple[list[_Row], list[_Row]]:
    """The rows to show, in their order, and the others: those that end last say most of a plan."""
    if len(rows) <= rows_max:
        return rows, []
    ranked = sorted(rows, key=lambda row: (-row.step.end_s, row.kind == "allocate"))
    late = {id(row) for row in ranked[:rows_max]}
    return [row for row in rows if id(row) in late], [row for row in rows if id(row) not in late]


def _summary(rest: Sequence[_Row]) -> list[str]:
    if not rest:
        return []
    kinds = Counter(row.kind for row in rest)
    counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in kinds.most_common())
    spans = {_span(row.step) for row in rest}
    start, end = min(row.step.start_s for row in rest), max(row.step.end_s for row in rest)
    when = f"all {spans.pop()}" if len(spans) == 1 else f"from {start:.6g} to {end:.6g} s"
    return [f"... {len(rest)} more ({counts}), {when}"]


def _span(step: PlannedAction) -> str:
    return f"{step.start_s:.6g}-{step.end_s:.6g} s"


def _fit(label: str, width: int) -> str:
    return label.ljust(width) if len(label) <= width else label[: width - 1] + "…"


def _bar(step: PlannedAction, last_s: float, cells: int) -> str:
    """Whole cells, and eighths of one at the end; never invisible."""
    start = min(round(step.start_s / last_s * cells), cells - 1)
    eighths = max(round(step.end_s / last_s * cells * 8) - start * 8, 1)
    bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return (" " * start + bar).ljust(cells)


def _ticks(last_s: float, room: int) -> list[float]:
    """Round instants from 0 to the end, at most `room` of them."""
    step = 10.0**-6
    while last_s / step > room:
        for factor in (2, 2.5, 2):
            step *= factor
            if last_s / step <= room:
                break
    return [i * step for i in range(int(last_s / step + 1e-9) + 1)]


def _axis(last_s: float, cells: int) -> str:
    line = [" "] * (cells + 12)
    for tick in _ticks(last_s, max(cells // 12, 1)):
        at = round(tick / last_s * cells)
        label = f"{tick:.6g}" if tick else "0 s"
        line[at : at + len(label)] = label
    return "".join(line).rstrip()


_LEFT, _RIGHT, _TOP, _ROW, _WIDTH = 300, 110, 64, 22, 1100


class _Picture:
    """A chart drawn from top to bottom."""

    def __init__(self, rows: Sequence[_Row], summary: list[str], last_s: float, title: str) -> None:
        self._rows = rows
        self._last_s = last_s
        self._lines = summary
        self._title = title
        self._at = {row.step.number: i for i, row in enumerate(rows)}
        self._height = _TOP + _ROW * (len(rows) + len(summary)) + 46

    def drawn(self) -> str:
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{self._height}" '
            f'viewBox="0 0 {_WIDTH} {self._height}" font-family="system-ui, sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="16" y="26" font-size="16" font-weight="600" fill="#222">{escape(self._title)}</text>',
            *self._grid(),
            *(part for i, row in enumerate(self._rows) for part in self._waits(i, row)),
            *(part for i, row in enumerate(self._rows) for part in self._row(i, row)),
            *self._foot(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _x(self, at_s: float) -> float:
        return round(_LEFT + at_s / self._last_s * (_WIDTH - _LEFT - _RIGHT), 1)

    def _grid(self) -> list[str]:
        bottom = _TOP + _ROW * len(self._rows)
        stripes = [
            f'<rect x="0" y="{_TOP + _ROW * i}" width="{_WIDTH}" height="{_ROW}" fill="#f6f7f9"/>'
            for i in range(0, len(self._rows), 2)
        ]
        lines = [
            f'<line x1="{self._x(t)}" y1="{_TOP - 4}" x2="{self._x(t)}" y2="{bottom}" stroke="#dde1e6"/>'
            f'<text x="{self._x(t)}" y="{_TOP - 9}" text-anchor="middle" fill="#667">{t:.6g} s</text>'
            for t in _ticks(self._last_s, 10)
        ]
        return [*stripes, *lines]

    def _row(self, i: int, row: _Row) -> list[str]:
        y, step = _TOP + _ROW * i, row.step
        x, end = self._x(step.start_s), self._x(step.end_s)
        first = not i or self._rows[i - 1].name != row.name
        said = f"#{step.number} {row.kind} {step.action.vm} {_span(step)}\n{step.reason}"
        name, what = escape(_fit(row.name, 22).strip()), escape(_fit(row.what, 24).strip())
        return [
            f'<text x="16" y="{y + 15}" fill="#222" font-weight="600">{name}</text>' if first else "",
            f'<text x="{_LEFT - 12}" y="{y + 15}" text-anchor="end" fill="#445">{what}</text>',
            f'<rect x="{x}" y="{y + 4}" width="{max(end - x, 2):.1f}" height="{_ROW - 8}" rx="3" '
            f'fill="{_COLOURS[row.kind][1]}"><title>{escape(said)}</title></rect>',
            f'<text x="{max(end, x + 2) + 6:.1f}" y="{y + 15}" fill="#667" font-size="11" '
            f'stroke="#fff" stroke-width="3" paint-order="stroke">{_span(step)}</text>',
        ]

    def _waits(self, i: int, row: _Row) -> list[str]:
        """Lines from what ends to what waits for it."""
        x, y = self._x(row.step.start_s), _TOP + _ROW * i + _ROW / 2
        drawn = []
        for number in row.step.depends_on:
            if number in self._at:
                other = self._rows[self._at[number]].step
                x0, y0 = self._x(other.end_s), _TOP + _ROW * self._at[number] + _ROW / 2
                drawn.append(
                    f'<path d="M{x0} {y0} C{x0 + 14} {y0} {x - 14} {y} {x} {y}" fill="none" '
                    'stroke="#30343b" stroke-width="1" stroke-opacity="0.45"/>'
                )
        return drawn

    def _foot(self) -> list[str]:
        """What was left out, and the legend."""
        y = _TOP + _ROW * len(self._rows)
        parts = [
            f'<text x="16" y="{y + 17 + _ROW * i}" fill="#667" font-style="italic">{escape(line)}</text>'
            for i, line in enumerate(self._lines)
        ]
        x, y = 16, self._height - 16
        for kind in dict.fromkeys(row.kind for row in self._rows):
            parts.append(
                f'<rect x="{x}" y="{y - 10}" width="12" height="12" rx="2" fill="{_COLOURS[kind][1]}"/>'
            )
            parts.append(f'<text x="{x + 17}" y="{y}" fill="#445">{kind.replace("_", " ")}</text>')
            x += 30 + 8 * len(kind)
        return parts
