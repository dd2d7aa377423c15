"""Actors, their world and its ports: the sans-IO core of the real and the simulated world alike."""

from lucos.actors.calls import Calls
from lucos.actors.message import (
    Datagram,
    Message,
    WireError,
    actor_of,
    address,
    decode_frame,
    encode_frame,
    node_of,
)
from lucos.actors.supervision import Decision, Supervisor
from lucos.actors.world import Actor, ActorFactory, Random, Timer, World

__all__ = [
    "Actor",
    "ActorFactory",
    "Calls",
    "Datagram",
    "Decision",
    "Message",
    "Random",
    "Supervisor",
    "Timer",
    "WireError",
    "World",
    "actor_of",
    "address",
    "decode_frame",
    "encode_frame",
    "node_of",
]
