"""To whom a node has granted itself."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from lucos.resources.dvms.messages import Isp


class Phase(StrEnum):
    GROWING = "growing"
    APPLYING = "applying"


class Grant(msgspec.Struct):
    """To whom this node has granted itself. `expires_s` counts for members; a leader ends its own."""

    isp: Isp
    version: int
    leader: str
    members: tuple[str, ...]
    phase: Phase
    expires_s: float
    since_s: float
