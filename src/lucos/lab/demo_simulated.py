"""The demo in the simulated world: the same trackers and the same story, without root or QEMU."""

from __future__ import annotations

from collections.abc import Callable

from lucos.actors import address
from lucos.actors.simulated import Link, Network
from lucos.environments.messages import ENVIRONMENTS, RunVe
from lucos.errors import OperationFailed
from lucos.lab.account import Account, Report, Say
from lucos.lab.demo import BUSY_PCT, CPUS, HOSTS, NEAR_FULL_PCT, RTT_MS, SITES, demo_ve
from lucos.model import Resources
from lucos.overlay import successor_order
from lucos.resources.messages import HOST, SetLoad
from lucos.simulator import SimulatedLuc

SEED = 1


def run_simulated(say: Say) -> Account:
    """Play the demo in virtual time."""
    ve = demo_ve()
    network = Network(between=Link(RTT_MS))
    luc = SimulatedLuc.small(
        SEED, HOSTS, sites=SITES, capacity=Resources(100.0 * CPUS, 1024.0), network=network
    )
    simulation = luc.simulation
    hypervisor = {"kind": "simulated", "accel": "simulated", "qemu": "", "libvirt": ""}
    account = Account(Report(HOSTS, len(ve.vms), dict(hypervisor)), say, 0.0)
    heard = 0

    def listen() -> None:
        nonlocal heard
        for event in simulation.events[heard:]:
            account.hear(event)
        heard = len(simulation.events)

    simulation.after_each.append(listen)

    def wait(what: str, done: Callable[[], bool], timeout_s: float) -> None:
        if not simulation.run(simulation.now_s + timeout_s, stop=done):
            raise OperationFailed(f"{what}: not within {timeout_s:g} s of virtual time")

    def where() -> dict[str, str]:
        places = {vm: nodes[0] for vm, nodes in sorted(luc.fleet.running().items())}
        account.check_rules(ve.constraints, places)
        return places

    def load(vm: str, node: str, workload: str) -> None:
        order = SetLoad(0, vm, workload)
        simulation.transmit(node, "demo", address(node, HOST), order)

    def clock() -> float:
        return simulation.now_s

    with account.phase("lab", f"A simulated LUC: {HOSTS} hosts on {SITES} sites, {RTT_MS:g} ms apart", clock):
        luc.settle()
    with account.phase("run", f"{len(ve.vms)} VMs in three tiers, with rules", clock):
        simulation.transmit("h1", "demo", address("h1", ENVIRONMENTS), RunVe(0, ve))
        wait("the VMs", lambda: len(luc.fleet.running()) == len(ve.vms), 60.0)
        simulation.run(simulation.now_s + 25.0)
        for vm, node in where().items():
            say(f"  {vm} on {node}")
    places = where()
    busiest = max(luc.names, key=lambda n: (sum(h == n for h in places.values()), n))
    neighbour = successor_order(luc.names, busiest)[0]
    text = f"{busiest}'s VMs get busy; {neighbour}, its neighbour on the ring, has no room"
    with account.phase("overload", text, clock):
        full = next(vm for vm, node in places.items() if node == neighbour)
        load(full, neighbour, f"tick+cpu:{NEAR_FULL_PCT}")
        busy = [vm for vm, node in places.items() if node == busiest]
        for vm in busy:
            load(vm, busiest, f"tick+cpu:{BUSY_PCT // len(busy)}")
        wait("an overload", lambda: bool(account.report.violations), 60.0)
        wait("relief", lambda: not account.open_violations(), 120.0)
    for vm, node in where().items():
        load(vm, node, "tick")
    simulation.run(simulation.now_s + 10.0)
    victim = luc.names[-1]
    with account.phase("drain", f"{victim} is drained: its VMs move away", clock):
        luc.drain(victim)
        wait("the drain", lambda: victim not in where().values(), 120.0)
        wait("its relief", lambda: not account.open_violations(), 30.0)
    with account.phase("kill", f"{victim} is killed", clock):
        account.killed(victim, simulation.now_s)
        luc.fleet.crash_host(victim)
        wait("detection", lambda: len(account.report.detections) == HOSTS - 1, 30.0)
    account.report.vms_lost = [vm.id for vm in ve.vms if vm.id not in where()]
    return account
