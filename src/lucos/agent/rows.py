"""From a survey of the LUC to the rows people see."""

from __future__ import annotations

from collections.abc import Iterable

from lucos.agent.protocol import NodeRow, VeRow, VmRow
from lucos.environments.messages import Surveyed
from lucos.environments.survey import locations
from lucos.model import Resources, VeState, VmState
from lucos.overlay import Member


def vm_rows(survey: Surveyed, ve: str = "") -> list[VmRow]:
    """All VMs, of one VE if given; those on record that no live host has are `lost`."""
    rows = []
    for node, snapshot in survey.snapshots.items():
        for view in snapshot.vms:
            spec = view.instance.spec
            rows.append(
                VmRow(
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
            )
    present = {row.id for row in rows}
    lost = [
        vm
        for record in survey.ves
        if record.state in (VeState.RUNNING, VeState.PAUSED)
        for vm in record.vms
        if vm.id not in present
    ]
    rows += [
        VmRow(vm.id, vm.ve, "lost", "", vm.cpu, vm.memory_mib, 0.0, 0.0, vm.image, vm.workload) for vm in lost
    ]
    return sorted((r for r in rows if ve in ("", r.ve)), key=lambda r: r.id)


def node_rows(survey: Surveyed, members: Iterable[Member]) -> list[NodeRow]:
    rows = []
    for member in sorted(members, key=lambda m: m.node):
        snapshot = survey.snapshots.get(member.node)
        row = NodeRow(member.node, member.site, member.status, member.address)
        if snapshot is not None:
            load = sum((i.demand for i in snapshot.instances), Resources())
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
