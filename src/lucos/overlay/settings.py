"""Settings of the membership protocol, and why their defaults are what they are."""

from __future__ import annotations

import msgspec

from lucos.errors import InputError


class MembershipSettings(msgspec.Struct, frozen=True):
    """Times in seconds. The same on all nodes.

    Two promises set the defaults. A host is declared dead when a probe and its suspicion went unanswered for
    `direct_s + indirect_s + suspicion_s` = 2.35 s: more than a stall of 2 s and the way back of the
    refutation. A killed host is probed by its ring predecessors within `period_s`, so all survivors know
    within 0.5 + 2.35 s and one way of the network: less than 3 s.

    Each period a node probes its `ring_successors`, one more member (a near one and any one by turns) and
    whom its actors attend to. It pings twice a period whom it suspects, at most `fanout` of them: so the
    refutation comes back to each who suspects, whatever the size. `direct_s` + `indirect_s` must be shorter
    than `period_s`.
    A node whose own timers fire more than `late_s` late was stalled and accuses nobody for what it missed.
    `retransmit_factor` x log2(n + 1) bounds how often one node gossips one update; urgent ones first go to
    `fanout` members at once. `datagram_bytes` bounds every datagram before sealing.
    At most `departed_max` of the dead and the left are remembered, for `forget_s`. One of the dead is tried
    every `reconnect_s`, one unreached seed every `seed_s`, one exchange made every `exchange_s`.

    A view holds at most `view_max` present members (and whom actors attend to, at most `attended_max`).
    Beyond that it is made of `successors` neighbours on the ring each way, one finger per power of two of
    distance, a fifth of nearest by coordinates, and a random sample. Ring neighbours are asked for theirs at
    `upkeep_s` while that brings news, then ever more rarely, down to every `upkeep_max_s`. One hop of a
    lookup waits `hop_s` for an answer, twice; a lookup makes at most `hops_max`. Watchers hear every
    `refresh_s` at most that coordinates have moved.
    """

    period_s: float = 0.5
    direct_s: float = 0.2
    indirect_s: float = 0.25
    suspicion_s: float = 1.9
    ring_successors: int = 2
    helpers: int = 3
    late_s: float = 0.1
    retransmit_factor: int = 3
    fanout: int = 32
    datagram_bytes: int = 1200
    reconnect_s: float = 2.0
    seed_s: float = 5.0
    exchange_s: float = 30.0
    forget_s: float = 3600.0
    departed_max: int = 256
    view_max: int = 128
    attended_max: int = 64
    successors: int = 8
    upkeep_s: float = 1.0
    upkeep_max_s: float = 16.0
    hop_s: float = 0.3
    hops_max: int = 48
    refresh_s: float = 10.0

    def __post_init__(self) -> None:
        if self.direct_s + self.indirect_s >= self.period_s:
            raise InputError(
                f"membership: direct_s {self.direct_s} + indirect_s {self.indirect_s} must be less than "
                f"period_s {self.period_s}",
                hint="a probe must end before the next begins",
            )
        if self.view_max < 4 * self.successors:
            raise InputError(
                f"membership: view_max {self.view_max} leaves too little room beside {self.successors} "
                "successors and as many predecessors",
                hint=f"at least {4 * self.successors}",
            )
