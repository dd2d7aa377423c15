"""The simulated registry: one linearizable store for all nodes, and the adapter of one node to it."""

from __future__ import annotations

from lucos.actors.message import Message
from lucos.actors.ports import (
    Record,
    RegistryDelete,
    RegistryGet,
    RegistryLease,
    RegistryPut,
    RegistryReply,
)
from lucos.actors.records import after_write
from lucos.actors.world import Actor, World

Request = RegistryGet | RegistryPut | RegistryDelete | RegistryLease


class SimulatedRegistryStore:
    """Records by key; a request takes effect in one instant, half of `delay_s` after it was made.

    Fault injection: `unavailable` fails the requests of all nodes, `cut_off` those of the nodes it names.
    """

    def __init__(self, delay_s: float = 0.002) -> None:
        self.delay_s = delay_s
        self.unavailable = False
        self.cut_off: set[str] = set()
        self.records: dict[str, Record] = {}

    def answer(self, node: str, request: Request, now_s: float) -> RegistryReply:
        if self.unavailable or node in self.cut_off:
            return RegistryReply(request.call_id, False, error=f"the registry does not answer {node}")
        if isinstance(request, RegistryGet):
            found = tuple(self.records[key] for key in sorted(self.records) if key.startswith(request.prefix))
            return RegistryReply(request.call_id, True, found)
        allowed, after = after_write(self.records.get(request.key), request, now_s)
        if allowed and after is None:
            self.records.pop(request.key, None)
        elif allowed and after is not None:
            self.records[request.key] = after
        return RegistryReply(request.call_id, allowed, (after,) if after else ())


class SimulatedRegistryHop(Message, frozen=True):
    """A request reaches the store, or its answer (`reply`) comes back."""

    request: Request
    sender: str
    reply: RegistryReply | None = None


class SimulatedRegistry(Actor):
    """The Registry port (`actors.ports`) of one simulated node."""

    def __init__(self, world: World, store: SimulatedRegistryStore) -> None:
        super().__init__(world)
        self._store = store

    def receive(self, message: Message, sender: str) -> None:
        half_s = self._store.delay_s / 2
        match message:
            case RegistryGet() | RegistryPut() | RegistryDelete() | RegistryLease():
                self.world.after(half_s, SimulatedRegistryHop(message, sender))
            case SimulatedRegistryHop(request=request, sender=asked_by, reply=None):
                reply = self._store.answer(self.world.node, request, self.world.now_s())
                self.world.after(half_s, SimulatedRegistryHop(request, asked_by, reply))
            case SimulatedRegistryHop(sender=asked_by, reply=RegistryReply() as reply):
                self.world.send(asked_by, reply)
