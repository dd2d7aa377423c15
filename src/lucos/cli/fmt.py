"""The command that lays scripts out: fmt."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from lucos.cli.options import examples
from lucos.errors import InputError, LucError

app = typer.Typer()


@app.command(epilog=examples("luc fmt web.luc rules.plasma", "luc fmt --check *.luc"))
def fmt(
    files: Annotated[
        list[Path], typer.Argument(help="Plasma scripts, or .luc files for the script in them.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if a file would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> None:
    """Lay out Plasma scripts in the one usual way; meaning and comments stay."""
    changed, faults = 0, []
    for path in files:
        try:
            before, after = _laid_out(path)
        except InputError as error:
            faults.append(error)
            continue
        if before == after:
            continue
        changed += 1
        if diff:
            lines = (before.splitlines(), after.splitlines())
            print(*difflib.unified_diff(*lines, str(path), f"{path} (formatted)", lineterm=""), sep="\n")
        elif check:
            print(f"would format {path}")
        else:
            path.write_text(after, encoding="utf-8")
            print(f"formatted {path}")
    if faults:
        raise InputError("\n".join(error.message for error in faults))
    if check and changed:
        raise LucError(f"{changed} of {len(files)} files are not formatted", hint="luc fmt FILE... does it")


def _laid_out(path: Path) -> tuple[str, str]:
    """The text of a file as it is and as it should be."""
    from lucos.plasma import format_script, read_source

    source = read_source(path)
    if path.suffix != ".luc":
        return source.text, format_script(source)
    from lucos.environments.vefile import format_ve

    return source.text, format_ve(source.text, file=str(path))
