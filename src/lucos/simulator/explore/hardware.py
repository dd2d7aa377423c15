"""What stands around the explored trackers: hypervisors with a few VMs, a solver, a membership that is told.

They speak the production ports' messages and take as long as they like: what they do next is a `Slow` message
of their own. Hypervisors outlive crashes of agents.
"""

from __future__ import annotations

import msgspec

from lucos.actors import Actor, Message, World, address, node_of
from lucos.actors.ports import (
    HYPERVISOR,
    DomainChanged,
    Perform,
    Performed,
    Sample,
    Sampled,
    Solve,
    Solved,
    Subscribe,
    VmSample,
)
from lucos.model import Migrate, VmSpec, VmState
from lucos.overlay import Change, Member, MembersChanged, Status
from lucos.overlay.messages import Watch
from lucos.placement.worker import Request, answer
from lucos.simulator.explore.node import Slow


class Carry(Slow, frozen=True):
    """A source begins to send a VM."""

    spec: VmSpec


class Arrive(Slow, frozen=True):
    """To oneself: all of the VM is here, and it runs here from now on."""

    vm: str
    source: str


class Carried(Slow, frozen=True):
    """To the source: its VM runs at the destination, or could not be taken in."""

    vm: str
    ok: bool


class Domain(msgspec.Struct):
    """`moving` is "" for a VM that runs here and stays, `out` for one sent away, `in` for one to come."""

    spec: VmSpec
    moving: str = ""


class Hypervisor(Actor):
    """The Hypervisor port for guests that only ever migrate."""

    def __init__(self, world: World, specs: tuple[VmSpec, ...]) -> None:
        super().__init__(world)
        self.domains = {spec.id: Domain(spec) for spec in specs}
        self._listener = ""
        self._asked: dict[str, tuple[str, int]] = {}

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case Subscribe():
                self._listener = sender
            case Sample(call_id=call_id):
                self.world.send(sender, Sampled(call_id, self.world.now_s(), self._samples()))
            case Perform(call_id=call_id, action=Migrate() as action):
                self._migrate(action, call_id, sender)
            case Perform(call_id=call_id):
                self.world.send(sender, Performed(call_id, False, "only migrations here", "Refused"))
            case Carry(spec=spec):
                self._take_in(spec, node_of(sender))
            case Arrive(vm=vm, source=source):
                self.domains[vm].moving = ""
                self._tell(vm, "arrived")
                self.world.send(address(source, HYPERVISOR), Carried(vm, True))
            case Carried():
                self._carried(message)

    def _samples(self) -> tuple[VmSample, ...]:
        return tuple(
            VmSample(d.spec, VmState.RUNNING, incoming=d.moving == "in", migrating=d.moving == "out")
            for d in self.domains.values()
        )

    def _migrate(self, action: Migrate, call_id: int, asker: str) -> None:
        domain = self.domains.get(action.vm)
        if domain is None or domain.moving:
            self.world.send(asker, Performed(call_id, False, f"{action.vm} is not here or busy", "Refused"))
            return
        domain.moving = "out"
        self._asked[action.vm] = asker, call_id
        self.world.send(address(action.destination, HYPERVISOR), Carry(domain.spec))

    def _take_in(self, spec: VmSpec, source: str) -> None:
        if spec.id in self.domains:
            self.world.send(address(source, HYPERVISOR), Carried(spec.id, False))
            return
        self.domains[spec.id] = Domain(spec, "in")
        self._tell(spec.id, "incoming")
        self.world.send(HYPERVISOR, Arrive(spec.id, source))

    def _carried(self, message: Carried) -> None:
        vm = message.vm
        asker, call_id = self._asked.pop(vm)
        if message.ok:
            self._tell(vm, "left")
            del self.domains[vm]
        else:
            self.domains[vm].moving = ""
        self.world.send(asker, Performed(call_id, message.ok, "" if message.ok else "refused there"))

    def _tell(self, vm: str, change: str) -> None:
        if self._listener:
            self.world.send(self._listener, DomainChanged(vm, change, spec=self.domains[vm].spec))


class Thought(Slow, frozen=True):
    request: Solve
    asker: str


class Solver(Actor):
    """The Solver port: production solving, ending whenever it likes."""

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case Solve():
                self.world.send(self.world.name, Thought(message, sender))
            case Thought(request=request, asker=asker):
                found = answer(Request(request.problem, request.budget, request.deadline_s))
                self.world.send(asker, Solved(request.call_id, found.solution, found.error, found.kind))


class News(Slow, frozen=True):
    """A node died, or is back."""

    node: str
    up: bool


class Told(Actor):
    """The overlay for trackers: everybody is there until told otherwise."""

    def __init__(self, world: World, nodes: tuple[str, ...]) -> None:
        super().__init__(world)
        self._status = dict.fromkeys(nodes, Status.ALIVE)
        self._watchers: list[str] = []

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case Watch():
                self._watchers.append(sender)
                self.world.send(sender, self._members(()))
            case News(node=node, up=up):
                after = Status.ALIVE if up else Status.DEAD
                change = Change(node, self._status[node], after)
                self._status[node] = after
                for watcher in self._watchers:
                    self.world.send(watcher, self._members((change,)))

    def _members(self, changed: tuple[Change, ...]) -> MembersChanged:
        members = (Member(name, name, 1, 1, status=status) for name, status in self._status.items())
        return MembersChanged(tuple(members), changed)
