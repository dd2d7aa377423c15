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


class SchedulerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[scheduler]: `strategy` names one of `STRATEGIES`; each strategy has a table of its own settings."""

    strategy: str = "dvms"
    dvms: DvmsSettings = DvmsSettings()


def _dvms(world: World, settings: SchedulerSettings) -> Actor:
    return Dvms(world, settings.dvms)


STRATEGIES: dict[str, Callable[[World, SchedulerSettings], Actor]] = {
    "dvms": _dvms,
}


def make_scheduler(world: World, settings: SchedulerSettings) -> Actor:
    """The scheduler that `settings` names; raises `InputError` for an unknown one."""
    make = STRATEGIES.get(settings.strategy)
    if make is None:
        raise InputError(
            f"unknown strategy {settings.strategy!r}", hint=f"strategies are {', '.join(STRATEGIES)}"
        )
    return make(world, settings)
