"""The schedulers by name: one line of configuration chooses, in an agent and in the simulator alike.

A scheduler is the actor `SCHEDULER` of each node. Its host actor sends it `Violation`, `Relief`, `Rising`,
`Underload` and `InFlight`; it moves VMs by sending `Execute` to host actors, as an `Execution` does for a
plan.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lucos.actors import Actor, World
from lucos.errors import InputError
from lucos.resources.dvms import Dvms, DvmsSettings
from lucos.resources.entropy import Entropy, EntropySettings
from lucos.resources.queue import Queue, QueueSettings
from lucos.resources.snooze import Snooze, SnoozeSettings


class SchedulerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[scheduler]: `strategy` names one of `STRATEGIES`; each strategy has a table of its own settings.

    Raises `InputError` for an unknown one.
    """

    strategy: str = "dvms"
    dvms: DvmsSettings = DvmsSettings()
    entropy: EntropySettings = EntropySettings()
    snooze: SnoozeSettings = SnoozeSettings()
    queue: QueueSettings = QueueSettings()

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise InputError(
                f"scheduler.strategy {self.strategy!r} is unknown",
                hint=f"strategies are {', '.join(STRATEGIES)}",
            )


def _dvms(world: World, settings: SchedulerSettings) -> Actor:
    return Dvms(world, settings.dvms)


def _entropy(world: World, settings: SchedulerSettings) -> Actor:
    return Entropy(world, settings.entropy)


def _snooze(world: World, settings: SchedulerSettings) -> Actor:
    return Snooze(world, settings.snooze)


def _queue(world: World, settings: SchedulerSettings) -> Actor:
    return Queue(world, settings.queue)


STRATEGIES: dict[str, Callable[[World, SchedulerSettings], Actor]] = {
    "dvms": _dvms,
    "entropy": _entropy,
    "snooze": _snooze,
    "queue": _queue,
}


def make_scheduler(world: World, settings: SchedulerSettings) -> Actor:
    """The scheduler that `settings` names."""
    return STRATEGIES[settings.strategy](world, settings)
