"""Max-min fair sharing of links among flows, by progressive filling. Pure: no time, no simulation.

All flows weigh the same: each one's rate rises with the others' until its own cap or a link on its way is
full. Only the flows that a change can reach through links that may be full are computed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush


class Link:
    """What carries flows: `capacity_mibps` is shared by those in `flows`.

    `wanted_mibps` is what they would take if each shared nothing; `full` says whether that is too much, as
    far as the present rates know.
    """

    __slots__ = ("capacity_mibps", "flows", "full", "wanted_mibps")

    def __init__(self, capacity_mibps: float) -> None:
        self.capacity_mibps = capacity_mibps
        self.flows: dict[Flow, None] = {}
        self.wanted_mibps = 0.0
        self.full = False


class Flow:
    """A transfer over `links`, at most `cap_mibps` (0: no cap); `rate_mibps` is its share.

    `alone_mibps` would be its rate if it shared nothing.
    """

    __slots__ = ("alone_mibps", "cap_mibps", "links", "rate_mibps")

    def __init__(self, links: Iterable[Link], cap_mibps: float = 0.0) -> None:
        self.links = tuple(links)
        self.cap_mibps = cap_mibps
        self.alone_mibps = 0.0
        self.rate_mibps = 0.0


class Flows:
    """The flows under way. Changes gather until `share` gives everyone concerned its new rate."""

    def __init__(self) -> None:
        self._links: dict[Link, None] = {}
        self._flows: dict[Flow, None] = {}

    @property
    def unsettled(self) -> bool:
        """Whether something changed since the last `share`."""
        return bool(self._links)

    def start(self, flow: Flow) -> None:
        """Begin to flow, once."""
        limits = [link.capacity_mibps for link in flow.links]
        flow.alone_mibps = min(limits) if not flow.cap_mibps else min(flow.cap_mibps, *limits)
        self._flows[flow] = None
        for link in flow.links:
            link.flows[flow] = None
            link.wanted_mibps += flow.alone_mibps
            self._links[link] = None

    def stop(self, flow: Flow) -> None:
        """Harmless when it does not flow."""
        flow.rate_mibps = 0.0
        self._flows.pop(flow, None)
        for link in flow.links:
            if flow in link.flows:
                del link.flows[flow]
                link.wanted_mibps = link.wanted_mibps - flow.alone_mibps if link.flows else 0.0
                self._links[link] = None

    def resize(self, link: Link, capacity_mibps: float) -> None:
        """Give `link` another capacity."""
        there = list(link.flows)
        rates = [flow.rate_mibps for flow in there]
        for flow in there:
            self.stop(flow)
        link.capacity_mibps = capacity_mibps
        for flow, rate_mibps in zip(there, rates, strict=True):
            self.start(flow)
            flow.rate_mibps = rate_mibps

    def share(self) -> list[Flow]:
        """Share again what was touched since the last call; returns the flows whose rate changed."""
        flows = self._reached()
        changed = []
        for flow, rate_mibps in zip(flows, filled(flows), strict=True):
            if rate_mibps != flow.rate_mibps:
                flow.rate_mibps = rate_mibps
                changed.append(flow)
        return changed

    def _reached(self) -> list[Flow]:
        """The flows that what was touched concerns: those started, and those it shares full links with."""
        flows, links = self._flows, self._links
        self._flows, self._links = {}, {}
        queue = []
        for link in links:
            was_full, link.full = link.full, link.wanted_mibps > link.capacity_mibps
            if was_full or link.full:
                queue.append(link)
        reached = dict.fromkeys(queue)
        for flow in flows:
            for link in flow.links:
                if link.full and link not in reached:
                    reached[link] = None
                    queue.append(link)
        for link in queue:
            for flow in link.flows:
                if flow not in flows:
                    flows[flow] = None
                    for other in flow.links:
                        if other.full and other not in reached:
                            reached[other] = None
                            queue.append(other)
        return list(flows)


def filled(flows: list[Flow]) -> list[float]:
    """The max-min fair rate of each flow, MiB/s, in the order given; no other flow is on their full links."""
    left_mibps = {link: link.capacity_mibps for flow in flows for link in flow.links if link.full}
    rising = {link: len(link.flows) for link in left_mibps}
    rates: dict[Flow, float] = {}
    # What a link that is not full leaves a flow is a cap as good as its own.
    capped = sorted(flows, key=lambda flow: flow.alone_mibps, reverse=True) if rising else []
    # The common rate at which a link is full only rises as flows are fixed below it, so that an entry of the
    # heap is at worst too low, and is put back when it is.
    heap = [(left_mibps[link] / rising[link], order, link) for order, link in enumerate(rising)]
    heapify(heap)

    def fix(flow: Flow, rate_mibps: float) -> None:
        rates[flow] = rate_mibps
        for link in flow.links:
            if link.full:
                left_mibps[link] -= rate_mibps
                rising[link] -= 1

    while heap:
        level_mibps, order, link = heappop(heap)
        if not rising[link]:
            continue
        while capped and (capped[-1] in rates or capped[-1].alone_mibps <= level_mibps):
            flow = capped.pop()
            if flow not in rates:
                fix(flow, flow.alone_mibps)
        if not rising[link]:
            continue
        now_mibps = max(left_mibps[link] / rising[link], level_mibps)
        if now_mibps > level_mibps:
            heappush(heap, (now_mibps, order, link))
            continue
        for flow in link.flows:
            if flow not in rates:
                fix(flow, level_mibps)
    return [rates.get(flow, flow.alone_mibps) for flow in flows]
