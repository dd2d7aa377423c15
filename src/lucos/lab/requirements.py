"""What a machine must have to carry a lab, checked before anything is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lucos.errors import EnvironmentMissing
from lucos.lab import cgroups
from lucos.lab.processes import environment

# Program -> the Debian package that has it.
PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "mount": "mount",
    "nsenter": "util-linux",
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
}


def packages_for(missing: Iterable[str]) -> str:
    """The Debian packages that bring `missing` programs, as `apt-get install` takes them."""
    packages = {PROGRAMS[program] for program in missing}
    if "libvirt-daemon" in packages:
        packages |= {"libvirt-daemon-driver-qemu", "libvirt-daemon-driver-network"}
    return " ".join(sorted(packages))


def require_root() -> None:
    """Raise `EnvironmentMissing` unless run as root."""
    if os.geteuid() != 0:
        raise EnvironmentMissing(
            "a lab needs root: it makes namespaces, bridges and cgroups",
            hint="run the command with sudo",
        )


def check_machine(*, sites: int) -> None:
    """Raise `EnvironmentMissing` naming all that is absent and how to get it."""
    require_root()
    path = environment()["PATH"]
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        raise EnvironmentMissing(
            f"a lab needs {', '.join(missing)}, not found on this machine",
            hint=f"apt-get install {packages_for(missing)}",
        )
    if sites > 1 and not Path("/dev/net/tun").exists():
        raise EnvironmentMissing(
            "a lab of several sites needs /dev/net/tun",
            hint="modprobe tun, or give the container access to the device",
        )
    cgroups.mounted()
