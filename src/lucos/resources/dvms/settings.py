"""Settings of DVMS."""

from __future__ import annotations

import msgspec

from lucos.errors import InputError
from lucos.resources.dvms.neighbours import VARIANTS
from lucos.resources.repair import RepairPolicy


class DvmsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`variant` says where partitions grow: along the `ring`, or to the nearest by `locality`.

    Growing partitions only try what takes milliseconds; before one gives up, or waits for others, a solver
    spends up to `solve_work` on it, in about seconds of a core. A partition has at most `members_max` nodes,
    one that wants to empty its initiator `empty_members_max`. With `consolidate` underloaded nodes are
    emptied, one that could not be again after `empty_backoff_s`; with `power_save` one that was is put into
    standby after `standby_after_s`, and woken by a partition that finds no plan without it.
    """

    variant: str = "ring"
    consolidate: bool = False
    power_save: bool = False
    repair: RepairPolicy = RepairPolicy()
    members_max: int = 64
    empty_members_max: int = 8
    empty_backoff_s: float = 120.0
    standby_after_s: float = 120.0
    visit_timeout_s: float = 1.0
    state_timeout_s: float = 1.0
    blocked_timeout_s: float = 4.0
    lease_s: float = 6.0
    renew_s: float = 1.5
    cooldown_s: float = 4.0
    backoff_s: float = 2.0
    backoff_max_s: float = 60.0
    action_timeout_s: float = 420.0
    replans_max: int = 2
    replan_s: float = 2.0
    waits_max: int = 5
    solve_timeout_s: float = 5.0
    solve_work: float = 0.5

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise InputError(
                f"dvms.variant {self.variant!r} is unknown", hint=f"variants are {', '.join(VARIANTS)}"
            )
