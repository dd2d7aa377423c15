"""One controller for more nodes than any of them knows: elections by partial views, and what they cost."""

from __future__ import annotations

from lucos.model import Resources
from lucos.overlay import ring_position
from lucos.resources.entropy import Entropy
from lucos.resources.messages import SCHEDULER
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator import SimulatedLuc
from lucos.simulator.platform import HostPlan, Platform, SitePlan

NODES = 300
MESSAGES_MAX = 20


def test_all_nodes_find_the_lowest_on_the_ring_and_its_successor() -> None:
    hosts = tuple(HostPlan(f"h{n}", "s1", Resources(200.0, 4096.0)) for n in range(NODES))
    platform = Platform((SitePlan("s1"),), hosts)
    luc = SimulatedLuc(
        1, platform, scheduler=SchedulerSettings("entropy"), overlay="oracle", environments=False
    )
    simulation = luc.simulation
    assert luc.oracle is not None
    assert len(luc.oracle.view_of("h0")) < NODES / 3

    def followed(nodes: list[str]) -> dict[str, set[str]]:
        """Whom the nodes follow, and who is registered there."""
        actors = {name: simulation.nodes[name].actor(SCHEDULER) for name in nodes}
        claims = {a.election.claim for a in actors.values() if isinstance(a, Entropy)}
        found = {}
        for claim in claims:
            leader = actors[claim.leader] if claim else None
            assert isinstance(leader, Entropy)
            found[str(claim)] = set(leader.election.registered)
        return found

    first, second, *_ = sorted(luc.names, key=ring_position)
    simulation.run(8.0)
    assert followed(luc.names) == {f"{first}#1": set(luc.names)}
    assert simulation.messages_sent < MESSAGES_MAX * NODES
    sent = simulation.messages_sent
    luc.crash_host(first)
    left = [name for name in luc.names if name != first]
    simulation.run(20.0)
    assert followed(left) == {f"{second}#2": set(left)}
    looks = 2 * NODES
    assert simulation.messages_sent - sent - looks < MESSAGES_MAX * NODES
