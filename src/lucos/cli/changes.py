"""Commands that show what would be done before it is done: plan, apply."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lucos.agent.client import Client
from lucos.agent.protocol import Outcome, Proposal
from lucos.cli.control import GRACE_S, report
from lucos.cli.options import Format, Output, Socket, TimeoutS, Watch, Yes, confirm, examples
from lucos.cli.render import Column, colours_on, rows_for_people, say, show, width_of, working
from lucos.cli.rows import seconds
from lucos.errors import OperationFailed, Refused
from lucos.model import VirtualEnvironment
from lucos.placement import gantt
from lucos.placement.timeline import kind_of

app = typer.Typer()

PLANNING_TIMEOUT_S = 45.0
PLANS_MAX = 3

Svg = Annotated[Path | None, typer.Option("--svg", help="Draw the plan over time into this file.")]


@app.command(epilog=examples("luc plan web.luc", "luc plan web.luc --svg plan.svg", "luc plan"))
def plan(
    file: Annotated[
        Path | None, typer.Argument(help="The VE file (.luc); without it, what would end all violations.")
    ] = None,
    svg: Svg = None,
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Show what luc apply would do: where VMs boot, what must move and why, and when."""
    proposal = _proposed(Client(socket), _described(file) if file else None)
    _show(proposal, output, svg)


@app.command(epilog=examples("luc apply web.luc", "luc apply web.luc --yes --watch"))
def apply(
    file: Annotated[Path, typer.Argument(help="The VE file (.luc).")],
    yes: Yes = False,
    watch: Watch = False,
    timeout_s: TimeoutS = 900.0,
    svg: Svg = None,
    output: Output = Format.TABLE,
    socket: Socket = "",
) -> None:
    """Have a virtual environment as its file says: plan, show, ask, and do exactly that."""
    client, ve = Client(socket), _described(file)
    for attempt in range(PLANS_MAX):
        proposal = _proposed(client, ve)
        if output is Format.TABLE:
            _show(proposal, output, svg)
        if not proposal.changes:
            break
        confirm(f"do this to {ve.name}?", yes)
        try:
            with working(f"changing {ve.name}", watch=watch) as tell:
                outcomes = client.call(
                    "apply",
                    list[Outcome],
                    on_event=tell,
                    answer_timeout_s=timeout_s + GRACE_S,
                    ve=ve,
                    plan=proposal.plan,
                    timeout_s=timeout_s,
                )
        except Refused as refusal:
            if attempt + 1 == PLANS_MAX:
                raise
            say(f"{refusal.message}; planning again")
            continue
        report(outcomes, output)
        return
    if output is not Format.TABLE:
        show([], output, list)


def _described(file: Path) -> VirtualEnvironment:
    from lucos.environments.vefile import load_ve

    return load_ve(file)


def _proposed(client: Client, ve: VirtualEnvironment | None) -> Proposal:
    with working("planning"):
        return client.call("plan", Proposal, answer_timeout_s=PLANNING_TIMEOUT_S, ve=ve)


def _show(proposal: Proposal, output: Format, svg: Path | None) -> None:
    show(proposal, output, lambda: _lines(proposal))
    if svg is not None:
        try:
            svg.write_text(gantt.svg_of(proposal.plan, title=proposal.ve))
        except OSError as error:
            raise OperationFailed(f"cannot write {svg}: {error.strerror}") from None


_STEP_COLUMNS = (
    Column("START", lambda s: seconds(s.start_s) if s.start_s else "0 s", right=True),
    Column("ACTION", lambda s: kind_of(s.action), keep=True),
    Column("VM", lambda s: s.action.vm, keep=True),
    Column("WHERE", lambda s: gantt.where(s)),
    Column("TAKES", lambda s: seconds(s.end_s - s.start_s), right=True),
    Column("WHY", lambda s: s.reason),
)


def _lines(proposal: Proposal) -> list[str]:
    lines = []
    if proposal.ve:
        parts = [
            f"{_count(len(vms), 'VM')} {what}"
            for vms, what in (
                (proposal.added, "to start"),
                (proposal.removed, "to shut down"),
                (proposal.kept, "stays" if len(proposal.kept) == 1 else "stay"),
            )
            if vms
        ]
        lines.append(f"{proposal.ve}: {', '.join(parts)}")
        lines += [f"  + {rule}" for rule in proposal.rules_added]
        lines += [f"  - {rule}" for rule in proposal.rules_removed]
    steps = proposal.plan.actions
    if not steps:
        nothing = "nothing has to move" if proposal.changes or not proposal.ve else "nothing to do"
        return [*lines, nothing]
    quality = "the fewest moves possible" if proposal.status == "optimal" else _quality(proposal)
    return [
        *lines,
        "",
        *rows_for_people(steps, _STEP_COLUMNS),
        "",
        gantt.text_of(proposal.plan, width=width_of(sys.stdout), colour=colours_on(sys.stdout)).rstrip(),
        "",
        f"{_count(len(steps), 'action')} in about {seconds(proposal.plan.makespan_s)}; {quality}",
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _quality(proposal: Proposal) -> str:
    known = zip(proposal.objectives, proposal.values, proposal.bounds, strict=False)
    return ", ".join(f"{name} {value:g} (no plan below {bound:g})" for name, value, bound in known)
