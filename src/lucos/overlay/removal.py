"""Declaring a node left for good because a human says so: never one that answers."""

from __future__ import annotations

from lucos.actors import Calls, address, node_of
from lucos.overlay.beliefs import Beliefs, Parts
from lucos.overlay.finder import Finder
from lucos.overlay.members import Member, Status
from lucos.overlay.messages import MEMBERSHIP, Remove, Removed, SwimRemovalEnds
from lucos.overlay.prober import Prober
from lucos.overlay.ring import ring_position

# The node is asked so often, at this interval, before it counts as silent.
TRIES = 4
INTERVAL_S = 0.3
FORWARD_TIMEOUT_S = 3.0


class Removals:
    """`pending` has the nodes that are asked whether they are there."""

    def __init__(self, parts: Parts, beliefs: Beliefs, prober: Prober, finder: Finder, calls: Calls) -> None:
        self._world, _, _, self._table, _ = parts
        self._beliefs = beliefs
        self._prober = prober
        self._finder = finder
        self._calls = calls
        self.pending: dict[str, tuple[int, str]] = {}

    def remove(self, message: Remove, sender: str) -> None:
        """Ask the node first; who does not hold it passes the order on to the owner of its name."""
        node = message.node
        known = self._table.members.get(node)
        if node == self._world.node:
            self._refuse(
                message, sender, f"{node} is the node that was asked to do it: stop its agent instead"
            )
        elif node in self.pending:
            self._refuse(message, sender, f"{node} is being removed already")
        elif known is not None and known.status is Status.LEFT:
            self._world.send(sender, Removed(message.call_id, True))
        elif known is not None:
            self.pending[node] = (message.call_id, sender)
            self._try(node, 1)
        elif node_of(sender) == self._world.node:
            self._finder.find(ring_position(node), lambda holders, _: self._pass_on(message, sender, holders))
        else:
            self._refuse(message, sender, f"no member is called {node}")

    def answers(self, node: str) -> None:
        """`node` was heard of while it is being removed."""
        call_id, sender = self.pending.pop(node)
        error = f"{node} answers: stop its agent first (luc agent), then remove it"
        self._world.send(sender, Removed(call_id, False, error))

    def go_on(self, message: SwimRemovalEnds) -> None:
        """Ask again; at last declare it."""
        node = message.node
        if node not in self.pending:
            return
        if node in self._table.members and message.tries < TRIES:
            self._try(node, message.tries + 1)
            return
        call_id, sender = self.pending.pop(node)
        if node in self._table.members:
            self._beliefs.accuse(node, Status.LEFT)
        # One that was forgotten meanwhile is gone as well.
        self._world.send(sender, Removed(call_id, True))

    def _try(self, node: str, tries: int) -> None:
        self._prober.ping(node)
        self._world.after(INTERVAL_S, SwimRemovalEnds(node, tries))

    def _pass_on(self, message: Remove, sender: str, holders: tuple[Member, ...]) -> None:
        owner = holders[0].node if holders else ""
        if owner in ("", self._world.node):
            self._refuse(message, sender, f"no member is called {message.node}")
            return

        def done(answer: Removed | None) -> None:
            error = answer.error if answer else f"{owner}, which would know {message.node}, does not answer"
            self._world.send(sender, Removed(message.call_id, bool(answer and answer.ok), error))

        to = address(owner, MEMBERSHIP)
        self._calls.ask(to, lambda call_id: Remove(call_id, message.node), FORWARD_TIMEOUT_S, done)

    def _refuse(self, message: Remove, sender: str, error: str) -> None:
        self._world.send(sender, Removed(message.call_id, False, error))
