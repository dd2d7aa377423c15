"""Options that many commands share."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lucos.errors import InputError


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="How to print: for people or for programs.")]
Socket = Annotated[
    str,
    typer.Option("--socket", envvar="LUC_SOCKET", help="Socket of the agent to ask.", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Print every event while it happens.")]
TimeoutS = Annotated[float, typer.Option("--timeout", min=1, help="Give up after this many seconds.")]


class HelpfulGroup(TyperGroup):
    """A group of commands that shows its help when none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ([] if ctx.resilient_parsing else ["--help"]))


def group(summary: str, example: str) -> typer.Typer:
    """An empty group of commands."""
    return typer.Typer(cls=HelpfulGroup, help=summary, epilog=examples(example))


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def confirm(question: str, yes: bool) -> None:
    """Ask, unless `yes`; raises `typer.Abort` at no, and `InputError` when there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{question} there is no terminal to ask", hint="add --yes to go on without asking")
    typer.confirm(question, abort=True)
