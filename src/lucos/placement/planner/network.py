"""Migrations over a network: which links they cross, how long they take with the bandwidth they get.

A migration takes the bandwidth that is free on its whole path when it starts and keeps it; it waits while
less than half of what the path can give is free. Its duration is that of pre-copy over two rates of dirtied
pages (a hot set rewritten all the time, and a cold rate), as in BtrPlace's mVM model.
"""

from __future__ import annotations

import math
from collections import deque

from lucos.model import Migrate
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Link, Network, Vm
from lucos.placement.planner.actions import Step, Work
from lucos.placement.precopy import BPS_PER_MIBPS, copy_s

Port = tuple[str, bool]
"""A link and its direction: True from its end up to its switch."""


def mibps(rate_bps: int) -> float:
    return rate_bps / BPS_PER_MIBPS


class Wires:
    """The network as pools of bandwidth (bit/s), one per direction of a link and per bounded switch."""

    def __init__(self, arrays: Arrays, network: Network) -> None:
        self._vms, self._names = arrays.problem.cluster.vms, arrays.vms
        self._tick_s = arrays.problem.durations.tick_s
        self._network = network
        self._links = {link.name: link for link in network.links}
        self._bounded = {s.name: s.capacity_mbps for s in network.switches if s.capacity_mbps is not None}
        self._ports: dict[str, list[Link]] = {}
        self._trunks: dict[str, list[tuple[str, Port]]] = {}
        for link in network.links:
            if link.end_is_node:
                self._ports.setdefault(link.end, []).append(link)
            else:
                self._trunks.setdefault(link.end, []).append((link.switch, (link.name, True)))
                self._trunks.setdefault(link.switch, []).append((link.end, (link.name, False)))
        self._trees: dict[str, dict[str, tuple[str, Port] | None]] = {}
        self._pools: dict[Port | str, int] = {}
        self._room: dict[int, int] = {}
        self._known_ticks: dict[tuple[int, int], int | None] = {}

    def connect(self, work: Work) -> None:
        """Give each migration its path; those that no path or bandwidth can carry become hopeless."""
        for step in work.steps:
            if not isinstance(step.action, Migrate):
                continue
            vm, (a, b) = self._vms[step.action.vm], (step.action.source, step.action.destination)
            if step.ongoing:
                route = self.route(a, b) if step.action.bandwidth_mibps else []
                step.path = tuple(self._pool(work, hop) for hop in route or ())
                continue
            if "migrate" in vm.durations_s or not vm.memory_used_mib:
                continue
            route = self.route(a, b)
            if route is None:
                work.hopeless[step.vm] = f"{vm.name} cannot migrate: no network path leads from {a} to {b}"
                continue
            step.path = tuple(self._pool(work, hop) for hop in route)
            if not step.path:
                continue
            top = self.top(step)
            if self._ticks(step.vm, top) is None:
                work.hopeless[step.vm] = _refusal(vm, a, b, mibps(top))
            else:
                # What it takes at best, for priorities and bounds.
                step.ticks = self.ticks(step, top)

    def top(self, step: Step) -> int:
        """The bandwidth of its path when nobody else uses it; 0 without a path."""
        return min((self._room[pool] for pool in step.path), default=0)

    def fastest(self, vm: int, a: str, b: str) -> int | None:
        """Ticks of the VM's migration from node `a` to node `b` when nobody else uses the network.

        None when no path or bandwidth carries it; 0 when the network does not decide.
        """
        own = self._vms[self._names[vm]]
        if "migrate" in own.durations_s or not own.memory_used_mib:
            return 0
        route = self.route(a, b)
        if not route:
            return None if route is None else 0
        return self._ticks(vm, min(self._capacity(hop) for hop in route))

    def kept(self, step: Step) -> int:
        """The bandwidth that an ongoing migration was given."""
        assert isinstance(step.action, Migrate)
        return min(int(step.action.bandwidth_mibps * BPS_PER_MIBPS), self.top(step))

    def useful(self, step: Step, rate_bps: int, sharing: int = 1) -> bool:
        """Whether to start with this bandwidth: half of what its share of the path can give, and enough."""
        return 2 * rate_bps >= self.top(step) // sharing > 0 and self._ticks(step.vm, rate_bps) is not None

    def ticks(self, step: Step, rate_bps: int) -> int:
        """How long the step takes at this bandwidth, which is `useful`."""
        found = None if step.ongoing else self._ticks(step.vm, rate_bps)
        return step.ticks if found is None else found

    def _ticks(self, vm: int, rate_bps: int) -> int | None:
        key = (vm, rate_bps)
        if key not in self._known_ticks:
            seconds = copy_s(self._vms[self._names[vm]], mibps(rate_bps))
            self._known_ticks[key] = None if seconds is None else math.ceil(seconds / self._tick_s - 1e-6)
        return self._known_ticks[key]

    def _capacity(self, hop: Port | str) -> int:
        mbps = self._bounded[hop] if isinstance(hop, str) else self._links[hop[0]].capacity_mbps
        return int(mbps * 1e6 + 0.5)

    def _pool(self, work: Work, hop: Port | str) -> int:
        if hop not in self._pools:
            room = self._capacity(hop)
            self._pools[hop] = work.pool(room, loose=True)
            self._room[self._pools[hop]] = room
        return self._pools[hop]

    def route(self, a: str, b: str) -> list[Port | str] | None:
        """Directed links and bounded switches from node `a` to node `b`; None when there is no way.

        Nodes that have no link are not bounded by the network.
        """
        fixed = self._network.routes.get(a, {}).get(b)
        if fixed is not None:
            return self._walk(a, fixed)
        if a not in self._ports or b not in self._ports:
            return []
        best: list[Port] | None = None
        for up in self._ports[a]:
            tree = self._tree(up.switch)
            for down in self._ports[b]:
                if down.switch not in tree:
                    continue
                middle: list[Port] = []
                step = tree[down.switch]
                while step is not None:
                    middle.append(step[1])
                    step = tree[step[0]]
                path = [(up.name, True), *reversed(middle), (down.name, False)]
                if best is None or len(path) < len(best):
                    best = path
        return None if best is None else self._with_switches(best)

    def _tree(self, root: str) -> dict[str, tuple[str, Port] | None]:
        """From each switch that can be reached, the one before it and the link between, breadth first."""
        if root not in self._trees:
            tree: dict[str, tuple[str, Port] | None] = {root: None}
            queue = deque([root])
            while queue:
                here = queue.popleft()
                for there, port in self._trunks.get(here, []):
                    if there not in tree:
                        tree[there] = (here, port)
                        queue.append(there)
            self._trees[root] = tree
        return self._trees[root]

    def _walk(self, a: str, names: tuple[str, ...]) -> list[Port | str]:
        """The directions of the links of a given route from node `a`."""
        path: list[Port] = []
        here, at_node = a, True
        for name in names:
            link = self._links[name]
            up = link.end == here and link.end_is_node == at_node
            path.append((name, up))
            here, at_node = (link.switch, False) if up else (link.end, link.end_is_node)
        return self._with_switches(path)

    def _with_switches(self, path: list[Port]) -> list[Port | str]:
        crossed = dict.fromkeys(self._links[name].switch for name, _ in path)
        for name, _ in path:
            if not self._links[name].end_is_node:
                crossed.setdefault(self._links[name].end)
        return [*path, *(switch for switch in crossed if switch in self._bounded)]


def _refusal(vm: Vm, a: str, b: str, top_mibps: float) -> str:
    hot = vm.hot_dirty_mib / vm.hot_dirty_s if vm.hot_dirty_s > 0 else math.inf
    return (
        f"{vm.name} cannot migrate from {a} to {b}: it dirties {max(hot, vm.cold_dirty_mibps):.10g} MiB/s of "
        f"memory and the network copies {top_mibps:.10g} MiB/s at most, so that pre-copy never ends; "
        "allow it post-copy, suspend it, or leave it where it is"
    )
