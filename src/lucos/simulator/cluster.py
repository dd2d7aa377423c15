"""A LUC in the simulated world: on each node the same trackers that an agent runs."""

from __future__ import annotations

import msgspec

from lucos.actors import Message, World, address
from lucos.actors.ports import HYPERVISOR, REGISTRY, SOLVER
from lucos.actors.simulated import Link, Network, SimulatedNode, Simulation
from lucos.actors.simulated.registry import SimulatedRegistry, SimulatedRegistryStore
from lucos.actors.simulated.solver import SimulatedSolver, SolverCost
from lucos.environments.messages import ENVIRONMENTS
from lucos.environments.tracker import Environments
from lucos.hypervisors.simulated import SimulatedFleet, SimulatedHypervisor
from lucos.hypervisors.simulated_host import FleetSettings
from lucos.model import Boot, Constraint, Migrate, Resources, VmSpec
from lucos.overlay import MEMBERSHIP, Member, Membership, MembershipSettings
from lucos.overlay.detection import draw_detection_s
from lucos.overlay.ring import Ring
from lucos.resources.dvms import Dvms
from lucos.resources.host import Host
from lucos.resources.host_settings import HostSettings
from lucos.resources.messages import HOST, SCHEDULER, Execute, SetDraining
from lucos.resources.strategies import SchedulerSettings, make_scheduler
from lucos.simulator.oracle import OracleMembership, OraclePlatform
from lucos.simulator.places import coordinates_of
from lucos.simulator.platform import HostPlan, Platform, SitePlan

MEMBERSHIP_PORT = 7411


