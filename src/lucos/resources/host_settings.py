"""Settings of the host actor."""

from __future__ import annotations

import msgspec

from lucos.model import Resources
from lucos.resources.monitor import MonitorSettings


class HostSettings(msgspec.Struct, frozen=True):
    """`notices` says that the hypervisor port notices changes itself: it is asked once, then waited for."""

    capacity: Resources
    site: str = ""
    migration_address: str = ""
    period_s: float = 1.0
    action_timeout_s: float = 60.0
    wake_timeout_s: float = 600.0
    migration_timeout_s: float = 60.0
    reserve_timeout_s: float = 3.0
    bandwidth_mibps: float = 0.0
    monitor: MonitorSettings = MonitorSettings()
    notices: bool = False
