"""The root of `luc`: finds the command's module, and turns every error into a line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command, get_group

from lucos.cli.options import HelpfulGroup
from lucos.errors import InputError, LucError

_MODULES: dict[str, tuple[str, ...]] = {
    "control": ("run", "pause", "resume", "stop", "kill", "migrate", "load", "console"),
    "changes": ("plan", "apply"),
    "solving": ("solve", "check", "explain"),
    "fmt": ("fmt",),
    "view": ("ps", "top", "info", "events"),
    "nodes": ("node", "ve"),
    "host": ("agent", "init"),
    "images": ("image",),
    "labs": ("lab", "demo"),
    "sim": ("sim",),
}
COMMANDS = {name: module for module, names in _MODULES.items() for name in names}

EPILOG = """\b
Example:
  luc run web.luc --watch
  luc ps shop -o json
\b
Exit codes:
  0  done
  1  aborted, or an error of luc itself
  2  what was typed or written is wrong; no such VM, VE, host or image
  3  not root, or a program or library is absent or too old
  4  the agent or a peer does not answer
  5  refused: understood, but it cannot be done now
  6  begun, and ended in another state than the one wanted
  130  interrupted
luc solve, check and explain have codes of their own, told by their help.
"""


class LazyGroup(HelpfulGroup):
    """The commands of `COMMANDS`, each built when it is asked for: `luc ps` imports nothing of `luc lab`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"lucos.cli.{COMMANDS[cmd_name]}")
        return get_group(module.app).commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise InputError(
                f"there is no command {args[0]!r}",
                hint=f"did you mean luc {close[0]}?" if close else "luc --help lists the commands",
            )
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=LazyGroup, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        from lucos import __version__

        print(f"luc {__version__}")
        raise typer.Exit


@app.callback(epilog=EPILOG)
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Run virtual machines over many hypervisors as an operating system runs processes."""


def main(arguments: list[str] | None = None) -> None:
    """Run `luc` and exit with the code of `lucos.errors` (see `EPILOG`)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = get_command(app)(arguments, prog_name="luc", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output went away; the interpreter must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        code = 130
    except typer.Abort:
        print("aborted", file=sys.stderr)
        code = 1
    except LucError as error:
        code = _complain(error.message, error.hint, error.exit_code)
    except Exception as error:
        # Typer's usage errors: their class lives in click or in typer, by the version.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "luc"
        code = _complain(format_message(), f"{path} --help shows how it is used", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, hint: str, code: int) -> int:
    from lucos.cli.render import paint

    print(paint("error:", "red", sys.stderr), message, file=sys.stderr)
    if hint:
        print(paint("hint:", "cyan", sys.stderr), hint, file=sys.stderr)
    return code
