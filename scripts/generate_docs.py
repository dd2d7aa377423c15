"""Writes the parts of docs/ that come from the code, between `<!-- generated: NAME -->` and `<!-- end -->`.

With --check it writes nothing and exits 1 when a page is not what it would write.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import typer
from typer.main import get_command

from lucos import errors
from lucos.agent import config, protocol
from lucos.cli.main import app
from lucos.model import VE_LIFE, VM_LIFE, Event, mermaid
from lucos.overlay import MembershipSettings
from lucos.resources.dvms import DvmsSettings
from lucos.resources.entropy import EntropySettings
from lucos.resources.queue import PolicySettings, QueueSettings
from lucos.resources.snooze import SnoozeSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"
NEXT = "\n\n"
_BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fields_table(struct: type[msgspec.Struct]) -> str:
    """A Markdown table of a struct's fields: name, type and, if any field has one, default."""
    annotations = {
        name: kind for cls in reversed(struct.__mro__) for name, kind in inspect.get_annotations(cls).items()
    }
    fields = msgspec.structs.fields(struct)
    rows = [["field", "type", "default"], ["---", "---", "---"]]
    for field in fields:
        if field.default is not msgspec.NODEFAULT:
            default = f"`{msgspec.json.encode(field.default).decode()}`"
        elif field.default_factory is not msgspec.NODEFAULT:
            default = f"`{msgspec.json.encode(field.default_factory()).decode()}`"
        else:
            default = ""
        rows.append([f"`{field.encode_name}`", f"`{annotations[field.name]}`".replace("|", r"\|"), default])
    if not any(row[2] for row in rows[2:]):
        rows = [row[:2] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def section(struct: type[msgspec.Struct], title: str) -> str:
    """A headed table of fields, with the struct's docstring above it when it wrote one."""
    text = inspect.cleandoc(struct.__doc__ or "").removeprefix(f"{title}: ")
    return f"### {title}\n\n" + (f"{text}\n\n" if text else "") + fields_table(struct)


def agent_config() -> str:
    parts = msgspec.structs.fields(config.AgentConfig)
    return "\n".join(section(part.type, f"[{part.name}]") for part in parts)


def api_structs() -> str:
    structs = (
        protocol.VmRow,
        protocol.NodeRow,
        protocol.VeRow,
        protocol.Info,
        protocol.Outcome,
        protocol.DrainReport,
        protocol.Proposal,
        Event,
    )
    return "\n".join(section(struct, struct.__name__) for struct in structs)


def module_text(module: object) -> str:
    """A module's docstring without its first line, which is its title."""
    return inspect.cleandoc(module.__doc__ or "").partition("\n\n")[2] + "\n"


def commands() -> str:
    """A table of every `luc` command with its one-line help."""
    rows: list[tuple[str, str]] = []

    def visit(group: Any, path: str) -> None:
        context = typer.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if hasattr(command, "list_commands"):
                visit(command, f"{path} {name}")
            else:
                rows.append((f"{path} {name}", command.get_short_help_str(limit=200)))

    visit(get_command(app), "luc")
    return "| command | what it does |\n| --- | --- |\n" + "".join(f"| `{c}` | {t} |\n" for c, t in rows)


def blocks() -> dict[str, str]:
    """Every generated block by its name in the pages."""
    return {
        "vm-life": f"```mermaid\n{mermaid(VM_LIFE)}```\n",
        "ve-life": f"```mermaid\n{mermaid(VE_LIFE)}```\n",
        "agent-config": agent_config(),
        "commands": commands(),
        "exit-codes": f"```text\n{module_text(errors).partition(NEXT)[0]}\n```\n",
        "api": module_text(protocol),
        "api-structs": api_structs(),
        "dvms-settings": fields_table(DvmsSettings),
        "entropy-settings": fields_table(EntropySettings),
        "snooze-settings": fields_table(SnoozeSettings),
        "queue-settings": fields_table(QueueSettings) + "\n" + fields_table(PolicySettings),
        "membership-settings": f"{inspect.cleandoc(MembershipSettings.__doc__ or '')}\n\n"
        + fields_table(MembershipSettings),
    }


def refreshed(page: str, made: dict[str, str]) -> str:
    """The page's text with every generated block as it should be; an unknown name is a `KeyError`."""
    return _BLOCK.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", page)


def stale_pages() -> dict[Path, str]:
    """The pages of docs/ that differ from what they should be, with what they should be."""
    made = blocks()
    pages = {path: path.read_text() for path in sorted(DOCS.rglob("*.md"))}
    wanted = {path: refreshed(text, made) for path, text in pages.items()}
    return {path: text for path, text in wanted.items() if text != pages[path]}


def main() -> int:
    stale = stale_pages()
    check = "--check" in sys.argv[1:]
    for path, text in stale.items():
        print(f"{'out of date' if check else 'wrote'}: docs/{path.relative_to(DOCS)}")
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
