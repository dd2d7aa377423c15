"""Pictures of the examples of constraints: clusters as boxes with blocks in them, schedules as bars."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from lucos.model import Boot, Constraint, Kill, Migrate, Plan, PlannedAction, VmState
from lucos.placement.cluster import Cluster, Vm
from lucos.placement.constraints import KINDS, Example
from lucos.placement.constraints.schedules import Scheduled

UNIT, NODE, GAP, PAD = 17, 66, 18, 20  # pixels: one unit of memory, a node's width, between nodes, around
HEAD, FOOT, LANE = 46, 30, 20  # above the nodes, below them, and for each arrow
GREEN, RED, INK, SOFT, OTHER = "#2f9e62", "#d1453b", "#22303c", "#7a8794", "#c5ccd3"
COLOURS = ("#4c78a8", "#e8963a", "#57a773", "#a875b5")
BAR, SECOND = 30, 44  # of schedules: a row's height, a second's width
_HOLDING = (VmState.RUNNING, VmState.PAUSED)


class Drawing(NamedTuple):
    width: float
    height: float
    parts: list[str]


def picture(examples: tuple[Example, ...]) -> str:
    """An SVG with a framed panel for each example, two in a row."""
    panels = [panel(example) for example in examples]
    width = max(p.width for p in panels)
    rows = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    parts, top = [], 8.0
    for row in rows:
        height = max(p.height for p in row)
        for column, drawing in enumerate(row):
            x = 8 + column * (width + 16)
            example = examples[panels.index(drawing)]
            parts += [f'<g transform="translate({x:g} {top:g})">', *_frame(example, width, height)]
            parts += [
                f'<g transform="translate({(width - drawing.width) / 2:g} 0)">',
                *drawing.parts,
                "</g></g>",
            ]
        top += height + 16
    total = 8 + min(2, len(panels)) * (width + 16) - 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total:g}" height="{top - 8:g}" '
        f'viewBox="0 0 {total:g} {top - 8:g}" font-family="system-ui, sans-serif" font-size="12">'
    )
    arrow = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>'
    )
    return "\n".join([head, arrow, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def panel(example: Example) -> Drawing:
    """What is inside the frame, with room for its title."""
    if example.plan is not None and isinstance(KINDS[example.rule.kind], Scheduled):
        return _schedule(example.rule, example.plan)
    return _Nodes(example).drawn()


def _frame(example: Example, width: float, height: float) -> list[str]:
    colour, mark = (GREEN, "M0 5l4 4l7 -9") if example.holds else (RED, "M0 0l9 9m0 -9l-9 9")
    tint = "#f4fbf6" if example.holds else "#fdf5f4"
    return [
        _box(0, 0, width, height, f'fill="{tint}" stroke="{colour}" stroke-width="2"', 8),
        f'<path d="{mark}" transform="translate(14 13)" fill="none" stroke="{colour}" stroke-width="2.6"/>',
        _text(33, 22, example.caption, weight=600),
    ]


def _text(
    x: float,
    y: float,
    words: str,
    *,
    fill: str = INK,
    anchor: str = "start",
    size: int = 12,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{fill}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def _box(x: float, y: float, width: float, height: float, look: str, radius: float = 4) -> str:
    """A rectangle; `look` are its attributes of fill and stroke."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" {look}/>'


def _title_room(example: Example) -> float:
    return 50 + 6.7 * len(example.caption)


def _colours(rule: Constraint, cluster: Cluster) -> dict[str, str]:
    """One colour for each VM, or set of VMs, of the rule; grey for others. Rules about nodes colour all."""
    sets = rule.sets or tuple((vm,) for vm in rule.vms or cluster.vms)
    return {vm: COLOURS[i % len(COLOURS)] for i, vms in enumerate(sets) for vm in vms}


