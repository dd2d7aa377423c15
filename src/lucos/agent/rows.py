"""From a survey of the LUC to the rows people see."""

from __future__ import annotations

from collections.abc import Iterable

from lucos.agent.protocol import NodeRow, VeRow, VmRow
from lucos.environments.messages import Surveyed
from lucos.environments.survey import locations
from lucos.model import VeState, VmSpec, VmState
from lucos.overlay import Member
from lucos.resources.messages import VmView
from lucos.resources.repair import holding


def vm_rows(survey: Surveyed, ve: str = "") -> list[VmRow]:
    """All VMs, of one VE if given; those on record that no live host has or expects are `lost`."""
    rows: dict[str, VmRow] = {}
    for record in survey.ves:
        if record.state in (VeState.RUNNING, VeState.PAUSED):
            rows.update({vm.id: _absent_row(vm, "lost", "") for vm in record.vms})
    specs = {vm.id: vm for record in survey.ves for vm in record.vms}
    for node, snapshot in survey.snapshots.items():
        # Between leaving its source and being seen at its destination a VM is on its way, not lost.
        rows.update({vm: _absent_row(specs[vm], "running", node) for vm in snapshot.incoming if vm in specs})
    for node, snapshot in survey.snapshots.items():
        rows.update({view.instance.spec.id: _present_row(view, node) for view in snapshot.vms})
    return sorted((r for r in rows.values() if ve in ("", r.ve)), key=lambda r: r.id)


def _present_row(view: VmView, node: str) -> VmRow:
    spec = view.instance.spec
    return VmRow(
        spec.id,
        spec.ve,
        view.instance.state,
        node,
        spec.cpu,
        spec.memory_mib,
        round(view.instance.demand.cpu_pct, 1),
        round(view.cpu_used_pct, 1),
        spec.image,
        view.workload,
        view.migrating_to,
    )


def _absent_row(spec: VmSpec, state: str, node: str) -> VmRow:
    return VmRow(
        spec.id, spec.ve, state, node, spec.cpu, spec.memory_mib, 0.0, 0.0, spec.image, spec.workload
    )


def node_rows(survey: Surveyed, members: Iterable[Member]) -> list[NodeRow]:
    rows = []
    for member in sorted(members, key=lambda m: m.node):
        snapshot = survey.snapshots.get(member.node)
        row = NodeRow(member.node, member.site, member.status, member.address)
        if snapshot is not None:
            load = holding(snapshot.instances)
            row = NodeRow(
                member.node,
                member.site,
                member.status,
                member.address,
                snapshot.node.capacity.cpu_pct,
                round(load.cpu_pct, 1),
                snapshot.node.capacity.memory_mib,
                load.memory_mib,
                len(snapshot.vms),
                snapshot.node.draining,
                snapshot.violation,
                snapshot.partition,
            )
        rows.append(row)
    return rows


def ve_rows(survey: Surveyed) -> list[VeRow]:
    where = locations(survey)
    states = {i.spec.id: i.state for s in survey.snapshots.values() for i in s.instances}
    return [
        VeRow(
            ve.name,
            ve.state,
            len(ve.vms),
            sum(states.get(vm.id) is VmState.RUNNING for vm in ve.vms),
            tuple(sorted({where[vm.id] for vm in ve.vms if vm.id in where})),
        )
        for ve in survey.ves
    ]
