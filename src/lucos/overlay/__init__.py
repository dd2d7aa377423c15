"""The discovery network tracker: who is in the LUC, who is alive, who is near, and who holds which key.

`Membership` is an actor fed by datagrams: SWIM, Vivaldi and the ring in one; every other tracker learns of
members from it. `Directory` keeps small values on the ring.
"""

from lucos.overlay.directory import DIRECTORY, Directory, DirectorySettings
from lucos.overlay.members import Change, Coordinate, Member, Status, merge
from lucos.overlay.membership import Membership
from lucos.overlay.messages import (
    MEMBERSHIP,
    Attend,
    Leave,
    LookedUp,
    Lookup,
    MembersChanged,
    Remove,
    Removed,
    SetTags,
    Watch,
)
from lucos.overlay.neighbours import Spiral, Spot, nearest_outside, spots
from lucos.overlay.ring import ring_position, successor_order
from lucos.overlay.settings import MembershipSettings
from lucos.overlay.vivaldi import Vivaldi, distance_s

__all__ = [
    "DIRECTORY",
    "MEMBERSHIP",
    "Attend",
    "Change",
    "Coordinate",
    "Directory",
    "DirectorySettings",
    "Leave",
    "LookedUp",
    "Lookup",
    "Member",
    "MembersChanged",
    "Membership",
    "MembershipSettings",
    "Remove",
    "Removed",
    "SetTags",
    "Spiral",
    "Spot",
    "Status",
    "Vivaldi",
    "Watch",
    "distance_s",
    "merge",
    "nearest_outside",
    "ring_position",
    "spots",
    "successor_order",
]
