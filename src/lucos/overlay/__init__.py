"""The discovery network tracker: who is in the LUC, who is alive (SWIM membership), and the ring of names.

`Membership` is an actor fed by datagrams; every other tracker learns of members from it. The ring gives an
order of all names that each node computes alone.
"""

from lucos.overlay.members import Change, Coordinate, Member, Status, merge
from lucos.overlay.membership import Membership
from lucos.overlay.messages import MEMBERSHIP, Attend, Leave, MembersChanged, SetTags, Watch
from lucos.overlay.ring import ring_position, successor_order
from lucos.overlay.settings import MembershipSettings

__all__ = [
    "MEMBERSHIP",
    "Attend",
    "Change",
    "Coordinate",
    "Leave",
    "Member",
    "MembersChanged",
    "Membership",
    "MembershipSettings",
    "SetTags",
    "Status",
    "Watch",
    "merge",
    "ring_position",
    "successor_order",
]
