"""What an agent tells of itself: hypervisor, versions, resources of its own process."""

from __future__ import annotations

from lucos.actors import Message
from lucos.model import Detail

AGENT = "agent"


class Describe(Message, frozen=True):
    call_id: int


class Description(Message, frozen=True):
    call_id: int
    facts: dict[str, Detail]
