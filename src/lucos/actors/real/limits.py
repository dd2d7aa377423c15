"""Bounds and counters of the ways to other nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TransportLimits:
    """Bounds of the transport. A cut peer is noticed within `keepalive_s` + `keepalive_timeout_s`."""

    queue_messages_max: int = 2_000
    queue_bytes_max: int = 32 * 1024 * 1024
    message_age_max_s: float = 10.0
    connect_timeout_s: float = 3.0
    backoff_min_s: float = 0.1
    backoff_max_s: float = 3.0
    idle_max_s: float = 60.0
    keepalive_s: float = 2.0
    keepalive_timeout_s: float = 4.0


@dataclass
class PeerStatistics:
    """Messages to and from one peer; `dropped` counts by reason."""

    messages_sent: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def sent(self, size_bytes: int) -> None:
        self.messages_sent += 1
        self.bytes_sent += size_bytes

    def received(self, size_bytes: int) -> None:
        self.messages_received += 1
        self.bytes_received += size_bytes
