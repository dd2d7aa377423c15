"""The laws under random loads, crashes, stalls and cuts; a failure names its seed and its replay."""

from __future__ import annotations

from lucos.resources.dvms import DvmsSettings
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator.faults import RandomLife

DVMS = SchedulerSettings()
LOCALITY = SchedulerSettings(dvms=DvmsSettings(variant="locality"))
ENTROPY = SchedulerSettings(strategy="entropy")
SNOOZE = SchedulerSettings(strategy="snooze")
# Most seeds live with DVMS, whose laws are the strictest.
SCHEDULERS = (DVMS, LOCALITY, DVMS, ENTROPY, DVMS, LOCALITY, DVMS, SNOOZE)


def test_laws_hold_through_a_random_life(law_seed: int) -> None:
    life = RandomLife(law_seed, scheduler=SCHEDULERS[law_seed % len(SCHEDULERS)])
    life.start()
    life.live(45.0)
    life.rest()
    unexpected = list(life.luc.simulation.failures)
    assert not unexpected, unexpected
    assert life.laws.instants_checked > 1000
