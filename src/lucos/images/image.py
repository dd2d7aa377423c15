"""An image a VM boots from: a folder with `image.toml`, a kernel and an initial RAM disk.

name = "mini"
kernel = "vmlinuz"                  # files beside image.toml
initrd = "initrd"
cmdline = "console=ttyS0 quiet"     # the VM's own luc.* words follow
memory_min_mib = 80                 # less does not boot
ready = "lucos-guest up"            # what its serial console says once it is up; "" when nothing
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from lucos.errors import InputError, UnknownObject

DESCRIPTOR = "image.toml"


class _Descriptor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    kernel: str
    initrd: str
    cmdline: str
    memory_min_mib: int = 0
    ready: str = ""


class Image(msgspec.Struct, frozen=True):
    """A readable image; `kernel` and `initrd` are existing files, the rest as in its descriptor."""

    name: str
    kernel: Path
    initrd: Path
    cmdline: str
    memory_min_mib: int
    ready: str


def list_images(images_dir: Path) -> list[str]:
    """Names of the images present, sorted; none when the folder does not exist."""
    return sorted(path.parent.name for path in images_dir.glob(f"*/{DESCRIPTOR}"))


def load_image(images_dir: Path, name: str) -> Image:
    """Read one image; raises `UnknownObject` (with those present) or `InputError` naming file and field."""
    folder = images_dir / name
    path = folder / DESCRIPTOR
    if "/" in name or not path.is_file():
        present = ", ".join(list_images(images_dir)) or "none; `luc image build mini` makes one"
        raise UnknownObject(f"no image {name!r} in {images_dir}", hint=f"images present: {present}")
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_Descriptor)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(str(error), file=str(path)) from None
    for field in ("kernel", "initrd"):
        file = getattr(found, field)
        if "/" in file or not (folder / file).is_file():
            raise InputError(f"{field} {file!r} is not a file beside it", file=str(path))
    return Image(
        name=name,
        kernel=folder / found.kernel,
        initrd=folder / found.initrd,
        cmdline=found.cmdline,
        memory_min_mib=found.memory_min_mib,
        ready=found.ready,
    )
