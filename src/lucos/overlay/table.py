"""The members one node knows, the transitions they make, and how long the departed are remembered."""

from __future__ import annotations

import msgspec

from lucos.overlay.members import Change, Member, Status, supersedes


class MemberTable:
    """`members` holds every known node, also the departed; changes gather until `take_changes`."""

    def __init__(self, me: Member) -> None:
        self.members: dict[str, Member] = {me.node: me}
        self._departed_s: dict[str, float] = {}
        self._changes: list[Change] = []

    def put(self, record: Member, now_s: float) -> Change | None:
        """Adopt `record` if it supersedes what is known; the transition, or None when nothing is new.

        A departed node not known here is not adopted: its memory must be able to fade.
        """
        known = self.members.get(record.node)
        if not (supersedes(record, known) if known else record.present):
            return None
        rtt_s = known.rtt_s if known else 0.0
        self.members[record.node] = msgspec.structs.replace(record, rtt_s=rtt_s)
        if record.present:
            self._departed_s.pop(record.node, None)
        else:
            self._departed_s.setdefault(record.node, now_s)
        change = Change(record.node, known.status if known else "", record.status)
        if known is None or known.status != record.status or known.tags != record.tags:
            self._changes.append(change)
        return change

    def measured(self, node: str, rtt_s: float) -> None:
        """Take a round trip into the smoothed estimate (an eighth of weight, as TCP's)."""
        member = self.members[node]
        smoothed = member.rtt_s + (rtt_s - member.rtt_s) / 8 if member.rtt_s else rtt_s
        self.members[node] = msgspec.structs.replace(member, rtt_s=smoothed)

    def others(self) -> list[Member]:
        """Present members but the first one, which is this node."""
        everyone = iter(self.members.values())
        next(everyone)
        return [member for member in everyone if member.present]

    def dead(self) -> list[str]:
        return [node for node in self._departed_s if self.members[node].status is Status.DEAD]

    def forget(self, before_s: float, keep_max: int) -> None:
        """Drop those that departed before `before_s`, and the earliest beyond `keep_max`."""
        surplus = len(self._departed_s) - keep_max
        for rank, (node, at_s) in enumerate(list(self._departed_s.items())):
            if at_s < before_s or rank < surplus:
                self._changes.append(Change(node, self.members[node].status, ""))
                del self._departed_s[node], self.members[node]

    def take_changes(self) -> tuple[Change, ...]:
        changes, self._changes = tuple(self._changes), []
        return changes
