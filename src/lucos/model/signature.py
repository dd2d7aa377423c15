"""What a kind of constraint takes, for those who read constraints: Plasma, JSON, messages and docs."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What an argument is. The value is the field of `Constraint` it fills."""

    VMS = "vms"
    VM = "vm"
    NODES = "nodes"
    NODE = "node"
    SETS = "sets"
    GROUPS = "groups"
    RESOURCE = "resource"
    AMOUNT = "amount"


class Modes(StrEnum):
    """Whether a kind holds at every instant (C), in the result of a plan (D), or as its user says."""

    BOTH = "C/D"
    CONTINUOUS = "C"
    DISCRETE = "D"


class Signature(msgspec.Struct, frozen=True):
    """`name(role, ...)`. `VM` and `NODE` are sets of exactly one; several forms are told apart by roles.

    `soft` kinds may carry a weight; `relocates` kinds may be declared relocatable while continuous.
    """

    name: str
    takes: tuple[Role, ...]
    modes: Modes = Modes.BOTH
    soft: bool = True
    relocates: bool = False
    also: tuple[Role, ...] = ()
    """The roles of a second form, when the kind has one."""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.takes)})"
