"""Max-min fair sharing against its definition."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucos.hypervisors.flows import Flow, Flows, Link


def naive(flows: list[Flow]) -> list[float]:
    """Progressive filling as it is told: raise all rates together until something is full, fix, repeat."""
    rates: dict[Flow, float] = {}
    while len(rates) < len(flows):
        rising = [flow for flow in flows if flow not in rates]
        limits = [flow.cap_mibps for flow in rising if flow.cap_mibps]
        fair: dict[Link, float] = {}
        for link in {link: None for flow in rising for link in flow.links}:
            there = [flow for flow in rising if link in flow.links]
            taken = sum(rate for flow, rate in rates.items() if link in flow.links)
            fair[link] = (link.capacity_mibps - taken) / len(there)
        level = min([*limits, *fair.values()])
        for flow in rising:
            if flow.cap_mibps == level or any(fair[link] <= level * (1 + 1e-12) for link in flow.links):
                rates[flow] = level
    return [rates[flow] for flow in flows]


def random_flows(random: Random, hosts: int, count: int) -> list[Flow]:
    sending = [Link(random.choice([100.0, 125.0, 1000.0])) for _ in range(hosts)]
    receiving = [Link(random.choice([100.0, 125.0, 1000.0])) for _ in range(hosts)]
    backbone = Link(300.0)
    flows = []
    for _ in range(count):
        source, destination = random.sample(range(hosts), 2)
        links = [sending[source], receiving[destination]] + [backbone] * (random.random() < 0.3)
        flows.append(Flow(links, random.choice([0.0, 0.0, 20.0, 33.0, 500.0])))
    return flows


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(1, 25))
def test_rates_are_those_of_progressive_filling_after_every_change(seed: int, hosts: int, count: int) -> None:
    random = Random(seed)
    under_way, waiting = Flows(), random_flows(random, hosts, count)
    present: list[Flow] = []
    while waiting or present:
        for _ in range(random.randint(1, 3)):
            if waiting and (not present or random.random() < 0.6):
                present.append(waiting.pop())
                under_way.start(present[-1])
            elif present:
                under_way.stop(present.pop(random.randrange(len(present))))
        if present and random.random() < 0.2:
            under_way.resize(present[0].links[0], random.choice([50.0, 80.0, 2000.0]))
        before = {flow: flow.rate_mibps for flow in present}
        changed = under_way.share()
        assert [flow.rate_mibps for flow in present] == pytest.approx(naive(present))
        assert set(changed) == {flow for flow in present if flow.rate_mibps != before[flow]}
        assert not under_way.unsettled


def test_what_shares_no_link_with_a_change_is_left_alone() -> None:
    a, b, far = Link(100.0), Link(100.0), Link(90.0)
    first, second, other = Flow([a]), Flow([a, b]), Flow([far])
    flows = Flows()
    for flow in (first, other):
        flows.start(flow)
    assert flows.share() == [first, other]
    assert (first.rate_mibps, other.rate_mibps) == (100.0, 90.0)
    flows.start(second)
    assert flows.share() == [second, first]
    assert (first.rate_mibps, second.rate_mibps) == (50.0, 50.0)
    flows.stop(first)
    flows.stop(first)
    assert flows.share() == [second]
    assert (first.rate_mibps, second.rate_mibps, other.rate_mibps) == (0.0, 100.0, 90.0)
