"""Settings of Snooze: periods and time-outs as published, thresholds, and which engine plans."""

from __future__ import annotations

from typing import Literal, get_args

from lucos.errors import InputError
from lucos.resources.rounds import RoundSettings

Engine = Literal["placement", "greedy"]


class SnoozeSettings(RoundSettings, frozen=True, forbid_unknown_fields=True):
    """[scheduler.snooze]. Heartbeats every `beat_s`; who is silent for `timeout_s` is gone.

    `managers` is how many groups there are, 0 for one for each `nodes_per_manager` nodes. A node in violation
    asks its manager for help at once and then every `period_s`. `engine` is placement (the group's problem
    goes to the solver) or greedy (the published relocation). Shares are of a node's capacity: greedy relieves
    a node above `max_share` of any resource down to `mid_share`, and loads destinations no further than that.

    With `energy` a node below `min_share` of all resources is emptied; one that has been empty for `idle_s`
    is put to sleep if `reserve` empty nodes stay awake in its group, and woken when the group finds no plan.
    Waking takes `wake_s` at most. An LC measures its load for its beats at least every `measure_s`.
    """

    beat_s: float = 3.0
    timeout_s: float = 10.0
    managers: int = 0
    nodes_per_manager: int = 32
    period_s: float = 10.0
    engine: Engine = "placement"
    min_share: float = 0.2
    mid_share: float = 0.9
    max_share: float = 1.0
    energy: bool = False
    idle_s: float = 120.0
    reserve: int = 1
    wake_s: float = 300.0
    measure_s: float = 60.0

    def __post_init__(self) -> None:
        if self.engine not in get_args(Engine):
            known = ", ".join(get_args(Engine))
            raise InputError(f"snooze: engine {self.engine!r} is not known", hint=f"engines are {known}")
