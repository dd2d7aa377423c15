"""Predictive consolidation, the production code, in CloudSim's data centre."""

from __future__ import annotations

from lucos.resources.consolidation import ConsolidationSettings, Consolidator, HostRoom, VmLoad
from lucos.simulator.cloudsim.accounting import Account, Move
from lucos.simulator.cloudsim.datacenter import Datacenter


class Consolidate:
    """Tells the consolidator what CloudSim lets its policies know. RAM is left out, as CloudSim leaves it
    out."""

    def __init__(self, centre: Datacenter, settings: ConsolidationSettings) -> None:
        columns = (centre.host_mips.tolist(), centre.core_mips.tolist(), centre.watts.tolist())
        self._hosts = [
            HostRoom(str(host), mips, watts=tuple(watts), vm_cpu_max=core_mips)
            for host, (mips, core_mips, watts) in enumerate(zip(*columns, strict=True))
        ]
        self._vm_mips = centre.vm_mips.tolist()
        self._consolidator = Consolidator(settings)

    def decide(self, account: Account) -> list[Move]:
        wanted = account.requested.tolist()
        vms = [
            VmLoad(str(vm), str(host), wanted[vm], self._vm_mips[vm])
            for host, vms in enumerate(account.vms_of)
            for vm in vms
        ]
        moves = self._consolidator.decide(account.time_s, self._hosts, vms)
        return [(int(move.vm), int(move.destination)) for move in moves]
