"""A small LUC under a scheduler that plans for many nodes at one of them, and checks of who obeys whom."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from lucos.actors import Message, address
from lucos.actors.simulated import Link, Network
from lucos.model import Event, Suspend
from lucos.resources import election as e
from lucos.resources.entropy import Entropy
from lucos.resources.messages import HOST, SCHEDULER, Execute, Executed, SetLoad
from lucos.resources.snooze import Snooze
from lucos.resources.snooze import messages as s
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator import Laws, SimulatedLuc
from support.transcript import Transcript, check_transcript

STORIES = Path(__file__).parent / "stories"


def show(message: Message) -> str | None:
    """Elections and groups; heartbeats, snapshots and gossip are left out."""
    match message:
        case e.Seek(seen=seen):
            return f"Seek: who leads? I last knew {seen or 'nobody'}"
        case e.Register(claim=claim):
            return f"Register: I follow {claim}"
        case s.Appoint(partition=partition):
            return f"Appoint: manage {partition}"
        case s.AskManager(silent=silent):
            return f"AskManager: whose group shall I join?{f' {silent} is silent' if silent else ''}"
        case s.Assigned(manager=manager):
            return f"Assigned: to {manager}"
        case s.Join(charge=charge):
            return f"Join: I hold {charge.vms} VMs"
        case s.Help(reason=reason):
            return f"Help: {reason}"
        case Executed(ok=ok, error=error):
            return f"Executed: {'ok' if ok else error}"
    return None


class Obedience:
    """Fails when an end of a move obeys another than who ordered it, unless its agent was restarted."""

    def __init__(self, luc: SimulatedLuc) -> None:
        self._luc = luc
        self._orders: dict[str, tuple[str, tuple[str, str], list[int]]] = {}
        self.moves = 0
        luc.simulation.listeners.append(self._hear)
        luc.simulation.after_each.append(self._check)

    def _hear(self, event: Event) -> None:
        if event.kind == "migration.start" and event.data["partition"]:
            self.moves += 1
            ends = (str(event.data["source"]), str(event.data["destination"]))
            born = [self._luc.simulation.nodes[end].generation for end in ends]
            self._orders[event.subject] = (str(event.data["partition"]), ends, born)
        elif event.kind in ("migration.end", "migration.failed"):
            self._orders.pop(event.subject, None)

    def _check(self) -> None:
        nodes = self._luc.simulation.nodes
        for vm, source, destination in self._luc.fleet.migrations():
            partition, ends, born = self._orders.get(vm, ("", ("", ""), []))
            if ends != (source, destination):
                continue
            for end, generation in zip(ends, born, strict=True):
                actor = nodes[end].actor(SCHEDULER)
                if isinstance(actor, Entropy | Snooze) and nodes[end].generation == generation:
                    when = f"seed {self._luc.simulation.seed}, {self._luc.simulation.now_s:.3f} s"
                    told = f"{when}: {vm} moves for {partition}, and {end} obeys {actor.partition}"
                    assert actor.partition == partition, told


class Story:
    """Nodes h1.. of 200 % CPU without jitter between them; `VMs` are told as node -> CPU of its VMs."""

    def __init__(self, scheduler: SchedulerSettings, nodes: int = 5) -> None:
        network = Network(local=Link(1.0, 0.0), between=Link(20.0, 0.0))
        self.luc = SimulatedLuc.small(1, nodes, network=network, scheduler=scheduler)
        self.simulation = self.luc.simulation
        self.laws = Laws(self.luc)
        self.obedience = Obedience(self.luc)
        self.luc.settle()
        self.simulation.run(20.0)

    def boot(self, vms: dict[str, int], cpu_pct: float = 10.0, memory_mib: int = 256) -> None:
        """So many calm VMs on each node, past their warm-up."""
        for node, count in vms.items():
            for letter in "abcdefgh"[:count]:
                self.luc.boot(f"ve.{node}{letter}", node, cpu_pct, memory_mib)
        self.pass_time(40.0)
        for vm in self.luc.fleet.running():
            self.laws.expect(vm)

    def load(self, node: str, *cpu_pct: int) -> None:
        """What the VMs that `boot` started on `node` want from now on, wherever they are."""
        places = self.luc.fleet.running()
        for letter, wanted in zip("abcdefgh", cpu_pct, strict=False):
            vm = f"ve.{node}{letter}"
            order = SetLoad(0, vm, f"cpu:{wanted}")
            self.simulation.transmit(places[vm][0], "test", address(places[vm][0], HOST), order)

    def suspend(self, vm: str, node: str) -> None:
        """As a plan does that ends before it resumes the VM."""
        order = Execute(0, Suspend(vm, node), "to make room")
        self.simulation.transmit(node, "test", address(node, HOST), order)
        assert self.simulation.run(self.simulation.now_s + 5.0, stop=lambda: self.luc.fleet.asleep() == {vm})

    def pass_time(self, seconds: float) -> None:
        self.simulation.run(self.simulation.now_s + seconds)

    def events(self, kind: str) -> list[Event]:
        return [event for event in self.simulation.events if event.kind == kind]

    def entropy(self, node: str) -> Entropy:
        return cast(Entropy, self.simulation.nodes[node].actor(SCHEDULER))

    def snooze(self, node: str) -> Snooze:
        return cast(Snooze, self.simulation.nodes[node].actor(SCHEDULER))

    def up(self) -> list[str]:
        return [name for name in self.luc.names if self.simulation.nodes[name].up]

    def transcript(self) -> Transcript:
        """From now on; what membership says is left out."""
        return Transcript(self.simulation, show, sees=lambda event: not event.kind.startswith("member"))

    def check(self) -> None:
        """All violations are over, no VM is lost or doubled, no actor failed."""
        self.laws.check_relieved()
        self.laws.check_vms()
        assert self.simulation.failures == []


def check_story(transcript: Transcript, name: str) -> None:
    check_transcript(transcript.text(), STORIES / f"{name}.txt")
