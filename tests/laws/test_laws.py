"""The laws of DVMS under random loads, crashes, stalls and cuts; a failure names its seed and its replay."""

from __future__ import annotations

from lucos.simulator.faults import RandomLife


def test_laws_hold_through_a_random_life(law_seed: int) -> None:
    life = RandomLife(law_seed)
    life.start()
    life.live(45.0)
    life.rest()
    unexpected = list(life.luc.simulation.failures)
    assert not unexpected, unexpected
    assert life.laws.instants_checked > 1000
