"""Those who ask simulated hosts for VMs, as people do: VMs that come and go, and VMs that boot again.

They are an actor on a machine of their own, and know of VMs only what host actors answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from lucos.actors import Actor, Calls, Message, World, address
from lucos.model import Boot, Kill, VmSpec
from lucos.resources.messages import HOST, Execute, Executed
from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.injectors import demands, generator
from lucos.simulator.scenario import Scenario

NODE, ACTOR = "clients", "clients"
_ANSWER_S = 120.0
_AGAIN_S = 10.0


class _Asker(Actor):
    """Sends orders to host actors and matches their answers."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.calls = Calls(world)

    def receive(self, message: Message, sender: str) -> None:  # noqa: ARG002
        self.calls.settle(message)


class Clients:
    """The [arrivals] of `scenario` in `luc`, their times counted from now, and `restart` for others.

    `begins` and `ends` are told a VM that runs, and one that is about to be stopped. `wanted_pct` is what the
    load last asked of each VM.
    """

    def __init__(self, luc: SimulatedLuc, scenario: Scenario, seed: int) -> None:
        self.begins: list[Callable[[str], None]] = []
        self.ends: list[Callable[[str], None]] = []
        self.counts: Counter[str] = Counter()
        self.wanted_pct: dict[str, float] = {}
        self._luc = luc
        self._simulation = luc.simulation
        self._scenario = scenario
        self._random = Random(f"{seed}/clients")
        self._demands = generator(seed, "arrivals")
        self._asker: _Asker
        node = luc.simulation.add_node(NODE, lambda node: node.spawn(ACTOR, self._hire))
        node.start()
        if scenario.arrivals.interval_s:
            self._wait()

    def _hire(self, world: World) -> _Asker:
        self._asker = _Asker(world)
        return self._asker

    def restart(self, spec: VmSpec, host: str) -> None:
        """Boot a VM that was lost, on `host` if it can be."""
        if not self._luc.fleet.where(spec.id):
            self._boot(spec, host, self._scenario.arrivals.tries, lambda: None)

    # --- VMs that come and go -----------------------------------------------------------------------------

    def _wait(self) -> None:
        delay_s = self._random.expovariate(1.0 / self._scenario.arrivals.interval_s)
        self._simulation.schedule(delay_s, self._arrive)

    def _arrive(self) -> None:
        table, arrivals = self._scenario.vms, self._scenario.arrivals
        self.counts["arrived"] += 1
        name = f"new.vm{self.counts['arrived']}"
        spec = VmSpec(name, "new", "mini", cpu=table.cpu, memory_mib=table.memory_mib)
        self.wanted_pct[name] = float(demands(self._scenario.load, self._demands, 1)[0]) * table.cpu
        lifetime_s = self._random.expovariate(1.0 / arrivals.lifetime_s) if arrivals.lifetime_s else 0.0

        def runs() -> None:
            if lifetime_s:
                self._simulation.schedule(lifetime_s, lambda: self._depart(name))

        self._boot(spec, self._random.choice(self._luc.names), arrivals.tries, runs)
        self._wait()

    def _depart(self, vm: str) -> None:
        where = self._luc.fleet.where(vm)
        if not where:
            return
        for tell in self.ends:
            tell(vm)

        def answered(answer: Executed | None) -> None:
            if answer is not None and answer.ok:
                self.counts["departed"] += 1
            else:
                # It is being moved, say.
                self._simulation.schedule(_AGAIN_S, lambda: self._depart(vm))

        self._ask(where, lambda call: Execute(call, Kill(vm, where), "its life is over"), answered)

    # --- Boots --------------------------------------------------------------------------------------------

    def _boot(self, spec: VmSpec, host: str, tries: int, runs: Callable[[], None]) -> None:
        """Offer the VM to `host`, then to others at random."""

        def answered(answer: Executed | None) -> None:
            if answer is not None and answer.ok:
                self._luc.fleet.set_demand(spec.id, self.wanted_pct.get(spec.id, 0.0))
                for tell in self.begins:
                    tell(spec.id)
                runs()
            elif tries > 1 and not self._luc.fleet.where(spec.id):
                self._boot(spec, self._random.choice(self._luc.names), tries - 1, runs)
            else:
                self.counts["refused"] += 1

        self._ask(host, lambda call: Execute(call, Boot(spec.id, host), "asked to run", spec), answered)

    def _ask(
        self, host: str, order: Callable[[int], Execute], then: Callable[[Executed | None], None]
    ) -> None:
        self._asker.calls.ask(address(host, HOST), order, _ANSWER_S, then)