class _Nodes:
    """Nodes from left to right, VMs in them from the bottom, arrows for migrations below."""

    def __init__(self, example: Example) -> None:
        self.rule, self.cluster = example.rule, example.cluster
        self.steps = example.plan.actions if example.plan else ()
        self.colours = _colours(example.rule, example.cluster)
        self.names = list(self.cluster.nodes)
        used = [sum(vm.demand["memory"] for vm in self._on(name)) for name in self.names]
        moved = {s.action.vm for s in self.steps if isinstance(s.action, Migrate)}
        coming = sum(self.cluster.vms[vm].demand["memory"] for vm in moved)
        self.units = max(4, max(used) + coming / 2 + 0.5 if moved else 0, max(used) + 0.5)
        self.floor = HEAD + 18 + self.units * UNIT
        self.level = dict.fromkeys(self.names, self.floor)
        self.at: dict[tuple[str, str], float] = {}
        self.labels: list[str] = []  # drawn last, so that no arrow crosses them
        self.width = max(2 * PAD + len(self.names) * (NODE + GAP) - GAP, _title_room(example))
        self.left = (self.width - len(self.names) * (NODE + GAP) + GAP) / 2

    def _on(self, node: str) -> list[Vm]:
        return [vm for vm in self.cluster.vms.values() if vm.node == node and vm.state in _HOLDING]

    def _x(self, node: str) -> float:
        return self.left + self.names.index(node) * (NODE + GAP)

    def drawn(self) -> Drawing:
        parts = [part for group in self.rule.groups for part in self._group(group)]
        parts += [part for name in self.names for part in self._node(name)]
        parts += [part for name in self.names for vm in self._on(name) for part in self._vm(vm, name)]
        below, parts_below = self.floor + 10, []
        for step in self.steps:
            below, more = self._step(step, below)
            parts_below += more
        for name in self.names:
            sleeping = [
                vm for vm in self.cluster.vms.values() if vm.node == name and vm.state is VmState.SLEEPING
            ]
            for vm in sleeping:
                parts_below += self._image(vm, name)
                below = max(below, self.floor + 32)
        waiting = [vm for vm in self.cluster.vms.values() if vm.state is VmState.READY]
        for i, vm in enumerate(waiting):
            parts_below += self._block(PAD + i * (NODE + 8), below + 4, NODE, UNIT, vm.name, dashed=True)
            parts_below.append(_text(PAD + NODE + 10, below + 17, "ready", fill=SOFT))
        below += 26 * bool(waiting)
        below, trips = self._trips(below)
        note = self._note()
        if note:
            parts_below.append(_text(self.width / 2, below + 16, note, fill=SOFT, anchor="middle"))
            below += 18
        return Drawing(self.width, below + 14, [*parts, *parts_below, *trips, *self.labels])

    def _group(self, names: tuple[str, ...]) -> list[str]:
        x = min(self._x(name) for name in names) - 7
        width = max(self._x(name) for name in names) + NODE + 7 - x
        height = self.floor - HEAD + 14
        return [
            _box(x, HEAD - 8, width, height + 2, f'fill="#eef2f7" stroke="{SOFT}" stroke-dasharray="4 3"', 9)
        ]

    def _node(self, name: str) -> list[str]:
        node, x = self.cluster.nodes[name], self._x(name)
        spoken = name in self.rule.nodes
        capacity = node.capacity["memory"] * UNIT
        fill = "#fff" if node.online else "#e3e6ea"
        look = f'fill="{fill}" stroke="{INK if spoken else SOFT}" stroke-width="{2 if spoken else 1.2}"'
        parts = [
            _box(x, self.floor - capacity, NODE, capacity, look),
            _text(x + NODE / 2, HEAD + 8, name, anchor="middle", weight=700 if spoken else 400),
        ]
        if self.rule.kind == "overbook" and spoken:
            more = capacity * self.rule.amount
            look = f'fill="#eef2f7" stroke="{INK}" stroke-dasharray="4 3"'
            parts.insert(0, _box(x, self.floor - more, NODE, more, look))
        if not node.online:
            parts.append(
                _text(x + NODE / 2, self.floor - capacity / 2 + 4, "offline", fill=SOFT, anchor="middle")
            )
        return parts

    def _vm(self, vm: Vm, node: str, ghost: bool = False) -> list[str]:
        height = vm.demand["memory"] * UNIT
        self.level[node] -= height
        self.at[vm.name, node] = self.level[node] + height / 2
        return self._block(self._x(node) + 4, self.level[node], NODE - 8, height, vm.name, dashed=ghost)

    def _block(self, x: float, y: float, width: float, height: float, vm: str, *, dashed: bool) -> list[str]:
        colour = self.colours.get(vm, OTHER)
        look = (
            f'fill="#fff" stroke="{colour}" stroke-dasharray="4 3"'
            if dashed
            else f'fill="{colour}" stroke="#fff"'
        )
        ink = INK if dashed or colour == OTHER else "#fff"
        return [
            _box(x, y + 1, width, height - 2, look + ' stroke-width="1.5"', 3),
            _text(x + width / 2, y + height / 2 + 4, vm, fill=ink, anchor="middle", weight=600),
        ]

    def _image(self, vm: Vm, node: str) -> list[str]:
        x, y = self._x(node), self.floor + 10
        block = self._block(x, y, NODE, UNIT + 2, f"{vm.name} asleep", dashed=True)
        return [part.replace(f'stroke="{OTHER}"', f'stroke="{COLOURS[0]}"') for part in block]

    def _step(self, step: PlannedAction, below: float) -> tuple[float, list[str]]:
        """Where a VM goes: its block there, dashed, and an arrow in a lane of its own."""
        action, when = step.action, f"{step.start_s:g}-{step.end_s:g} s"
        if isinstance(action, Kill):
            x, y = self._x(action.node) + NODE - 19, self.at[action.vm, action.node]
            cross = f"M{x:g} {y - 4:g}l8 8m0 -8l-8 8"
            return below, [f'<path d="{cross}" stroke="#fff" stroke-width="2.4" fill="none"/>']
        assert isinstance(action, Migrate)
        vm = self.cluster.vms[action.vm]
        parts = (
            [] if (vm.name, action.destination) in self.at else self._vm(vm, action.destination, ghost=True)
        )
        start, end = self._x(action.source) + NODE / 2, self._x(action.destination) + NODE / 2
        y = below + 12
        path = f"M{start:g} {self.floor + 3:g}V{y:g}H{end:g}V{self.floor + 5:g}"
        look = f'fill="none" stroke="{INK}" stroke-width="1.3" marker-end="url(#tip)"'
        parts.append(f'<path d="{path}" {look}/>')
        words = f"{action.vm} {when}"
        middle = (start + end) / 2
        width = 6.4 * len(words) + 6
        look = f'fill="#fff" stroke="{OTHER}"'
        self.labels.append(_box(middle - width / 2, y - 8, width, 16, look))
        self.labels.append(_text(middle, y + 4, words, anchor="middle", size=11))
        return below + LANE, parts

    def _trips(self, below: float) -> tuple[float, list[str]]:
        parts = []
        for one, row in self.cluster.rtt_ms.items():
            for other, trip_ms in row.items():
                a, b, y = self._x(one) + NODE / 2, self._x(other) + NODE / 2, below + 12
                path = f"M{a:g} {self.floor + 4:g}V{y:g}H{b:g}V{self.floor + 4:g}"
                parts.append(f'<path d="{path}" fill="none" stroke="{SOFT}" stroke-dasharray="3 3"/>')
                parts.append(_box((a + b) / 2 - 21, y - 8, 42, 16, 'fill="#fff"', 0))
                parts.append(_text((a + b) / 2, y + 4, f"{trip_ms:g} ms", anchor="middle", size=11))
                below += LANE
        return below, parts

    def _note(self) -> str:
        """The rule's number, in words."""
        amount = f"{self.rule.amount:g}"
        return {
            "maxOnline": f"at most {amount} online",
            "runningCapacity": f"at most {amount} VMs on the bold nodes",
            "resourceCapacity": f"at most {amount} units on the bold nodes",
            "overbook": f"capacity 4, ratio {amount}",
            "preserve": f"A needs {amount} units",
            "headroom": f"{float(amount):.0%} of bold nodes stays free",
            "latency": f"at most {amount} ms" if self.rule.amount else "",
        }.get(self.rule.kind, "")


