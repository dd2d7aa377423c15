"""The bare hardware's wrappers: the Hypervisor port over libvirt, and the simulated fleet."""

from lucos.hypervisors.libvirt_adapter import LibvirtHypervisor
from lucos.hypervisors.migration import MigrationProgress
from lucos.hypervisors.settings import HypervisorSettings

__all__ = ["HypervisorSettings", "LibvirtHypervisor", "MigrationProgress"]
