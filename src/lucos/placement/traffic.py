"""What migrations under way share: the network's links and switches, and limits on how many there are."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from lucos.model import AnyAction, Migrate
from lucos.placement.cluster import Link, Network
from lucos.placement.problem import Problem
from lucos.placement.timeline import Fault, Step

MBPS_PER_MIBPS = 8 * 2**20 / 1e6
ROUNDING_MBPS = 1e-3

Place = tuple[str, str]
"""("node" | "switch", name)."""
Hop = tuple[str, str, Place | None]
"""("link", name, where it is entered), or ("switch", name, None)."""


class Traffic:
    """Migrations under way, and what they take of the network."""

    def __init__(self, problem: Problem) -> None:
        self._limits = problem.limits
        self._network = problem.cluster.network
        self._routes = _Routes(self._network) if self._network is not None else None
        self._capacity_mbps = _capacities(self._network) if self._network is not None else {}
        self._count: Counter[tuple[str, str]] = Counter()
        self._used_mbps: defaultdict[Hop, float] = defaultdict(float)
        self._told: set[tuple[str, str] | Hop] = set()

    def take(self, happened: Iterable[tuple[Step, bool]]) -> None:
        """Steps start (True) or end."""
        for step, begins in happened:
            self._add(step.planned.action, 1 if begins else -1)

    def judge(self, happened: Sequence[tuple[Step, bool]], at_s: float) -> Iterator[Fault]:
        """What is exceeded once these steps started (True) or ended; each limit is told once."""
        self.take(happened)
        for step, begins in happened:
            action = step.planned.action
            if not (begins and step.end_s > at_s and isinstance(action, Migrate)):
                continue
            places = (("migrations", ""), ("out of", action.source), ("into", action.destination))
            limits = (self._limits.migrations, self._limits.out_per_node, self._limits.in_per_node)
            for key, limit in zip(places, limits, strict=True):
                if limit is not None and self._count[key] > limit and key not in self._told:
                    self._told.add(key)
                    where = f" {key[0]} {key[1]}" if key[1] else ""
                    text = f"{self._count[key]} migrations{where} at once, the limit is {limit}"
                    yield Fault(at_s, text, nodes=(key[1],) if key[1] else (), vms=(action.vm,))
            yield from self._judge_route(action, at_s)

    def _judge_route(self, action: Migrate, at_s: float) -> Iterator[Fault]:
        if self._routes is None or not action.bandwidth_mibps:
            return
        route = self._routes.between(action.source, action.destination)
        if route is None:
            text = f"no network path leads from {action.source} to {action.destination}"
            yield Fault(at_s, text, nodes=(action.source, action.destination), vms=(action.vm,))
        for hop in route or ():
            used, room = self._used_mbps[hop], self._capacity_mbps[hop[:2]]
            if used > room + ROUNDING_MBPS and hop not in self._told:
                self._told.add(hop)
                where = f"{hop[0]} {hop[1]}" + (f" from {hop[2][1]}" if hop[2] else "")
                yield Fault(at_s, f"{where} would carry {used:.10g} of {room:.10g} Mbit/s", vms=(action.vm,))

    def _add(self, action: AnyAction, sign: int) -> None:
        if not isinstance(action, Migrate):
            return
        for key in (("migrations", ""), ("out of", action.source), ("into", action.destination)):
            self._count[key] += sign
        if self._routes is not None and action.bandwidth_mibps:
            for hop in self._routes.between(action.source, action.destination) or ():
                self._used_mbps[hop] += sign * action.bandwidth_mibps * MBPS_PER_MIBPS


def _capacities(network: Network) -> dict[tuple[str, str], float]:
    bounded = [(("switch", s.name), s.capacity_mbps) for s in network.switches]
    links = [(("link", link.name), link.capacity_mbps) for link in network.links]
    return {key: mbps for key, mbps in [*bounded, *links] if mbps is not None}


class _Routes:
    """Given routes, else shortest paths over switches; of equally short ones, that of the links named first.

    Nodes without a link are not bounded by the network.
    """

    def __init__(self, network: Network) -> None:
        self._given = network.routes
        self._links = {link.name: link for link in network.links}
        self._bounded = {s.name for s in network.switches if s.capacity_mbps is not None}
        self._from: defaultdict[Place, list[Link]] = defaultdict(list)
        for link in network.links:
            for place in _ends(link):
                self._from[place].append(link)
        self._known: dict[tuple[str, str], list[Hop] | None] = {}

    def between(self, source: str, destination: str) -> list[Hop] | None:
        """The hops from one node to another; None when there is no path."""
        key = (source, destination)
        if key not in self._known:
            given = self._given.get(source, {}).get(destination)
            a, b = ("node", source), ("node", destination)
            if given is None and not (self._from[a] and self._from[b]):
                self._known[key] = []
            else:
                links = self._shortest(a, b) if given is None else [self._links[name] for name in given]
                self._known[key] = None if links is None else self._hops(a, links)
        return self._known[key]

    def _shortest(self, a: Place, b: Place) -> list[Link] | None:
        came: dict[Place, tuple[Place, Link] | None] = {a: None}
        queue = deque([a])
        while queue and b not in came:
            here = queue.popleft()
            for link in self._from[here]:
                there = _across(link, here)
                if there not in came:
                    came[there] = (here, link)
                    # Nodes do not forward.
                    queue += [there] if there[0] == "switch" else []
        if b not in came:
            return None
        path, step = [], came[b]
        while step is not None:
            path.append(step[1])
            step = came[step[0]]
        return path[::-1]

    def _hops(self, here: Place, links: list[Link]) -> list[Hop]:
        hops: list[Hop] = []
        switches: dict[str, None] = {}
        for link in links:
            hops.append(("link", link.name, here))
            here = _across(link, here)
            switches |= {
                name: None for kind, name in _ends(link) if kind == "switch" and name in self._bounded
            }
        return hops + [("switch", name, None) for name in switches]


def _ends(link: Link) -> tuple[Place, Place]:
    return ("switch", link.switch), ("node" if link.end_is_node else "switch", link.end)


def _across(link: Link, here: Place) -> Place:
    switch, end = _ends(link)
    return end if here == switch else switch
