"""Simulated memberships, and what a random one with a killed and a stalled host shows.

`python tests/overlay/clusters.py SEED` replays the run of one seed as a transcript.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lucos.actors.simulated import Link, Network, SimulatedNode, Simulation
from lucos.overlay import MEMBERSHIP, Member, Membership, MembershipSettings

PORT = 7411


class Cluster:
    """Nodes n1.. over `sites`; n1 and n2 are the seeds. `names` join when `start` is called."""

    def __init__(
        self,
        seed: int,
        count: int,
        *,
        sites: int = 1,
        rtt_ms: float = 20.0,
        loss: float = 0.0,
        settings: MembershipSettings | None = None,
        seeds: tuple[str, ...] = ("n1", "n2"),
        matrix_ms: dict[tuple[str, str], float] | None = None,
    ) -> None:
        links = {pair: Link(ms) for (a, b), ms in (matrix_ms or {}).items() for pair in ((a, b), (b, a))}
        self.simulation = Simulation(seed, Network(between=Link(rtt_ms), loss=loss, sites=links))
        self._seeds = tuple(f"{seed}:{PORT}" for seed in seeds)
        self.names = [f"n{i + 1}" for i in range(count)]
        self._settings = settings or MembershipSettings()
        self._sites = {name: f"s{i % sites + 1}" for i, name in enumerate(self.names)}
        for name in self.names:
            self.simulation.add_node(name, self._boot, self._sites[name])

    def _boot(self, node: SimulatedNode) -> None:
        me = Member(node.name, node.name, 7410, PORT, self._sites[node.name])
        node.spawn(MEMBERSHIP, lambda world: Membership(world, self._settings, me, self._seeds))

    def start(self) -> None:
        for name in self.names:
            self.simulation.nodes[name].start()

    def pass_time(self, duration_s: float) -> None:
        self.simulation.run(self.simulation.now_s + duration_s)
        assert not self.simulation.failures, self.simulation.failures

    def membership(self, name: str) -> Membership:
        actor = self.simulation.nodes[name].actor(MEMBERSHIP)
        assert isinstance(actor, Membership)
        return actor

    def view(self, name: str) -> dict[str, str]:
        """The status of each node in the eyes of `name`."""
        return {node: str(member.status) for node, member in sorted(self.membership(name).members.items())}

    def agree(self) -> bool:
        """Whether every running node sees every node alive."""
        return all(
            list(self.view(name).values()) == ["alive"] * len(self.names)
            for name in self.names
            if self.simulation.nodes[name].up
        )

    def settle(self, within_s: float = 15.0) -> None:
        """Run until all agree; fail when they do not in time."""
        deadline_s = self.simulation.now_s + within_s
        while not self.agree():
            assert self.simulation.now_s < deadline_s, f"no agreement (seed {self.simulation.seed})"
            self.pass_time(0.1)

    def happened(self, kind: str, subject: str = "") -> list[tuple[float, str]]:
        """(time, node that says so) of the events of `kind`, about `subject` if given."""
        return [
            (e.time_s, e.node)
            for e in self.simulation.events
            if e.kind == kind and subject in ("", e.subject)
        ]


@dataclass
class Account:
    """What came of a killed and a stalled host; seconds count from the kill.

    `detected_s` has an entry for each survivor; the stalled one sees nothing while it is stalled.
    """

    stalled: str
    detected_s: dict[str, float]
    false_deaths: list[str]
    suspected: bool
    settled: bool


def kill_one_stall_another(cluster: Cluster, random: Random) -> Account:
    """Kill a host and, while that is being found out, stall another one's agent for 2 s."""
    simulation = cluster.simulation
    cluster.start()
    cluster.settle()
    cluster.pass_time(random.uniform(0.5, 1.5))
    killed, stalled = random.sample(cluster.names, 2)
    killed_s = simulation.now_s
    simulation.nodes[killed].crash()
    cluster.pass_time(random.uniform(0.0, 0.5))
    simulation.nodes[stalled].stall(2.0)
    cluster.pass_time(4.0)
    found_s = {node: at_s - killed_s for at_s, node in cluster.happened("member.dead", killed)}
    survivors = [name for name in cluster.names if name != killed]
    return Account(
        stalled,
        {name: found_s.get(name, float("inf")) for name in survivors},
        [
            f"{e.subject} by {e.node}"
            for e in simulation.events
            if e.kind == "member.dead" and e.subject != killed
        ],
        bool(cluster.happened("member.suspected", stalled)),
        all(cluster.view(name)[stalled] == "alive" for name in survivors),
    )


def random_cluster(seed: int) -> tuple[Cluster, Random]:
    """4 to 32 nodes on 1 to 3 sites 20 to 80 ms apart, 5 % of datagrams lost."""
    random = Random(f"{seed}/cluster")
    cluster = Cluster(
        seed,
        random.randint(4, 32),
        sites=random.randint(1, 3),
        rtt_ms=random.uniform(20.0, 80.0),
        loss=0.05,
    )
    return cluster, random


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    from transcript import Transcript

    replayed, chance = random_cluster(int(sys.argv[1]))
    transcript = Transcript(replayed.simulation)
    account = kill_one_stall_another(replayed, chance)
    print(transcript.text(), account, sep="\n")
