"""`luc top`: a picture of hosts, VMs and the last events, drawn again and again."""

from __future__ import annotations

import os
import select
import sys
import time

from lucos.agent.client import Client
from lucos.agent.protocol import NodeRow, VmRow
from lucos.cli.render import Column, rows_for_people
from lucos.cli.rows import NODE_COLUMNS, VM_COLUMNS, event_line
from lucos.cli.terminal import key_by_key
from lucos.errors import Unreachable
from lucos.model import Event

EVENTS_SHOWN = 8
_BAR_CELLS = 12


def _bar(row: NodeRow) -> str:
    whole = row.cpu_capacity_pct
    filled = round(min(1.0, row.cpu_demand_pct / whole) * _BAR_CELLS) if whole > 0 else 0
    return "█" * filled + "░" * (_BAR_CELLS - filled)


def _load_style(row: NodeRow) -> str:
    share = row.cpu_demand_pct / row.cpu_capacity_pct if row.cpu_capacity_pct > 0 else 0.0
    return "red" if share > 1 else "yellow" if share > 0.75 else "green"


_SHOWN = [column for column in NODE_COLUMNS if column.title != "ADDRESS"]
_HOST_COLUMNS = (*_SHOWN[:3], Column("LOAD", _bar, _load_style, keep=True), *_SHOWN[3:])


def picture(client: Client) -> list[str]:
    """The lines of one picture: a summary, the hosts, the VMs that want most first, the last events."""
    nodes = client.call("nodes", list[NodeRow])
    vms = sorted(client.call("ps", list[VmRow]), key=lambda row: (-row.cpu_demand_pct, row.id))
    past: list[Event] = []
    client.call("events", object, on_event=past.append, since_s=0.0, limit=EVENTS_SHOWN, follow=False)
    overloaded = [node.name for node in nodes if node.violation]
    alive = sum(node.status == "alive" for node in nodes)
    summary = (
        f"{time.strftime('%H:%M:%S')}  {alive} of {len(nodes)} hosts alive,  "
        f"{sum(vm.state == 'running' for vm in vms)} of {len(vms)} VMs run,  "
        f"{sum(bool(vm.migrating_to) for vm in vms)} migrate,  "
        f"violations: {', '.join(overloaded) or 'none'}"
    )
    return [
        summary,
        "",
        *rows_for_people(nodes, _HOST_COLUMNS),
        "",
        *(rows_for_people(vms, VM_COLUMNS) if vms else ["no VM"]),
        "",
        *(event_line(event, sys.stdout) for event in past[-EVENTS_SHOWN:]),
    ]


def watch(client: Client, *, interval_s: float) -> None:
    """Draw until q or ctrl-C. An agent that goes away is told of and asked again."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with key_by_key(raw=False) as keyboard, Live(console=console, screen=True, auto_refresh=False) as screen:
        while True:
            try:
                lines = picture(client)
            except Unreachable as error:
                lines = [f"{time.strftime('%H:%M:%S')}  {error.message}", error.hint]
            # What does not fit at the bottom is cut: hosts come first.
            text = Text.from_ansi("\n".join(lines[: console.height]), no_wrap=True, overflow="ellipsis")
            screen.update(text, refresh=True)
            ready, _, _ = select.select([sys.stdin] if keyboard else [], [], [], interval_s)
            if ready and os.read(sys.stdin.fileno(), 1) in b"qQ":
                return