def _schedule(rule: Constraint, plan: Plan) -> Drawing:
    """A bar for each VM, from the start to the end of its action."""
    last = int(max(step.end_s for step in plan.actions)) + 1
    left, colours = 112, {vm: COLOURS[i % len(COLOURS)] for i, vm in enumerate("AB")}
    steps = sorted(plan.actions, key=lambda step: step.action.vm)
    bottom = HEAD + len(steps) * BAR
    parts = []
    for second in range(last + 1):
        x = left + second * SECOND
        parts.append(f'<path d="M{x} {HEAD - 4}V{bottom + 4}" stroke="{OTHER}"/>')
        parts.append(_text(x, bottom + 19, f"{second} s", fill=SOFT, anchor="middle", size=11))
    for row, step in enumerate(steps):
        action, y = step.action, HEAD + row * BAR
        verb = {Boot: "boot", Migrate: "migrate"}[type(action)]
        colour = colours[action.vm] if action.vm in rule.vms else OTHER
        width = (step.end_s - step.start_s) * SECOND
        parts.append(_text(left - 12, y + 19, f"{verb} {action.vm}", anchor="end", weight=600))
        x = left + step.start_s * SECOND
        parts.append(_box(x, y + 5, width, BAR - 10, f'fill="{colour}"'))
    if rule.kind == "deadline":
        x = left + rule.amount * SECOND
        parts.append(f'<path d="M{x:g} {HEAD - 8}V{bottom + 6}" stroke="{RED}" stroke-width="2"/>')
        parts.append(_text(x + 5, HEAD, "deadline", fill=RED, size=11))
    return Drawing(left + last * SECOND + 34, bottom + FOOT, parts)
