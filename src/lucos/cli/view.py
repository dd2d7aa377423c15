"""Commands that look: ps, top, info, events."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import msgspec
import typer

from lucos.agent.client import Client
from lucos.agent.protocol import Info, VmRow
from lucos.cli.options import Format, Output, Socket, examples
from lucos.cli.render import rows_for_people, show, show_rows
from lucos.cli.rows import COLUMNS, VM_COLUMNS, event_line
from lucos.errors import InputError
from lucos.model import Event

app = typer.Typer()

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command(epilog=examples("luc ps", "luc ps shop -o json"))
def ps(
    ve: Annotated[str, typer.Argument(help="Only the VMs of this VE.", show_default=False)] = "",
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """List VMs: where they are, their state, what they want and what they get."""
    rows = Client(socket).call("ps", list[VmRow], ve=ve)
    show_rows(rows, VM_COLUMNS, output, empty="no VM; luc run FILE starts a virtual environment")


@app.command(epilog=examples("luc info shop.web1", "luc info h2 -o yaml"))
def info(
    name: Annotated[str, typer.Argument(help="A VM, a VE or a node.")],
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Show everything known of one VM, VE or node."""
    found = Client(socket).call("info", Info, name=name)
    show(found, output, lambda: _info_lines(found))


def _info_lines(found: Info) -> list[str]:
    row = found.row
    pairs: dict[str, str] = {}
    if row:
        pairs = {column.title.lower(): column.cell(row) for column in COLUMNS[type(row)]}
    elif found.spec:
        pairs = {"image": found.spec.image, "workload": found.spec.workload}
    pairs |= {key: _fact(value) for key, value in found.facts.items()}
    width = max(map(len, pairs), default=0)
    lines = [f"{found.kind} {found.name}"]
    lines += [f"  {key:<{width}}  {value}" for key, value in pairs.items() if value]
    if found.constraints:
        lines += ["", "constraints", *(f"  {constraint}" for constraint in found.constraints)]
    if found.vms:
        lines += ["", *rows_for_people(found.vms, VM_COLUMNS)]
    return lines


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


@app.command(epilog=examples("luc events --since 10m", "luc events --follow -o json"))
def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with events as they happen.")] = False,
    since: Annotated[str, typer.Option(help="How far back: 30s, 10m, 2h, 1d.")] = "1h",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many past events.")] = 100,
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Print what happened, one line an event: time, node, kind, subject, text.

    JSON is one object a line, YAML one document an event, so that both can be followed.
    """

    since_s = time.time() - duration_s(since)

    def tell(event: Event) -> None:
        if output is Format.JSON:
            line = msgspec.json.encode(event).decode()
        elif output is Format.YAML:
            import yaml

            line = "---\n" + yaml.safe_dump(msgspec.to_builtins(event), sort_keys=False).rstrip()
        else:
            line = event_line(event, sys.stdout)
        print(line, flush=True)

    Client(socket).call(
        "events",
        object,
        on_event=tell,
        answer_timeout_s=None if follow else 30.0,
        since_s=since_s,
        limit=limit,
        follow=follow,
    )


def duration_s(text: str) -> float:
    """Seconds of `90`, `30s`, `10m`, `2h` or `1d`."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise InputError(f"{text!r} is not a duration", hint="write 30s, 10m, 2h or 1d")
    return float(int(number) * _SECONDS[unit])


@app.command(epilog=examples("luc top", "luc top --once"))
def top(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between pictures.")] = 1.0,
    socket: Socket = "",
) -> None:
    """Watch hosts, VMs and events live; q or ctrl-C leaves."""
    from lucos.cli import live

    client = Client(socket)
    if once or not sys.stdout.isatty():
        print("\n".join(live.picture(client)))
    else:
        live.watch(client, interval_s=interval)
