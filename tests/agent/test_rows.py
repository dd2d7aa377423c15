"""What people see of VMs: where they are, on their way, or lost."""

from __future__ import annotations

from lucos.agent.rows import ve_rows, vm_rows
from lucos.environments.messages import Surveyed
from lucos.model import Instance, Node, Resources, VeState, VirtualEnvironment, VmSpec, VmState
from lucos.resources.messages import Snapshot, VmView

SPECS = [VmSpec(f"shop.web{i}", "shop", "mini", workload="tick") for i in (1, 2, 3)]
SHOP = VirtualEnvironment("shop", tuple(SPECS), state=VeState.RUNNING)


def snapshot(node: str, *vms: VmSpec, incoming: tuple[str, ...] = (), to: str = "") -> Snapshot:
    views = tuple(
        VmView(Instance(vm, node, VmState.RUNNING, Resources(5.0, 96.0)), 4.0, vm.workload, to) for vm in vms
    )
    return Snapshot(1, Node(node, Resources(100.0, 1024.0)), views, Resources(), 0, "", "", incoming)


def survey(*snapshots: Snapshot, ves: tuple[VirtualEnvironment, ...] = (SHOP,)) -> Surveyed:
    return Surveyed(1, {s.node.name: s for s in snapshots}, (), ves)


def test_vms_that_no_host_has_are_lost() -> None:
    rows = vm_rows(survey(snapshot("h1", SPECS[0]), snapshot("h2", SPECS[1])))
    assert [(r.id, r.state, r.node) for r in rows] == [
        ("shop.web1", "running", "h1"),
        ("shop.web2", "running", "h2"),
        ("shop.web3", "lost", ""),
    ]


def test_a_vm_between_two_hosts_is_not_lost() -> None:
    between = survey(snapshot("h1", *SPECS[:2]), snapshot("h2", incoming=("shop.web3",)))
    assert [(r.state, r.node) for r in vm_rows(between)][2] == ("running", "h2")


def test_a_vm_seen_at_both_ends_of_its_move_is_shown_once() -> None:
    both = survey(snapshot("h1", *SPECS, to="h2"), snapshot("h2", SPECS[2]))
    assert [r.id for r in vm_rows(both)] == ["shop.web1", "shop.web2", "shop.web3"]


def test_a_ve_that_waits_has_no_lost_vms() -> None:
    waiting = VirtualEnvironment("shop", tuple(SPECS), state=VeState.WAITING)
    assert vm_rows(survey(snapshot("h1"), ves=(waiting,))) == []


def test_ve_rows_count_what_runs() -> None:
    (row,) = ve_rows(survey(snapshot("h1", SPECS[0]), snapshot("h2", SPECS[1])))
    assert (row.vms, row.running, row.nodes) == (3, 2, ("h1", "h2"))
