"""Commands on images: image build, image ls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lucos.cli.options import Format, Output, examples, group
from lucos.cli.render import Column, say, show_rows
from lucos.errors import InputError

app = typer.Typer()
image = group("Images VMs boot from.", "luc image ls")
app.add_typer(image, name="image")

IMAGES_DIR = Path("/var/lib/luc/images")
Directory = Annotated[Path, typer.Option("--dest", help="The folder that holds images.")]

_COLUMNS = (
    Column("IMAGE", lambda r: r["name"], keep=True),
    Column("NEEDS", lambda r: f"{r['memory_min_mib']} MiB" if r["memory_min_mib"] else "", right=True),
    Column("FOLDER", lambda r: r["folder"]),
    Column("COMMAND LINE", lambda r: r["cmdline"]),
)


@image.command(epilog=examples("luc image build mini", "luc image build mini --dest ./images"))
def build(
    name: Annotated[str, typer.Argument(help="What to build: mini, a tiny Linux for labs and tests.")],
    dest: Directory = IMAGES_DIR,
) -> None:
    """Build an image from Debian's own packages."""
    if name != "mini":
        raise InputError(f"luc cannot build an image named {name!r}", hint="luc image build mini")
    from lucos.images import build_mini

    build_mini(dest / name, progress=say)
    print(f"built {dest / name}")


@image.command("ls", epilog=examples("luc image ls", "luc image ls -o json"))
def image_ls(dest: Directory = IMAGES_DIR, output: Output = Format.TABLE) -> None:
    """List the images of this machine."""
    from lucos.images import list_images, load_image

    rows: list[dict[str, Any]] = []
    for name in list_images(dest):
        found = load_image(dest, name)
        rows.append(
            {
                "name": found.name,
                "folder": str(dest / name),
                "memory_min_mib": found.memory_min_mib,
                "cmdline": found.cmdline,
            }
        )
    show_rows(rows, _COLUMNS, output, empty=f"no image in {dest}; luc image build mini makes one")
