"""Commands that change VEs and VMs: run, pause, resume, stop, kill, migrate, load, console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucos.agent.client import Client
from lucos.agent.protocol import Outcome, VeRow, VmRow
from lucos.cli.options import Format, Output, Socket, TimeoutS, Watch, Yes, confirm, examples
from lucos.cli.render import show_rows, working
from lucos.cli.rows import OUTCOME_COLUMNS, VE_COLUMNS, VM_COLUMNS
from lucos.errors import OperationFailed

app = typer.Typer()

# Longer than the agent's own limits on one action, so that its answer, which says more, comes first.
ACTION_TIMEOUT_S = 345.0
GRACE_S = 15.0

Target = Annotated[str, typer.Argument(help="A VM, or a VE for all its VMs.")]
Vm = Annotated[str, typer.Argument(help="The VM, as VE.NAME or NAME alone when there is but one.")]


@app.command(epilog=examples("luc run web.luc", "luc run web.luc --watch --timeout 120"))
def run(
    file: Annotated[Path, typer.Argument(help="The VE file (.luc).")],
    watch: Watch = False,
    timeout_s: TimeoutS = 300.0,
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Start the virtual environment that a file describes, and wait until its VMs run."""
    from lucos.environments.vefile import load_ve

    ve = load_ve(file)
    client = Client(socket)
    with working(f"starting {ve.name}", watch=watch) as tell:
        row = client.call(
            "run", VeRow, on_event=tell, answer_timeout_s=timeout_s + GRACE_S, ve=ve, timeout_s=timeout_s
        )
    if output is Format.TABLE:
        show_rows(client.call("ps", list[VmRow], ve=row.name), VM_COLUMNS, output)
    else:
        show_rows([row], VE_COLUMNS, output)


@app.command(epilog=examples("luc pause shop", "luc pause shop.web1"))
def pause(target: Target, watch: Watch = False, output: Output = Format.TABLE, socket: Socket = "") -> None:
    """Freeze VMs where they are; their memory stays, their CPU is free."""
    _each("pause", "pausing", target, watch, output, socket)


@app.command(epilog=examples("luc resume shop"))
def resume(target: Target, watch: Watch = False, output: Output = Format.TABLE, socket: Socket = "") -> None:
    """Let paused VMs run on."""
    _each("unpause", "resuming", target, watch, output, socket)


@app.command(epilog=examples("luc stop shop", "luc stop shop.db2"))
def stop(target: Target, watch: Watch = False, output: Output = Format.TABLE, socket: Socket = "") -> None:
    """Shut VMs down as their power button would."""
    _each("stop", "stopping", target, watch, output, socket)


@app.command(epilog=examples("luc kill shop.web1 --yes"))
def kill(
    target: Target,
    yes: Yes = False,
    watch: Watch = False,
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """End VMs at once, as if their power was cut."""
    confirm(f"cut the power of {target}?", yes)
    _each("kill", "killing", target, watch, output, socket)


@app.command(epilog=examples("luc migrate shop.web1 h3"))
def migrate(
    vm: Vm,
    node: Annotated[str, typer.Argument(help="The host it should go to.")],
    force: Annotated[bool, typer.Option("--force", help="Also where QEMU is too old to be safe.")] = False,
    watch: Watch = False,
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Move a running VM to another host."""
    with working(f"moving {vm} to {node}", watch=watch) as tell:
        outcome = Client(socket).call(
            "migrate",
            Outcome,
            on_event=tell,
            answer_timeout_s=ACTION_TIMEOUT_S,
            vm=vm,
            node=node,
            force=force,
        )
    report([outcome], output)


@app.command(epilog=examples("luc load shop.web1 cpu:80", "luc load shop.db1 tick+dirty:20"))
def load(
    vm: Vm,
    workload: Annotated[str, typer.Argument(help="idle, cpu:PERCENT, dirty:MIB_PER_S, tick; joined by +.")],
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Give a VM of the lab another workload while it runs."""
    from lucos.model.workload import check_workload

    check_workload(workload)
    report([Client(socket).call("load", Outcome, vm=vm, workload=workload)], output)


@app.command(epilog=examples("luc console shop.web1", "luc console tick.clock | head"))
def console(vm: Vm, socket: Socket = "") -> None:
    """Talk to a VM's serial console; ctrl-] leaves. Piped, it prints what the VM says."""
    from lucos.cli.terminal import attach

    line, said = Client(socket).console(vm)
    with line:
        attach(line, said, vm)


def _each(op: str, doing: str, target: str, watch: bool, output: Format, socket: str) -> None:
    with working(f"{doing} {target}", watch=watch) as tell:
        outcomes = Client(socket).call(
            op, list[Outcome], on_event=tell, answer_timeout_s=ACTION_TIMEOUT_S, target=target
        )
    report(outcomes, output)


def report(outcomes: list[Outcome], output: Format) -> None:
    """Print how each action ended; raises `OperationFailed` when one failed."""
    show_rows(outcomes, OUTCOME_COLUMNS, output)
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if failed:
        first = f"{failed[0].vm}: {failed[0].error or 'no reason given'}"
        what = f"{len(failed)} of {len(outcomes)} VMs, {first}" if len(outcomes) > 1 else first
        raise OperationFailed(f"failed for {what}", hint=f"luc events and luc info {failed[0].vm} say more")
