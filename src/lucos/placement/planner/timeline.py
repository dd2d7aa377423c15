"""Time over a model of placement: when each VM and node acts, what is held meanwhile, and by whom.

A VM holds its node until its action ends (what it keeps, from then on), and its new node from the start of
the action. Cumulatives judge every instant; the rows of `exact.rules` judge the result.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from lucos.model import BootNode
from lucos.placement.arrays import NOWHERE, SLEEPING
from lucos.placement.constraints.lowered import usage_now
from lucos.placement.exact.cpsat import negated
from lucos.placement.exact.rules import Encoder
from lucos.placement.planner.actions import ticks_of, vm_ticks
from lucos.placement.planner.timing import Span, TimedModel
from lucos.placement.primitives import Online, Total

Literals = tuple[int, ...]


class Act(msgspec.Struct, eq=False):
    """The one action a VM may take. `stays`: the literal that it keeps its node; None: it does not.

    `comes` are (literal, node) of the nodes it may enter. `host` is the node it runs on now, or NOWHERE.
    """

    vm: int
    start: int
    end: int
    host: int
    stays: int | None = None
    comes: list[tuple[int, int]] = []
    migrates: bool = False

    @property
    def leaves(self) -> Literals:
        """Given when it leaves its node, or comes to one from none."""
        return () if self.stays is None else (negated(self.stays),)


class Switch(msgspec.Struct, eq=False):
    """A node that may be switched on or off; `given` is true when it is."""

    node: int
    start: int
    end: int
    given: Literals


class Holding(msgspec.Struct, eq=False):
    """Intervals with what they hold of a node, [R + 1] (the last counts VMs); `most`: all at once."""

    spans: list[tuple[int, list[int]]] = []
    most: list[int] = []


class Timeline:
    """Variables and rows for times, over an encoded placement whose model is a `TimedModel`."""

    def __init__(self, encoder: Encoder, model: TimedModel, pair_ticks: list[int]) -> None:
        self.encoder, self.model, self.arrays = encoder, model, encoder.arrays
        self.choices, self.pair_ticks = encoder.choices, pair_ticks
        self._busy = {
            step.action.vm: ticks_of(self.arrays, step.end_s) for step in self.arrays.problem.ongoing
        }
        # Nodes that are being booted already, and for how long yet (ticks).
        self.booting = {
            self.arrays.node_index[step.action.node]: ticks_of(self.arrays, step.end_s)
            for step in self.arrays.problem.ongoing
            if isinstance(step.action, BootNode)
        }
        self.acts: dict[int, Act] = {}
        for row in range(len(self.choices.vms)):
            self._placed(row)
        for vm in np.flatnonzero(~self.arrays.runs & (self.arrays.target != self.arrays.state)).tolist():
            self._stopped(vm)
        self.switches: dict[int, Switch] = dict(self._switches())
        # (VM, "pause" or "unpause") -> start and end.
        self.pauses: dict[tuple[int, str], tuple[int, int]] = {}

    def _earliest(self, vm: int) -> int:
        return self.model.units_up(self._busy.get(self.arrays.vms[vm], 0))

    def _placed(self, row: int) -> None:
        """The action of a VM that the model places; none when it can but stay as it is."""
        arrays, model = self.arrays, self.model
        vm = int(self.choices.vms[row])
        pairs = range(int(self.choices.first[row]), int(self.choices.first[row + 1]))
        nodes = self.choices.node[pairs.start : pairs.stop].tolist()
        host = int(arrays.host[vm]) if arrays.runs_now[vm] else NOWHERE
        comes = [(p, n) for p, n in zip(pairs, nodes, strict=True) if n != host]
        stays = next((p for p, n in zip(pairs, nodes, strict=True) if n == host), None)
        changed = bool(np.any(arrays.need[vm] != arrays.use[vm]))
        if not comes and not changed:
            return
        act = Act(vm, model.time(), model.time(), host, stays, comes, host != NOWHERE)
        lengths = [model.units_up(self.pair_ticks[p]) for p in pairs]
        model.linear((act.end, act.start, *pairs), (1, -1, *(-t for t in lengths)), low=0, high=0)
        given: Literals = ()
        if stays is not None and not changed:
            model.at(act.end, 0, (stays,))
            given = act.leaves
        if earliest := self._earliest(vm):
            model.linear((act.start,), (1,), low=earliest, given=given)
        self.acts[vm] = act

    def pause(self, vm: int, kind: str) -> tuple[int, int]:
        """The instants at which pausing or unpausing the VM starts and ends."""
        start, end = self.model.time(), self.model.time()
        length = self.model.units_up(vm_ticks(self.arrays, kind, vm))
        self.model.linear((end, start), (1, -1), low=length, high=length)
        self.pauses[vm, kind] = start, end
        return start, end

    def _stopped(self, vm: int) -> None:
        arrays, model = self.arrays, self.model
        host = int(arrays.host[vm]) if arrays.runs_now[vm] else NOWHERE
        act = Act(vm, model.time(), model.time(), host)
        length = model.units_up(int(arrays.change_ticks[vm]))
        model.linear((act.end, act.start), (1, -1), low=length, high=length)
        model.linear((act.start,), (1,), low=self._earliest(vm))
        self.acts[vm] = act

    def _switches(self) -> Iterator[tuple[int, Switch]]:
        """Nodes are on before anybody enters, and off after everybody and every image has left."""
        arrays, model = self.arrays, self.model
        for node in range(len(arrays.nodes)):
            on, was_on = int(self.encoder.online[node]), bool(arrays.online[node])
            if on == (Encoder.ON if was_on else Encoder.OFF):
                continue
            given: Literals = () if on < 0 else (negated(on) if was_on else on,)
            switch = Switch(node, model.time(), model.time(), given)
            length = model.units_up(self.booting.get(node, int(arrays.node_ticks[node])))
            model.linear((switch.end, switch.start), (1, -1), low=length, high=length, given=given)
            if node in self.booting:
                model.at(switch.start, 0)
            if given:
                for instant in (switch.start, switch.end):
                    model.at(instant, 0, (negated(given[0]),))
            for act in self.acts.values():
                if was_on and (act.host == node or self._image(act.vm) == node):
                    model.after(switch.start, act.end, given)
                for literal, there in act.comes:
                    if there == node and not was_on:
                        model.after(act.start, switch.end, (literal,))
            yield node, switch

    def _image(self, vm: int) -> int:
        return int(self.arrays.host[vm]) if self.arrays.state[vm] == SLEEPING else NOWHERE

    def _holdings(self) -> dict[int, Holding]:
        """What acts hold of each node."""
        arrays, model = self.arrays, self.model
        use = np.hstack([arrays.use, np.ones((len(arrays.vms), 1), np.int64)])
        need = np.hstack([arrays.need, np.ones((len(arrays.vms), 1), np.int64)])
        found: dict[int, Holding] = {}

        def hold(node: int, span: int, amounts: list[int]) -> Holding:
            holding = found.setdefault(node, Holding([], [0] * (len(arrays.resources) + 1)))
            holding.spans.append((span, amounts))
            return holding

        def grow(holding: Holding, amounts: list[int]) -> None:
            holding.most = [a + b for a, b in zip(holding.most, amounts, strict=True)]

        for vm, act in self.acts.items():
            had, gets = use[vm].tolist(), need[vm].tolist()
            if act.host != NOWHERE:
                holding = hold(act.host, model.until(act.end), had)
                peak = had
                if act.stays is not None:
                    hold(act.host, model.since(act.end, (act.stays,)), gets)
                    more = [max(g - h, 0) for g, h in zip(gets, had, strict=True)]
                    peak = [h + m for h, m in zip(had, more, strict=True)]
                    if any(more):
                        hold(act.host, model.between(act.start, act.end, (act.stays,)), more)
                grow(holding, peak)
            for literal, node in act.comes:
                grow(hold(node, model.since(act.start, (literal,)), gets), gets)
        for node, vm, ticks in arrays.leaving:
            until = model.units_up(ticks)
            span = model.until(model.integer(until, until))
            grow(hold(node, span, use[vm].tolist()), use[vm].tolist())
        return found

    def bind_room(self, totals: list[Total]) -> None:
        """Capacities and standing totals at every instant; no node gets fuller than it was or may be."""
        arrays, now = self.arrays, usage_now(self.arrays)
        still = now.copy()
        for act in self.acts.values():
            if act.host != NOWHERE:
                still[act.host, :-1] -= arrays.use[act.vm]
                still[act.host, -1] -= 1
        for node, vm, _ in arrays.leaving:
            still[node, :-1] -= arrays.use[vm]
            still[node, -1] -= 1
        holdings = self._holdings()
        for node, holding in holdings.items():
            room = np.maximum(arrays.capacity[node], now[node, :-1]) - still[node, :-1]
            for resource in range(len(arrays.resources)):
                self._bound([holding], resource, int(room[resource]))
        for total in totals:
            inside = [holding for node, holding in holdings.items() if total.nodes[node]]
            room = total.limit - int(still[total.nodes, total.resource].sum())
            self._bound(inside, total.resource, room)

    def _bound(self, holdings: list[Holding], resource: int, room: int) -> None:
        if sum(holding.most[resource] for holding in holdings) <= room:
            return
        spans: list[Span] = [
            (span, amounts[resource])
            for holding in holdings
            for span, amounts in holding.spans
            if amounts[resource]
        ]
        self.model.cumulative(spans, room)

    def bind_online(self, rule: Online) -> None:
        """A node counts from the start of its boot, and until the end of its shutdown."""
        model, spans, kept = self.model, list[Span](), 0
        for node in np.flatnonzero(rule.nodes).tolist():
            switch = self.switches.get(node)
            if switch is None:
                kept += int(self.arrays.online[node])
            elif self.arrays.online[node]:
                spans.append((model.until(switch.end, switch.given), 1))
                spans += [(model.always((negated(g),)), 1) for g in switch.given]
            else:
                spans.append((model.since(switch.start, switch.given), 1))
        if len(spans) + kept > rule.limit:
            model.cumulative(spans, rule.limit - kept)
