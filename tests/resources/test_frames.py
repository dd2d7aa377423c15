"""What schedulers say between simulated nodes is passed by reference: here it goes through the real codec."""

from __future__ import annotations

import pytest

from lucos.actors import Message, decode_frame, encode_frame, node_of
from lucos.resources.dvms import DvmsSettings
from lucos.resources.strategies import STRATEGIES, SchedulerSettings
from lucos.simulator import SimulatedLuc

SCHEDULERS = [SchedulerSettings(name) for name in STRATEGIES]
SCHEDULERS.append(SchedulerSettings(dvms=DvmsSettings(variant="locality")))


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=[*STRATEGIES, "locality"])
def test_every_message_survives_the_wire(scheduler: SchedulerSettings) -> None:
    luc = SimulatedLuc.small(1, 6, sites=2, scheduler=scheduler)
    kinds: set[str] = set()

    def carry(_now_s: float, to: str, sender: str, message: Message) -> None:
        if node_of(to) != node_of(sender):
            kinds.add(type(message).__name__)
            assert decode_frame(encode_frame(to, sender, message)) == (to, sender, message)

    luc.simulation.observers.append(carry)
    luc.settle()
    for i in range(12):
        luc.boot(f"ve.vm{i}", f"h{1 + i % 3}", 20.0)
    luc.simulation.run(luc.simulation.now_s + 30.0)
    for i in range(0, 12, 3):
        luc.fleet.set_demand(f"ve.vm{i}", 90.0)
    luc.simulation.run(luc.simulation.now_s + 60.0)
    assert luc.simulation.failures == []
    assert {"SwimPing", "SwimAck"} < kinds


def test_two_messages_never_share_a_name() -> None:
    with pytest.raises(TypeError, match=r"both call a message Visit"):
        type(Message)("Visit", (Message,), {"__module__": "elsewhere"}, frozen=True)
