"""Commands on labs (several hosts on this machine), and the demo that uses one."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lucos.cli.options import Format, Output, examples, group
from lucos.cli.render import Column, rows_for_people, say, show, show_rows
from lucos.cli.rows import mib, state_style

if TYPE_CHECKING:
    from lucos.lab import LabState

app = typer.Typer()
lab = group("Labs: several hosts on this one machine, with real guests. Root only.", "luc lab up --nodes 4")
app.add_typer(lab, name="lab")

Name = Annotated[str, typer.Option("--name", help="The lab.")]
Host = Annotated[str, typer.Argument(help="A host of the lab: h1, h2, ...")]

_HOST_COLUMNS = (
    Column("HOST", lambda r: r.name, keep=True),
    Column("SITE", lambda r: r.site),
    Column("STATUS", lambda r: r.status, lambda r: state_style(r.status)),
    Column("ADDRESS", lambda r: r.address),
    Column("AGENT", lambda r: str(r.pids.get("agent", "-")), right=True),
    Column("GUESTS", lambda r: str(len(r.guests)), right=True),
    Column("SOCKET", lambda r: r.socket),
)


def _show(state: LabState, output: Format) -> None:
    head = (
        f"lab {state.name}: {len(state.hosts)} hosts, each {state.cpus:g} cores and {mib(state.memory_mib)}"
    )
    if state.sites > 1:
        head += f", on {state.sites} sites {state.rtt_ms:g} ms apart"
    show(state, output, lambda: [head, "", *rows_for_people(state.hosts, _HOST_COLUMNS)])


@lab.command(epilog=examples("luc lab up --nodes 4 --sites 2 --rtt-ms 10", "luc lab up --nodes 3 --cpus 1"))
def up(
    nodes: Annotated[int, typer.Option(help="How many hosts.")] = 4,
    sites: Annotated[int, typer.Option(help="Over how many sites they are spread.")] = 1,
    rtt_ms: Annotated[float, typer.Option(help="Round trip between two sites, in milliseconds.")] = 0.0,
    cpus: Annotated[float, typer.Option(help="Cores the guests of one host share.")] = 0.5,
    memory_mib: Annotated[int, typer.Option(help="Memory the guests of one host share.")] = 1024,
    name: Name = "lab",
    output: Output = Format.TABLE,
) -> None:
    """Start a lab: hosts with a libvirtd and an agent each."""
    from lucos.lab import lab_together, lab_up

    state = lab_up(name, nodes=nodes, sites=sites, rtt_ms=rtt_ms, cpus=cpus, memory_mib=memory_mib, say=say)
    lab_together(state)
    _show(state, output)


@lab.command("ls", epilog=examples("luc lab ls", "luc lab ls mylab -o json"))
def lab_ls(
    name: Annotated[str, typer.Argument(help="Show the hosts of this lab.", show_default=False)] = "",
    output: Output = Format.TABLE,
) -> None:
    """List labs, or the hosts of one."""
    from lucos.lab import lab_list, lab_state

    if name:
        _show(lab_state(name), output)
        return
    columns = (Column("LAB", str, keep=True),)
    show_rows(lab_list(), columns, output, empty="no lab; luc lab up starts one")


@lab.command(epilog=examples("luc lab shell h1"))
def shell(host: Host, name: Name = "lab") -> None:
    """Open a shell inside a host."""
    from lucos.lab import lab_shell_argv

    argv = lab_shell_argv(name, host)
    os.execvp(argv[0], argv)


@lab.command(
    epilog=examples("luc lab cut h3", "luc lab cut h1 h2 --from-site s2", "luc lab cut h1 --from h2 --oneway")
)
def cut(
    hosts: Annotated[list[str], typer.Argument(help="The hosts to cut off.")],
    peers: Annotated[
        list[str] | None, typer.Option("--from", help="Only from this host; may be repeated.")
    ] = None,
    from_site: Annotated[str, typer.Option(help="Only from the hosts of this site.")] = "",
    oneway: Annotated[bool, typer.Option("--oneway", help="Lose only what the hosts send.")] = False,
    name: Name = "lab",
) -> None:
    """Cut hosts off the network, from all others or from some."""
    from lucos.lab import lab_cut

    lab_cut(name, hosts, peers=peers or (), from_site=from_site, oneway=oneway)
    print(f"{', '.join(hosts)} cut; luc lab heal ends it")


@lab.command(epilog=examples("luc lab heal"))
def heal(name: Name = "lab") -> None:
    """End all cuts."""
    from lucos.lab import lab_heal

    lab_heal(name)
    print("all cuts are healed")


@lab.command(epilog=examples("luc lab kill h2"))
def kill(host: Host, name: Name = "lab") -> None:
    """Kill a host as a power cut would: its agent, libvirtd and guests."""
    from lucos.lab import lab_kill

    lab_kill(name, host)
    print(f"{host} is dead; luc lab revive {host} starts it again, without its guests")


@lab.command(epilog=examples("luc lab revive h2"))
def revive(host: Host, name: Name = "lab") -> None:
    """Start a killed host again."""
    from lucos.lab import lab_revive

    lab_revive(name, host)
    print(f"{host} is back")


@lab.command(epilog=examples("luc lab down"))
def down(
    name: Annotated[str, typer.Argument(help="The lab to remove.")] = "lab",
) -> None:
    """Remove a lab and everything in it; harmless when there is none."""
    from lucos.lab import lab_down

    lab_down(name, say=say)


@app.command(epilog=examples("luc demo", "luc demo --simulated --report demo-report.json"))
def demo(
    simulated: Annotated[bool, typer.Option("--simulated", help="Without root or QEMU.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write the account as JSON.", show_default=False)
    ] = None,
) -> None:
    """Run the main job once, from start to end: an overload resolved, a host drained, a host lost."""
    import_module("lucos.lab.demo").run_demo(simulated=simulated, report=report)
