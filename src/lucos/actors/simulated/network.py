"""The simulated network: latency between sites, loss of datagrams, cuts that need not be symmetric.

Streams are ordered per pair and at most once, as the real transport's: what meets a cut is dropped, or, as
with a TCP stream that recovers, held and delivered after the heal if that comes within `hold_s`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec


class Link(msgspec.Struct, frozen=True):
    """Round trip between two sites and the fraction of it added as jitter to one way."""

    rtt_ms: float
    jitter: float = 0.1


class Network:
    """`listeners` are called after each change of what is cut."""

    def __init__(
        self,
        *,
        local: Link | None = None,
        between: Link | None = None,
        loss: float = 0.0,
        hold_s: float = 10.0,
        sites: dict[tuple[str, str], Link] | None = None,
    ) -> None:
        self._local = local or Link(0.5)
        self._between = between or Link(20.0)
        # By pair of sites, in both orders; the other pairs are `local` or `between`.
        self._links = dict(sites or {})
        self.loss = loss
        self.hold_s = hold_s
        self._sites: dict[str, str] = {}
        self.listeners: list[Callable[[], None]] = []
        self._cuts: set[tuple[str, str]] = set()
        self._last_arrival_s: dict[tuple[str, str], float] = {}

    def place(self, node: str, site: str) -> None:
        self._sites[node] = site

    def cut(self, sources: list[str], destinations: list[str], *, oneway: bool = False) -> None:
        """Nothing passes from any source to any destination, nor back unless `oneway`."""
        for a in sources:
            for b in destinations:
                if a != b:
                    self._cuts.add((a, b))
                    if not oneway:
                        self._cuts.add((b, a))
        self._tell()

    def heal(self) -> None:
        self._cuts.clear()
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def is_cut(self, a: str, b: str) -> bool:
        return (a, b) in self._cuts

    def link(self, a: str, b: str) -> Link:
        """What lies between two nodes."""
        ends = (self._sites.get(a, ""), self._sites.get(b, ""))
        link = self._links.get(ends)
        if link is None:
            link = self._links[ends] = self._local if ends[0] == ends[1] else self._between
        return link

    def one_way_s(self, a: str, b: str, random: Random) -> float:
        link = self.link(a, b)
        return link.rtt_ms / 2000.0 * (1.0 + link.jitter * random.random())

    def stream_arrival_s(self, a: str, b: str, now_s: float, random: Random) -> float:
        """When a message sent now on the stream a -> b arrives: never before its predecessor."""
        arrival = max(now_s + self.one_way_s(a, b, random), self._last_arrival_s.get((a, b), 0.0))
        self._last_arrival_s[a, b] = arrival
        return arrival
