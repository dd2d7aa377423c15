"""What a libvirt hypervisor adapter is told by its host."""

from __future__ import annotations

from pathlib import Path

import msgspec


class HypervisorSettings(msgspec.Struct, frozen=True):
    """`uri` names the local libvirtd; `node` this host; `accel` is auto, kvm or tcg.

    `console_dir` receives `VM.log`, the guests' serial output; its parent keeps suspended VMs and the
    verdict on KVM. `bandwidth_mibps` caps migrations that name no cap of their own (0: no cap) and
    `migration_timeout_s` bounds every one. `root` is where libvirtd's root directory is seen from here
    (`/proc/PID/root` when it lives in another mount namespace).
    """

    uri: str
    node: str
    images_dir: Path
    console_dir: Path
    accel: str = "auto"
    bandwidth_mibps: float = 0.0
    migration_timeout_s: float = 60.0
    root: Path = Path("/")

    @property
    def state_dir(self) -> Path:
        """The folder that survives restarts of the agent."""
        return self.console_dir.parent

    @property
    def saved_dir(self) -> Path:
        """Where suspended VMs are kept."""
        return self.state_dir / "saved"

    def seen_from_here(self, path: str) -> Path:
        """Where a path that libvirtd names is found by this process."""
        return self.root / path.lstrip("/")
