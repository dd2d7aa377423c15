"""What is explored: the nodes of a case, what may happen to them, and the laws that must hold throughout."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from lucos.actors import Message
from lucos.simulator.explore.node import Emitted, ExploredNode, Letter, Sent


class Bounds(NamedTuple):
    """How much may go wrong in one execution; without any of it, letters arrive before the next alarm rings.

    `crashes` of agents and their `returns` (the others return in the end), `losses` of letters between nodes,
    `overtakes`: how often time may pass while letters are under way, `waits`: the same while only things are
    under way that take as long as they like (`Slow`, news of a death, orders from outside). `passes` is how
    often time may pass at all before exploration ends.
    """

    crashes: int = 0
    returns: int = 0
    losses: int = 0
    overtakes: int = 0
    waits: int = 0
    passes: int = 1_000_000


class Told(NamedTuple):
    """What one step did, for laws that compare before and after; `facts` are of the node that stepped."""

    node: str
    facts: Any
    facts_before: Any
    sent: tuple[Sent, ...]
    emitted: tuple[Emitted, ...]


class Case:
    """A small world to explore. `name` names it in replays; subclasses say what is in it.

    Messages of the types in `inert` change nothing whoever gets them, and are not sent.
    `ignored` (`Class.attribute`) and `memory_s` (how far back the past matters) shape what counts as the same
    state, and must not hide anything that behaviour depends on. With `ends_at_rest` a story is over when the
    world has come to rest. Exploration begins after `rings_before` alarms, when `ready`.
    """

    name = ""
    nodes: tuple[str, ...] = ()
    bounds = Bounds()
    inert: tuple[type[Message], ...] = ()
    ignored: tuple[str, ...] = ()
    memory_s = 0.0
    ends_at_rest = True
    rings_before = 0

    def build(self, node: ExploredNode) -> None:
        """Spawn what outlives a crash of the agent, and name it in `node.hardware`."""

    def boot(self, node: ExploredNode) -> None:
        """Spawn the actors of the agent; again after each crash."""
        raise NotImplementedError

    def orders(self) -> Iterable[tuple[str, Letter]]:
        """Letters from outside and the nodes they are for; each comes at any time, in any order."""
        return ()

    def news(self, _node: str, _up: bool) -> Iterable[tuple[str, Letter]]:
        """Who hears of it when a node crashed or came back; each takes as long as it likes, in order."""
        return ()

    def ready(self, _facts: tuple[Any, ...]) -> bool:
        """Whether the world, left in peace, has come to where exploration begins."""
        return True

    # --- laws ---------------------------------------------------------------------------------------

    def facts(self, node: ExploredNode) -> Any:
        """What laws need to know of a node."""
        raise NotImplementedError

    def ledger(self) -> Hashable:
        """What laws remember of the past at the beginning."""
        return ()

    def account(self, ledger: Any, _told: Told) -> tuple[Hashable, str]:
        """The ledger after a step, and which law the step broke ("" for none)."""
        return ledger, ""

    def crashed(self, ledger: Any, _node: str, _facts: tuple[Any, ...]) -> Any:
        """The ledger after a crash of a node; `_facts` are those before it."""
        return ledger

    def broken(self, facts: tuple[Any, ...], ledger: Any) -> str:
        """Which law does not hold in this state, "" when all do."""
        raise NotImplementedError

    def released(self, _facts: tuple[Any, ...]) -> bool:
        """Whether all that must end also with crashed nodes gone for good has ended."""
        return True

    def rested(self, facts: tuple[Any, ...]) -> bool:
        """Whether all that must come to an end has. Left in peace (nothing goes wrong any more) it must come
        from every state: first `released`, then the crashed nodes are back, then this."""
        raise NotImplementedError
