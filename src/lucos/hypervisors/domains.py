"""What libvirt does to one domain, as blocking calls: everything here runs in worker threads.

Domains without our metadata are not ours: they are never listed and never touched.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lucos.actors.ports import VmSample
from lucos.errors import AlreadyExists, InputError, Refused, UnknownObject
from lucos.hypervisors.connection import Connection, libvirt
from lucos.hypervisors.domain_xml import (
    BALLOON_PERIOD_S,
    METADATA_KEY,
    METADATA_URI,
    domain_xml,
    metadata_xml,
    spec_of_domain,
    spec_of_metadata,
)
from lucos.hypervisors.settings import HypervisorSettings
from lucos.hypervisors.statistics import memory_used_mib, run_delay_s, state_of
from lucos.images import Image
from lucos.model import AnyAction, BootNode, ShutdownNode, VmSpec, VmState, after_vm_event

PID_DIR = "/run/libvirt/qemu"


class Domains:
    """The domains of one connection, and the suspended VMs on disk."""

    def __init__(self, settings: HypervisorSettings, connection: Connection) -> None:
        self._settings = settings
        self._lv = libvirt()
        self._raw = connection.raw
        self._qemu_version = connection.qemu_version
        self._specs: dict[str, VmSpec | None] = {}  # by UUID; None: not ours
        self._pids: dict[str, int] = {}  # by UUID
        self._memory_mib: dict[str, float] = {}  # by UUID, as last reported
        self._balloon_due_s = 0.0
        self.outgoing: set[str] = set()  # migrations that a former agent began
        self.sleeping = self._read_saved()
        ours = [domain for domain in self._raw.listAllDomains() if self.spec(domain)]
        self.found = {domain.name() for domain in ours}
        self.outgoing.update(domain.name() for domain in ours if self._is_leaving(domain))

    # --- Records ------------------------------------------------------------------------------------

    def spec(self, domain: Any) -> VmSpec | None:
        """The spec in the domain's metadata; None when the domain is not ours (or gone)."""
        uuid = domain.UUIDString()
        if uuid not in self._specs:
            try:
                element = domain.metadata(self._lv.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI)
                self._specs[uuid] = spec_of_metadata(element)
            except self._lv.libvirtError as error:
                if error.get_error_code() != self._lv.VIR_ERR_NO_DOMAIN_METADATA:
                    return None
                self._specs[uuid] = None
            except InputError:
                self._specs[uuid] = None
        return self._specs[uuid]

    def spec_by_uuid(self, uuid: str) -> VmSpec | None:
        """The same for a domain known by its UUID, which may have ended since."""
        if uuid in self._specs:
            return self._specs[uuid]
        try:
            return self.spec(self._raw.lookupByUUIDString(uuid))
        except self._lv.libvirtError:
            return None

    def forget(self, uuid: str) -> None:
        self._specs.pop(uuid, None)
        self._pids.pop(uuid, None)
        self._memory_mib.pop(uuid, None)

    def find(self, vm: str) -> Any:
        """Our domain of that name; raises libvirtError (no such domain) or `UnknownObject` (not ours)."""
        domain = self._raw.lookupByName(vm)
        if self.spec(domain) is None:
            raise UnknownObject(f"{vm} on this host is not a VM of this system", hint="see virsh list")
        return domain

    def state(self, vm: str) -> VmState:
        """Raises libvirtError or `UnknownObject` when this host has no such VM."""
        if vm in self.sleeping:
            return VmState.SLEEPING
        state, reason = self.find(vm).state()
        found, incoming = state_of({"state.state": state, "state.reason": reason})
        if incoming:
            raise Refused(f"{vm} is still being received here", hint="wait for its migration to end")
        return found or VmState.KILLED

    def next_state(self, action: AnyAction) -> VmState:
        """What `action` makes of its VM; raises `Refused` where it cannot, and as `state`."""
        if isinstance(action, BootNode | ShutdownNode):
            raise Refused(
                f"{action.node} cannot be switched on or off by its hypervisor", hint="drain it instead"
            )
        return after_vm_event(self.state(action.vm), type(action).__name__.lower())

    # --- Actions ------------------------------------------------------------------------------------

    def boot(self, spec: VmSpec, image: Image, accel: str) -> None:
        """Start a new domain; the guest is booting when this returns."""
        if spec.id in self.sleeping or any(d.name() == spec.id for d in self._raw.listAllDomains()):
            raise AlreadyExists(f"a VM {spec.id} exists already on this host", hint="luc ps shows its state")
        if spec.memory_mib < image.memory_min_mib:
            raise InputError(
                f"{spec.id}: image {image.name} needs {image.memory_min_mib} MiB, not {spec.memory_mib}",
                hint="raise memory_mib",
            )
        available_mib = _memory_available_mib()
        if spec.memory_mib > available_mib:
            raise Refused(
                f"{spec.id} needs {spec.memory_mib} MiB of memory, this host has {available_mib} MiB left",
                hint="free some, or boot it elsewhere",
            )
        log = self._settings.console_dir / f"{spec.id}.log"
        self._raw.createXML(domain_xml(spec, image, accel, log))

    def kill(self, vm: str) -> None:
        if vm in self.sleeping:
            self._drop_saved(vm)
        else:
            self.find(vm).destroy()

    def press_power_button(self, vm: str) -> None:
        self.find(vm).shutdownFlags(self._lv.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def pause(self, vm: str) -> None:
        self.find(vm).suspend()

    def unpause(self, vm: str) -> None:
        self.find(vm).resume()

    def suspend(self, vm: str) -> None:
        """Memory to disk. The file appears whole or not at all."""
        domain, path = self.find(vm), self._saved(vm)
        partial = path.with_suffix(".partial")
        spec = self.spec(domain)
        assert spec is not None
        # The state on disk always continues as running, also when the VM was paused before.
        domain.saveFlags(str(partial), None, self._lv.VIR_DOMAIN_SAVE_RUNNING)
        partial.rename(path)
        self.sleeping[vm] = spec

    def resume(self, vm: str) -> None:
        self._raw.restore(str(self._saved(vm)))
        self._drop_saved(vm)

    def set_spec(self, vm: str, spec: VmSpec) -> None:
        """Write another spec into the domain's metadata."""
        domain = self.find(vm)
        flags = self._lv.VIR_DOMAIN_AFFECT_LIVE
        element = self._lv.VIR_DOMAIN_METADATA_ELEMENT
        domain.setMetadata(element, metadata_xml(spec), METADATA_KEY, METADATA_URI, flags)
        self._specs[domain.UUIDString()] = spec

    def xml(self, vm: str) -> str:
        return str(self.find(vm).XMLDesc())

    # --- Migration ----------------------------------------------------------------------------------

    def migrate(self, vm: str, address: str, bandwidth_mibps: float, force: bool) -> None:
        """Live migration to the libvirtd at `address`, returning at its end; `abort` ends it sooner."""
        domain = self.find(vm)
        qemu = self._qemu_version // 1_000_000
        if qemu < 8 and not force:
            raise Refused(
                f"{vm} runs on QEMU {qemu}, which can corrupt the memory of a guest that migrates live",
                hint="upgrade to QEMU 8 or later, or force the migration",
            )
        lv = self._lv
        parameters = (
            {lv.VIR_MIGRATE_PARAM_BANDWIDTH: max(1, round(bandwidth_mibps))} if bandwidth_mibps else {}
        )
        flags = lv.VIR_MIGRATE_LIVE | lv.VIR_MIGRATE_PEER2PEER
        domain.migrateToURI3(f"qemu+tcp://{address}/system", parameters, flags)

    def abort(self, vm: str) -> None:
        self.find(vm).abortJob()

    def job(self, vm: str) -> dict[str, Any]:
        """libvirt's statistics of the job under way; empty when none."""
        return dict(self.find(vm).jobStats())

    def _is_leaving(self, domain: Any) -> bool:
        try:
            operation = domain.jobStats().get("operation", 0)
        except self._lv.libvirtError:
            return False
        return bool(operation == self._lv.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)

    # --- Statistics ---------------------------------------------------------------------------------

    def sample(self, leaving: set[str]) -> tuple[VmSample, ...]:
        """All our VMs here; `leaving` names those that this agent is migrating away."""
        lv = self._lv
        wanted = lv.VIR_DOMAIN_STATS_STATE | lv.VIR_DOMAIN_STATS_CPU_TOTAL
        now_s = time.monotonic()
        if now_s >= self._balloon_due_s:
            # Each reading wakes every QEMU, which the rest of a sample does not.
            self._balloon_due_s = now_s + BALLOON_PERIOD_S
            wanted |= lv.VIR_DOMAIN_STATS_BALLOON
        # A domain that another job holds answers with what libvirt knows, instead of being waited for.
        flags = lv.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        samples = [
            VmSample(spec, VmState.SLEEPING, workload=spec.workload) for spec in list(self.sleeping.values())
        ]
        for domain, statistics in self._raw.getAllDomainStats(wanted, flags):
            spec = self.spec(domain)
            state, incoming = state_of(statistics)
            if spec is None or state is None:
                continue
            if spec.id in self.outgoing and not self._is_leaving(domain):
                self.outgoing.discard(spec.id)
            migrating = spec.id in leaving or spec.id in self.outgoing
            samples.append(
                VmSample(
                    spec,
                    # The moment in which a leaving VM is stopped for its switch is not a pause.
                    VmState.RUNNING if migrating and incoming else state,
                    cpu_time_s=statistics.get("cpu.time", 0) / 1e9,
                    run_delay_s=self._run_delay_s(domain),
                    memory_used_mib=self._memory_used_mib(domain, spec, statistics),
                    incoming=incoming and not migrating,
                    migrating=migrating,
                    workload=spec.workload,
                )
            )
        return tuple(samples)

    def _memory_used_mib(self, domain: Any, spec: VmSpec, statistics: dict[str, int]) -> float:
        uuid = domain.UUIDString()
        if "balloon.current" in statistics:
            self._memory_mib[uuid] = memory_used_mib(statistics)
        return self._memory_mib.get(uuid, float(spec.memory_mib))

    def _run_delay_s(self, domain: Any) -> float:
        uuid = domain.UUIDString()
        if uuid not in self._pids:
            path = self._settings.seen_from_here(f"{PID_DIR}/{domain.name()}.pid")
            try:
                self._pids[uuid] = int(path.read_text())
            except (FileNotFoundError, ValueError):
                return 0.0
        return run_delay_s(self._pids[uuid], self._settings.seen_from_here("/proc"))

    # --- Suspended VMs ------------------------------------------------------------------------------

    def _saved(self, vm: str) -> Path:
        return self._settings.saved_dir / f"{vm}.save"

    def _drop_saved(self, vm: str) -> None:
        self._saved(vm).unlink()
        del self.sleeping[vm]

    def _read_saved(self) -> dict[str, VmSpec]:
        found: dict[str, VmSpec] = {}
        for path in self._settings.saved_dir.glob("*.save"):
            # A file that cannot be read stays where it is: it must not keep the other VMs from being found.
            with suppress(self._lv.libvirtError, InputError):
                spec = spec_of_domain(self._raw.saveImageGetXMLDesc(str(path)))
                if spec is not None:
                    found[spec.id] = spec
        return found


def _memory_available_mib() -> int:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) // 1024