class SimulatedLuc:
    """The hosts and VMs of `platform`, each host with its production actors.

    `overlay` is full (every ping is simulated; ready once `settle` has returned) or oracle (answered from the
    platform; ready at once). With `notices` monitors are told of changes by the hypervisor instead of looking
    each period, which costs nothing while nothing changes; what they see is the same.
    """

    def __init__(
        self,
        seed: int,
        platform: Platform,
        *,
        scheduler: SchedulerSettings | None = None,
        overlay: str = "full",
        host: HostSettings | None = None,
        membership: MembershipSettings | None = None,
        fleet: FleetSettings | None = None,
        solver: SolverCost | None = None,
        network: Network | None = None,
        environments: bool = True,
        keep_events: bool = True,
        count_bytes: bool = False,
    ) -> None:
        self.platform = platform
        self.simulation = Simulation(
            seed, network or network_of(platform), keep_events=keep_events, count_bytes=count_bytes
        )
        self.fleet = SimulatedFleet(self.simulation, fleet)
        self.registry = SimulatedRegistryStore()
        self.names = [plan.name for plan in platform.hosts]
        self.scheduler = scheduler or SchedulerSettings()
        self._host = host or HostSettings(Resources())
        self._membership = membership or MembershipSettings()
        self._solver = solver or SolverCost()
        self._environments = environments
        self._hosts = {plan.name: plan for plan in platform.hosts}
        self._seeds = tuple(f"{name}:{MEMBERSHIP_PORT}" for name in self.names[:2])
        for site in platform.sites:
            if site.backbone_mibps:
                self.fleet.set_backbone(site.name, site.backbone_mibps)
        for plan in platform.hosts:
            self.fleet.add_host(
                plan.name,
                plan.capacity,
                site=plan.site,
                link_mibps=plan.link_mibps,
                watts=plan.watts,
                standby_watts=plan.standby_watts,
            )
            self.simulation.add_node(plan.name, self._boot, plan.site)
        for vm in platform.vms:
            spec = VmSpec(
                vm.id,
                vm.id.partition(".")[0],
                "mini",
                cpu=vm.cpu,
                memory_mib=vm.memory_mib,
                constraints=vm.constraints,
            )
            self.fleet.place(spec, vm.host, cpu_pct=vm.cpu_pct, dirty_intensity=vm.dirty_intensity)
        self.oracle = self._oracle(seed) if overlay == "oracle" else None
        for name in self.names:
            self.simulation.nodes[name].start()

    @classmethod
    def small(
        cls,
        seed: int,
        nodes: int,
        *,
        sites: int = 1,
        capacity: Resources | None = None,
        network: Network | None = None,
        scheduler: SchedulerSettings | None = None,
        host: HostSettings | None = None,
        overlay: str = "full",
    ) -> SimulatedLuc:
        """`nodes` hosts `h1`.. spread over `sites` in turn, each with `capacity`."""
        room = capacity or Resources(200.0, 4096.0)
        hosts = tuple(
            HostPlan(f"h{i + 1}", f"s{i % sites + 1}", room, link_mibps=100.0) for i in range(nodes)
        )
        names = tuple(SitePlan(f"s{i + 1}") for i in range(sites))
        platform = Platform(names, hosts)
        return cls(seed, platform, scheduler=scheduler, network=network, host=host, overlay=overlay)

    def _oracle(self, seed: int) -> OraclePlatform:
        def tell(node: str, delay_s: float, message: Message) -> None:
            there = self.simulation.nodes[node]

            def arrive() -> None:
                if there.up:
                    there.deliver(MEMBERSHIP, address(node, MEMBERSHIP), message)

            self.simulation.schedule(delay_s, arrive, node=there)

        places = coordinates_of(self.platform)
        members = {
            plan.name: Member(
                plan.name, plan.name, 7410, MEMBERSHIP_PORT, plan.site, coordinate=places[plan.name]
            )
            for plan in self.platform.hosts
        }
        return OraclePlatform(members, draw_detection_s, tell, seed)

    def _boot(self, node: SimulatedNode) -> None:
        plan = self._hosts[node.name]
        host = msgspec.structs.replace(
            self._host, capacity=plan.capacity, site=plan.site, migration_address=plan.name
        )
        node.spawn(HYPERVISOR, lambda world: SimulatedHypervisor(world, self.fleet))
        node.spawn(REGISTRY, lambda world: SimulatedRegistry(world, self.registry))
        node.spawn(SOLVER, lambda world: SimulatedSolver(world, self._solver))
        node.spawn(MEMBERSHIP, self._overlay)
        node.spawn(HOST, lambda world: Host(world, host))
        node.spawn(SCHEDULER, lambda world: make_scheduler(world, self.scheduler))
        if self._environments:
            node.spawn(ENVIRONMENTS, Environments)

    def _overlay(self, world: World) -> Membership | OracleMembership:
        if self.oracle is not None:
            return OracleMembership(world, self.oracle)
        me = Member(world.node, world.node, 7410, MEMBERSHIP_PORT, self._hosts[world.node].site)
        return Membership(world, self._membership, me, self._seeds)

    @property
    def capacity(self) -> Resources:
        """That of the first host."""
        return self.platform.hosts[0].capacity

    def crash_host(self, name: str) -> None:
        """The host loses power, and its agent with it."""
        self.fleet.crash_host(name)
        if self.oracle is not None:
            self.oracle.crashed(name)

    def repair_host(self, name: str) -> None:
        """The host is powered on again, with its agent."""
        self.fleet.repair_host(name)
        if self.oracle is not None:
            self.oracle.returned(name)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Run until every node knows all others or, where views are bounded, its successor on the ring."""
        simulation, after = self.simulation, self._successors()
        until_s = simulation.now_s + timeout_s
        while not all(self._found(name, after[name]) for name in self.names):
            if simulation.now_s >= until_s:
                raise RuntimeError(f"seed {simulation.seed}: the nodes did not find each other")
            simulation.run(simulation.now_s + 0.5)
        simulation.run(simulation.now_s + 2.0)

    def _successors(self) -> dict[str, str]:
        ring = Ring(self.names).names
        return dict(zip(ring, (*ring[1:], ring[0]), strict=True))

    def _found(self, name: str, successor: str) -> bool:
        actor = self.simulation.nodes[name].actor(MEMBERSHIP)
        if not isinstance(actor, Membership):
            return False
        if len(self.names) <= self._membership.view_max // 2:
            return len(actor.members) == len(self.names)
        return actor.successors()[:1] == [successor]

    def boot(
        self,
        vm: str,
        node: str,
        cpu_pct: float,
        memory_mib: int = 256,
        constraints: tuple[Constraint, ...] = (),
    ) -> None:
        """Start `vm` (`ve.name`) on `node` as its host actor would be asked to."""
        spec = VmSpec(
            vm,
            vm.partition(".")[0],
            "mini",
            memory_mib=memory_mib,
            workload=f"cpu:{max(1, round(cpu_pct))}",
            constraints=constraints,
        )
        order = Execute(0, Boot(vm, node), "asked to run", spec)
        self.simulation.transmit(node, "test", address(node, HOST), order)

    def drain(self, node: str, draining: bool = True) -> None:
        self.simulation.transmit(node, "test", address(node, HOST), SetDraining(0, draining))

    def migrate(self, vm: str, source: str, destination: str) -> None:
        order = Execute(0, Migrate(vm, source, destination), "asked to migrate")
        self.simulation.transmit(source, "test", address(source, HOST), order)

    def dvms(self, node: str) -> Dvms | None:
        """The scheduler of a node whose agent is up."""
        actor = self.simulation.nodes[node].actor(SCHEDULER)
        return actor if isinstance(actor, Dvms) else None

    def host(self, node: str) -> Host | None:
        actor = self.simulation.nodes[node].actor(HOST)
        return actor if isinstance(actor, Host) else None


def network_of(platform: Platform) -> Network:
    """The latencies between the platform's sites."""
    links: dict[tuple[str, str], Link] = {
        (site.name, site.name): Link(site.local_rtt_ms, platform.jitter) for site in platform.sites
    }
    for (a, b), rtt_ms in platform.rtt_ms.items():
        links[a, b] = links[b, a] = Link(rtt_ms, platform.jitter)
    return Network(between=Link(platform.between_rtt_ms, platform.jitter), loss=platform.loss, sites=links)
