"""The Clock port (`World.now_s`, `World.after`), the same scenario on the real and on the simulated world."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from lucos.actors import Actor, Message, Timer, World
from lucos.actors.real import RealRuntime
from lucos.actors.simulated import SimulatedNode, Simulation


class Ring(Message, frozen=True):
    name: str


class Clockwork(Actor):
    """Sets timers at its start and notes when each rang; `restart` makes it fail once."""

    def __init__(self, world: World, rang: list[tuple[str, float, float]]) -> None:
        super().__init__(world)
        self._rang = rang
        first = not rang
        self._set_s = world.now_s()
        self._timers: dict[str, Timer] = {}
        if first:
            for name, delay_s in (("late", 0.2), ("soon", 0.05), ("now", 0.0), ("never", 0.1)):
                self._timers[name] = world.after(delay_s, Ring(name))
            rang.append(("set", self._set_s, self._set_s))

    def receive(self, message: Message, sender: str) -> None:
        assert isinstance(message, Ring)
        assert sender == f"{self.world.node}/{self.world.name}"
        self._rang.append((message.name, self._set_s, self.world.now_s()))
        if message.name == "now":
            self._timers["never"].cancel()
        if message.name == "late":
            self.world.after(0.05, Ring("lost"))
            raise RuntimeError("a new instance takes over; the timer of this one is lost")


Rang = list[tuple[str, float, float]]


def in_simulation(make: Callable[[World], Actor], _: Path) -> None:
    def boot(node: SimulatedNode) -> None:
        node.spawn("clockwork", make)

    simulation = Simulation(1)
    simulation.add_node("a", boot).start()
    simulation.run(0.5)


class _Nowhere:
    def send(self, to: str, sender: str, message: Message) -> None:
        raise AssertionError(f"nothing should leave the node, not {message} to {to}")


def in_reality(make: Callable[[World], Actor], tmp_path: Path) -> None:
    async def main() -> None:
        runtime = RealRuntime(
            "a",
            state_dir=tmp_path,
            transport=_Nowhere(),
            datagrams=_Nowhere(),
            on_event=lambda _: None,
            on_fatal=lambda _, __: None,
            log=logging.getLogger("test"),
        )
        runtime.spawn("clockwork", make)
        # What must not ring can only be waited for.
        await asyncio.sleep(0.5)
        runtime.close()

    asyncio.run(main())


@pytest.mark.parametrize("play", [in_simulation, in_reality])
def test_timers_ring_in_time_in_order_once_and_not_when_cancelled_or_orphaned(
    play: Callable[[Callable[[World], Actor], Path], None], tmp_path: Path
) -> None:
    rang: Rang = []
    play(lambda world: Clockwork(world, rang), tmp_path)
    assert [name for name, _, _ in rang] == ["set", "now", "soon", "late"]
    for (_, set_s, at_s), due_s in zip(rang, (0.0, 0.0, 0.05, 0.2), strict=True):
        assert set_s + due_s - 1e-3 <= at_s < set_s + due_s + 0.15
