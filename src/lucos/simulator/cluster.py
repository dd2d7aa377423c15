"""A LUC in the simulated world: on each node the same trackers that an agent runs."""

from __future__ import annotations

from lucos.actors import World, address
from lucos.actors.ports import HYPERVISOR, REGISTRY, SOLVER
from lucos.actors.simulated import Network, SimulatedNode, Simulation
from lucos.actors.simulated.registry import SimulatedRegistry, SimulatedRegistryStore
from lucos.actors.simulated.solver import SimulatedSolver
from lucos.environments.messages import ENVIRONMENTS
from lucos.environments.tracker import Environments
from lucos.hypervisors.simulated import SimulatedFleet, SimulatedHypervisor
from lucos.model import Boot, Constraint, Migrate, Resources, VmSpec
from lucos.overlay import MEMBERSHIP, Member, Membership, MembershipSettings
from lucos.resources.dvms import Dvms, DvmsSettings
from lucos.resources.host import Host, HostSettings
from lucos.resources.messages import SCHEDULER, HOST, Execute, SetDraining

MEMBERSHIP_PORT = 7411


class SimulatedLuc:
    """`nodes` hosts `h1`.. spread over `sites`, each with `capacity`; ready once `settle` has returned."""

    def __init__(
        self,
        seed: int,
        nodes: int,
        *,
        sites: int = 1,
        capacity: Resources | None = None,
        network: Network | None = None,
        dvms: DvmsSettings | None = None,
    ) -> None:
        self.simulation = Simulation(seed, network)
        self.fleet = SimulatedFleet(self.simulation)
        self.registry = SimulatedRegistryStore()
        self.capacity = capacity or Resources(200.0, 4096.0)
        self.names = [f"h{i + 1}" for i in range(nodes)]
        self._dvms = dvms or DvmsSettings()
        self._sites = {name: f"s{i % sites + 1}" for i, name in enumerate(self.names)}
        self._seeds = tuple(f"{name}:{MEMBERSHIP_PORT}" for name in self.names[:2])
        for name in self.names:
            self.fleet.add_host(name, self.capacity)
            self.simulation.add_node(name, self._boot, self._sites[name])
        for name in self.names:
            self.simulation.nodes[name].start()

    def _boot(self, node: SimulatedNode) -> None:
        name = node.name
        me = Member(name, name, 7410, MEMBERSHIP_PORT, self._sites[name])
        settings = HostSettings(self.capacity, self._sites[name], name)

        def membership(world: World) -> Membership:
            return Membership(world, MembershipSettings(), me, self._seeds)

        node.spawn(HYPERVISOR, lambda world: SimulatedHypervisor(world, self.fleet))
        node.spawn(REGISTRY, lambda world: SimulatedRegistry(world, self.registry))
        node.spawn(SOLVER, SimulatedSolver)
        node.spawn(MEMBERSHIP, membership)
        node.spawn(HOST, lambda world: Host(world, settings))
        node.spawn(SCHEDULER, lambda world: Dvms(world, self._dvms))
        node.spawn(ENVIRONMENTS, Environments)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Run until every node knows all others."""

        def complete() -> bool:
            for name in self.names:
                actor = self.simulation.nodes[name].actor(MEMBERSHIP)
                if not isinstance(actor, Membership) or len(actor.members) < len(self.names):
                    return False
            return True

        if not self.simulation.run(self.simulation.now_s + timeout_s, stop=complete):
            raise RuntimeError(f"seed {self.simulation.seed}: the nodes did not find each other")
        self.simulation.run(self.simulation.now_s + 2.0)

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
