"""The columns of each kind of row, their units and colours; the line of an event."""

from __future__ import annotations

import time
from typing import TextIO

from lucos.agent.protocol import NodeRow, Outcome, VeRow, VmRow
from lucos.cli.render import Column, paint
from lucos.model import Event

_STYLES = {
    "green": ("running", "alive", "up", "ok"),
    "yellow": ("paused", "suspect", "waiting", "cut"),
    "red": ("dead", "killed", "crashed", "failed"),
    "blue": ("sleeping",),
    "dim": ("ready", "left", "terminated"),
}
_STYLE_OF = {word: style for style, words in _STYLES.items() for word in words}
# The last matching word of an event's kind decides: violation.start, migration.failed, node.dead.
_EVENT_STYLES = {
    "red": ("dead", "failed", "crashed", "lost", "start"),
    "green": ("end", "ended", "alive", "done", "arrived", "solved"),
    "yellow": ("suspect", "grow", "cut", "refused"),
}
_EVENT_STYLE_OF = {word: style for style, words in _EVENT_STYLES.items() for word in words}


def state_style(state: str) -> str:
    """The colour of a state or status, "" for one without."""
    return _STYLE_OF.get(state, "")


def mib(amount: float) -> str:
    """An amount of memory: 96 MiB, 1.5 GiB."""
    if round(amount) < 1024:
        return f"{amount:.0f} MiB"
    value, unit = (amount / 1024, "GiB") if amount < 1024 * 1024 else (amount / 1024 / 1024, "TiB")
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def seconds(amount: float) -> str:
    """A duration: 85 ms, 3.2 s, 2 min 5 s."""
    if amount < 1:
        return f"{amount * 1000:.0f} ms"
    return f"{amount:.1f} s" if amount < 60 else f"{amount // 60:.0f} min {amount % 60:.0f} s"


def _over(wanted: float, room: float) -> str:
    return "red" if wanted > room > 0 else ""


def _notes(row: NodeRow) -> list[str]:
    partition = row.partition and f"partition {row.partition}"
    return [note for note in (row.draining and "draining", row.violation, partition) if note]


VM_COLUMNS = (
    Column("VM", lambda r: r.id, keep=True),
    Column(
        "STATE",
        lambda r: f"migrating to {r.migrating_to}" if r.migrating_to else r.state,
        lambda r: "cyan" if r.migrating_to else state_style(r.state),
    ),
    Column("NODE", lambda r: r.node or "-"),
    Column("CPUS", lambda r: str(r.cpu), right=True),
    Column("CPU USED", lambda r: f"{r.cpu_used_pct:.0f} %", right=True),
    Column(
        "WANTED",
        lambda r: f"{r.cpu_demand_pct:.0f} %",
        # A tenth of a core of difference is within what sampling can tell.
        lambda r: _over(r.cpu_demand_pct, r.cpu_used_pct + 10),
        right=True,
    ),
    Column("MEMORY", lambda r: mib(r.memory_mib), right=True),
    Column("IMAGE", lambda r: r.image),
    Column("WORKLOAD", lambda r: r.workload),
)

NODE_COLUMNS = (
    Column("NODE", lambda r: r.name, keep=True),
    Column("SITE", lambda r: r.site),
    Column("STATUS", lambda r: r.status, lambda r: state_style(r.status)),
    Column("ADDRESS", lambda r: r.address),
    Column("VMS", lambda r: str(r.vms), right=True),
    Column(
        "CPU WANTED",
        lambda r: f"{r.cpu_demand_pct:.0f} of {r.cpu_capacity_pct:.0f} %" if r.cpu_capacity_pct else "",
        lambda r: _over(r.cpu_demand_pct, r.cpu_capacity_pct),
        right=True,
    ),
    Column(
        "MEMORY",
        lambda r: (
            f"{mib(r.memory_used_mib)} of {mib(r.memory_capacity_mib)}" if r.memory_capacity_mib else ""
        ),
        lambda r: _over(r.memory_used_mib, r.memory_capacity_mib),
        right=True,
    ),
    Column("NOTES", lambda r: ", ".join(_notes(r)), lambda r: "red" if r.violation else "yellow"),
)

VE_COLUMNS = (
    Column("VE", lambda r: r.name, keep=True),
    Column("STATE", lambda r: r.state, lambda r: state_style(r.state)),
    Column("RUNNING", lambda r: f"{r.running} of {r.vms}", right=True),
    Column("NODES", lambda r: ", ".join(r.nodes)),
)

OUTCOME_COLUMNS = (
    Column("VM", lambda r: r.vm, keep=True),
    Column("RESULT", lambda r: "ok" if r.ok else "failed", lambda r: state_style("ok" if r.ok else "failed")),
    Column("STATE", lambda r: r.state, lambda r: state_style(r.state)),
    Column("NODE", lambda r: r.node),
    Column("TOOK", lambda r: seconds(r.duration_s) if r.duration_s else "", right=True),
    Column("FROZEN", lambda r: seconds(r.downtime_ms / 1000) if r.downtime_ms else "", right=True),
    Column("WHY", lambda r: r.error),
)

COLUMNS: dict[type, tuple[Column, ...]] = {
    VmRow: VM_COLUMNS,
    NodeRow: NODE_COLUMNS,
    VeRow: VE_COLUMNS,
    Outcome: OUTCOME_COLUMNS,
}


def event_line(event: Event, stream: TextIO) -> str:
    """`21:04:33.120  h1  violation.start  h1  text`, aligned, coloured for `stream`."""
    moment = time.strftime("%H:%M:%S", time.localtime(event.time_s))
    style = next((s for w in reversed(event.kind.split(".")) if (s := _EVENT_STYLE_OF.get(w, ""))), "")
    return "  ".join(
        (
            paint(f"{moment}.{int(event.time_s % 1 * 1000):03}", "dim", stream),
            f"{event.node:<6}",
            paint(f"{event.kind:<20}", style, stream),
            f"{event.subject:<14}",
            event.text,
        )
    ).rstrip()
