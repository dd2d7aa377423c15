"""Commands on hosts and on virtual environments as a whole: node, ve."""

from __future__ import annotations

from typing import Annotated

import typer

from lucos.agent.client import Client
from lucos.agent.protocol import DrainReport, NodeRow, VeRow
from lucos.cli.control import GRACE_S
from lucos.cli.options import Format, Output, Socket, TimeoutS, Watch, Yes, confirm, examples, group
from lucos.cli.render import show, show_rows, working
from lucos.cli.rows import NODE_COLUMNS, VE_COLUMNS
from lucos.errors import OperationFailed

app = typer.Typer()
node = group("Hosts: list, empty, take out.", "luc node ls")
ve = group("Virtual environments.", "luc ve ls")
app.add_typer(node, name="node")
app.add_typer(ve, name="ve")

Node = Annotated[str, typer.Argument(help="The host.")]


@node.command("ls", epilog=examples("luc node ls", "luc node ls -o yaml"))
def node_ls(output: Output = Format.TABLE, socket: Socket = "") -> None:
    """List hosts: alive or not, how much they are asked for, what is wrong."""
    show_rows(Client(socket).call("nodes", list[NodeRow]), NODE_COLUMNS, output, empty="no host")


@ve.command("ls", epilog=examples("luc ve ls"))
def ve_ls(output: Output = Format.TABLE, socket: Socket = "") -> None:
    """List virtual environments and how many of their VMs run."""
    show_rows(
        Client(socket).call("ves", list[VeRow]), VE_COLUMNS, output, empty="no VE; luc run FILE starts one"
    )


@node.command(epilog=examples("luc node drain h2", "luc node drain h2 --timeout 120 --watch"))
def drain(
    name: Node,
    wait: Annotated[bool, typer.Option(help="Wait until the host is empty.")] = True,
    timeout_s: TimeoutS = 300.0,
    watch: Watch = False,
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Move all VMs away from a host and place no more on it."""
    client = Client(socket)
    with working(f"draining {name}", watch=watch) as tell:
        report = client.call(
            "drain",
            DrainReport,
            on_event=tell,
            answer_timeout_s=timeout_s + GRACE_S,
            node=name,
            wait=wait,
            timeout_s=timeout_s,
        )
    show(report, output, lambda: _drain_lines(report))
    if report.stuck:
        raise OperationFailed(
            f"{len(report.stuck)} VMs could not leave {report.node}: {', '.join(report.stuck)}",
            hint=f"luc node undrain {report.node} takes VMs again; luc events says what was tried",
        )


def _drain_lines(report: DrainReport) -> list[str]:
    lines = [f"{vm} left {report.node}" for vm in report.moved]
    lines += [f"{vm} stays on {report.node}: {why}" for vm, why in report.stuck.items()]
    return lines or [f"{report.node} is draining"]


@node.command(epilog=examples("luc node undrain h2"))
def undrain(name: Node, socket: Socket = "") -> None:
    """Let a drained host take VMs again."""
    Client(socket).call("undrain", object, node=name)
    print(f"{name} takes VMs again")


@node.command(epilog=examples("luc node leave --yes --socket /run/luc/agent.sock"))
def leave(yes: Yes = False, socket: Socket = "") -> None:
    """Take the asked agent's host out of the LUC; luc node drain must have emptied it."""
    client = Client(socket)
    confirm(f"take the host of {client.path} out of the LUC?", yes)
    client.call("leave", object)
    print("the host left")


@node.command(epilog=examples("luc node remove h3 --yes"))
def remove(name: Node, yes: Yes = False, socket: Socket = "") -> None:
    """Have everybody forget a dead host that will not come back; refused for one that answers."""
    confirm(f"have all hosts forget {name}?", yes)
    Client(socket).call("remove", object, node=name)
    print(f"{name} is out of the LUC")
