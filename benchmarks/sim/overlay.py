"""Measures the overlay in simulated time: `python -m benchmarks.sim.overlay [PART ...]`. Parts: see `PARTS`.

Populations start as if ring neighbours had introduced their nodes, so that what is measured is the overlay at
work and not its first seconds; `measure_start` shows those. Nothing is asserted: tests do that on small ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from random import Random
from statistics import fmean, quantiles
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from lucos.actors import address
from lucos.actors.simulated import Link, Network, SimulatedNode, Simulation
from lucos.model import Event
from lucos.overlay import (
    MEMBERSHIP,
    Attend,
    Member,
    Membership,
    MembershipSettings,
    distance_s,
    ring_position,
)
from lucos.overlay.messages import SwimExchange
from lucos.overlay.ring import Ring

PORT = 7411
# Round trips of four sites, with those at which serf was measured among them.
MATRIX_MS = {
    ("s1", "s2"): 10.0,
    ("s1", "s3"): 50.0,
    ("s1", "s4"): 80.0,
    ("s2", "s3"): 45.0,
    ("s2", "s4"): 75.0,
    ("s3", "s4"): 40.0,
}
SIZES = (100, 300, 1000, 3000, 10_000)


class Detection(NamedTuple):
    """How fast crashes were known to those that watched: its ring predecessors and who attended to the node.

    `seconds` are all delays, sorted; `missed` counts those that did not come in 10 s. Of all others whose
    view held the node, `holders_share` learned it in 10 s, after `holders_mean_s`. Messages are all between
    nodes, exchanges and upkeep included.
    """

    nodes: int
    crashes: int
    seconds: tuple[float, ...]
    missed: int
    holders_mean_s: float
    holders_share: float
    messages_per_node_s: float
    view_max: int
    cpu_s: float

    def quantile(self, q: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(q * len(self.seconds)))]


class Quiet(NamedTuple):
    """A population without faults: node-hours lived, suspicions, and deaths declared though nobody died."""

    nodes: int
    node_hours: float
    loss: float
    suspicions: int
    false_deaths: int


class Accuracy(NamedTuple):
    """At `at_s` after the start, the relative errors of estimated round trips over random pairs of nodes."""

    at_s: float
    median: float
    p90: float


class Population:
    """`nodes` memberships on four sites; `events` are all but joins, `now` the simulation's clock."""

    def __init__(
        self, nodes: int, seed: int, *, loss: float = 0.0, settings: MembershipSettings | None = None
    ) -> None:
        links = {pair: Link(rtt_ms) for pair, rtt_ms in MATRIX_MS.items()}
        links |= {(b, a): link for (a, b), link in links.items()}
        self.settings = settings or MembershipSettings()
        self.simulation = Simulation(seed, Network(sites=links, loss=loss), keep_events=False)
        self.names = [f"n{i + 1}" for i in range(nodes)]
        self.site = {name: f"s{i % 4 + 1}" for i, name in enumerate(self.names)}
        self.events: list[Event] = []
        self.simulation.listeners.append(self._listen)
        self._seeds = (f"n1:{PORT}", f"n2:{PORT}")
        self._random = Random(f"{seed}/population")
        for name in self.names:
            self.simulation.add_node(name, self._boot, self.site[name])

    def _listen(self, event: Event) -> None:
        if event.kind != "member.joined":
            self.events.append(event)

    def _me(self, name: str) -> Member:
        return Member(name, name, 7410, PORT, self.site[name])

    def _boot(self, node: SimulatedNode) -> None:
        me = self._me(node.name)
        node.spawn(MEMBERSHIP, lambda world: Membership(world, self.settings, me, self._seeds))

    def start(self) -> None:
        for name in self.names:
            self.simulation.nodes[name].start()

    def introduce(self) -> None:
        """Each node hears of its place on the ring, its fingers and a sample, as if from its successor."""
        ring = Ring(self.names)
        count = self.settings.successors
        records = {
            name: Member(name, name, 7410, PORT, self.site[name], incarnation=1) for name in self.names
        }
        for name in self.names:
            where = ring_position(name)
            after = ring.after(where + 1, count)
            fingers = (ring.after(where + 2**power, 1)[0] for power in range(64))
            near = dict.fromkeys([*after, *ring.before(where, count), *fingers])
            if len(self.names) > self.settings.view_max:
                near.update(dict.fromkeys(self._random.sample(self.names, self.settings.view_max // 2)))
            else:
                near.update(dict.fromkeys(self.names))
            near.pop(name, None)
            told = (records[after[0]], *(records[other] for other in near if other != after[0]))
            whole = len(told) < self.settings.view_max // 2
            message = SwimExchange(told, reply=False, whole=whole)
            self.simulation.transmit(after[0], MEMBERSHIP, address(name, MEMBERSHIP), message)

    def run(self, duration_s: float) -> None:
        self.simulation.run(self.simulation.now_s + duration_s, events_max=10**9)
        if self.simulation.failures:
            raise self.simulation.failures[0][2]

    def membership(self, name: str) -> Membership:
        actor = self.simulation.nodes[name].actor(MEMBERSHIP)
        assert isinstance(actor, Membership)
        return actor


def measure_detection(nodes: int, seed: int, *, loss: float = 0.0) -> Detection:
    """Crash some nodes of a quiet population one after the other; who learns of it when."""
    began_s = time.process_time()
    population = Population(nodes, seed, loss=loss)
    simulation, random = population.simulation, Random(f"{seed}/detection")
    population.start()
    population.introduce()
    population.run(12.0)
    sent = simulation.messages_sent
    population.run(4.0)
    rate = (simulation.messages_sent - sent) / nodes / 4.0
    killed = random.sample(population.names, max(5, min(100, nodes // 20)))
    alive = [name for name in population.names if name not in killed]
    ring = Ring(population.names)
    watchers: dict[str, list[str]] = {}
    for name in killed:
        attending = random.sample(alive, 2)
        for node in attending:
            simulation.transmit(node, f"test-{name}", address(node, MEMBERSHIP), Attend((name,)))
        before = [n for n in ring.before(ring_position(name), len(killed) + 2) if n not in killed]
        watchers[name] = list(dict.fromkeys([*before[: population.settings.ring_successors], *attending]))
    population.run(2.0)
    holders = {name: [n for n in alive if name in population.membership(n).members] for name in killed}
    views = [sum(m.present for m in population.membership(n).members.values()) - 1 for n in alive]
    killed_s: dict[str, float] = {}
    for name in killed:
        population.run(random.uniform(0.0, 4.0 / len(killed)))
        killed_s[name] = simulation.now_s
        simulation.nodes[name].crash()
    population.run(10.0)
    found = {(e.subject, e.node): e.time_s for e in population.events if e.kind == "member.dead"}

    def delays(pairs: dict[str, list[str]]) -> list[float]:
        told = ((name, node) for name, nodes in pairs.items() for node in nodes)
        return sorted(found[pair] - killed_s[pair[0]] for pair in told if pair in found)

    others = {name: [n for n in holders[name] if n not in watchers[name]] for name in killed}
    seconds, spread = delays(watchers), delays(others)
    expected = sum(map(len, watchers.values()))
    return Detection(
        nodes,
        len(killed),
        tuple(seconds),
        expected - len(seconds),
        fmean(spread) if spread else 0.0,
        len(spread) / max(1, sum(map(len, others.values()))),
        rate,
        max(views),
        time.process_time() - began_s,
    )


def measure_quiet(nodes: int, node_hours: float, loss: float, seed: int) -> Quiet:
    """Let a population be; every death declared is a false one."""
    population = Population(nodes, seed, loss=loss)
    population.start()
    population.introduce()
    population.run(3600.0 * node_hours / nodes)
    count = [sum(e.kind == kind for e in population.events) for kind in ("member.suspected", "member.dead")]
    return Quiet(nodes, node_hours, loss, *count)


def measure_vivaldi(nodes: int, seed: int, until_s: float = 120.0) -> list[Accuracy]:
    """The error of coordinates on `MATRIX_MS` against time, from a cold start of all nodes at once."""
    population = Population(nodes, seed)
    random = Random(f"{seed}/pairs")
    pairs = [tuple(random.sample(population.names, 2)) for _ in range(2000)]
    population.start()
    rows = []
    for at_s in (5.0, 10.0, 20.0, 32.0, 60.0, 120.0):
        if at_s > until_s:
            break
        population.run(at_s - population.simulation.now_s)
        errors = sorted(_error(population, a, b) for a, b in pairs)
        rows.append(Accuracy(at_s, errors[len(errors) // 2], errors[len(errors) * 9 // 10]))
    return rows


def _error(population: Population, a: str, b: str) -> float:
    link = population.simulation.network.link(a, b)
    true_s = link.rtt_ms / 1000.0 * (1.0 + link.jitter / 2)
    mine, theirs = (population.membership(n).members[n].coordinate for n in (a, b))
    assert mine is not None
    assert theirs is not None
    return abs(distance_s(mine, theirs) - true_s) / true_s


def measure_start(nodes: int, seed: int, until_s: float = 20.0) -> list[tuple[float, float, float]]:
    """All nodes start at once with two seeds: (seconds, share with the right successor, with all eight)."""
    population = Population(nodes, seed)
    ring = Ring(population.names)
    population.start()
    rows = []
    while population.simulation.now_s < until_s:
        population.run(2.0)
        right = [0, 0]
        for name in population.names:
            true = ring.after(ring_position(name) + 1, population.settings.successors)
            have = population.membership(name).successors()
            right[0] += have[:1] == true[:1]
            right[1] += have == true
        rows.append((population.simulation.now_s, right[0] / nodes, right[1] / nodes))
    return rows


# --- Printing ------------------------------------------------------------------------------------------


def show_detection(console: Console, sizes: tuple[int, ...] = SIZES) -> list[Detection]:
    columns = "nodes|crashes|mean s|p99 s|max s|missed|others mean s|share in 10 s|messages/node/s|view|CPU s"
    table = Table(*columns.split("|"), title="Crashes as those that watch learn of them")
    rows = []
    for nodes in sizes:
        row = measure_detection(nodes, 1)
        rows.append(row)
        table.add_row(
            str(nodes),
            str(row.crashes),
            f"{fmean(row.seconds):.2f}",
            f"{row.quantile(0.99):.2f}",
            f"{row.seconds[-1]:.2f}",
            str(row.missed),
            f"{row.holders_mean_s:.2f}",
            f"{row.holders_share:.0%}",
            f"{row.messages_per_node_s:.1f}",
            str(row.view_max),
            f"{row.cpu_s:.0f}",
        )
    console.print(table)
    return rows


def show_quiet(console: Console, node_hours: float = 1000.0) -> Quiet:
    row = measure_quiet(300, node_hours, 0.05, 1)
    table = Table("nodes", "node-hours", "loss", "suspicions", "false deaths", title="Nobody dies")
    table.add_row(
        str(row.nodes), f"{row.node_hours:g}", f"{row.loss:.0%}", str(row.suspicions), str(row.false_deaths)
    )
    console.print(table)
    return row


def show_vivaldi(console: Console) -> list[Accuracy]:
    rows = measure_vivaldi(100, 1)
    table = Table("s", "median error", "90 %", title="Round trips estimated (serf: about 30 % after 32 s)")
    for row in rows:
        table.add_row(f"{row.at_s:g}", f"{row.median:.1%}", f"{row.p90:.1%}")
    console.print(table)
    return rows


def show_start(console: Console) -> list[tuple[float, float, float]]:
    rows = measure_start(1000, 1)
    table = Table("s", "right successor", "right successor list", title="1,000 nodes start at once")
    for at_s, first, whole in rows:
        table.add_row(f"{at_s:g}", f"{first:.1%}", f"{whole:.1%}")
    console.print(table)
    return rows


def show_quantiles(console: Console, nodes: int = 1000) -> list[float]:
    """What `lucos.overlay.detection` holds: the quantiles over crashes in a population of `nodes`."""
    row = measure_detection(nodes, 1)
    values = [round(v, 3) for v in (row.seconds[0], *quantiles(row.seconds, n=20), row.seconds[-1])]
    console.print(values)
    return values


PARTS: dict[str, Callable[[Console], object]] = {
    "detection": show_detection,
    "quiet": show_quiet,
    "vivaldi": show_vivaldi,
    "start": show_start,
    "quantiles": show_quantiles,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts or [part for part in PARTS if part != "quantiles"]
    for part in chosen:
        PARTS[part](Console())


if __name__ == "__main__":
    main()
