"""The settings of the experiment, as in the table [cloudsim] of a scenario."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from lucos.resources.consolidation import ConsolidationSettings

Strategy = Literal["dvfs", "thr-mmt", "lr-mmt", "consolidate"]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class CloudSimSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`trace` is a folder or tar of one file per VM; when empty the day is drawn for `vms` VMs by the run's
    seed.

    `threshold` belongs to thr-mmt (a share of a host's MIPS), `safety` to lr-mmt, `consolidation` to
    consolidate.
    """

    strategy: Strategy = "consolidate"
    hosts: Count = 800
    vms: Count = 1052
    trace: str = ""
    threshold: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.8
    safety: Annotated[float, msgspec.Meta(gt=0)] = 1.2
    consolidation: ConsolidationSettings = ConsolidationSettings()
