"""The real world: actors on asyncio, gRPC and sealed UDP between nodes, SQLite as the registry."""

import os

# Before gRPC is loaded: its fork handlers cannot work beside its threads and complain on standard error.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from lucos.actors.real.datagrams import SealedDatagrams
from lucos.actors.real.limits import PeerStatistics, TransportLimits
from lucos.actors.real.link import Secrets
from lucos.actors.real.registry import SqliteRegistry
from lucos.actors.real.runtime import RealRuntime
from lucos.actors.real.solver import SolverProcess
from lucos.actors.real.store import write_durably
from lucos.actors.real.transport import GrpcTransport
from lucos.actors.real.tunnel import Tunnel

__all__ = [
    "GrpcTransport",
    "PeerStatistics",
    "RealRuntime",
    "SealedDatagrams",
    "Secrets",
    "SolverProcess",
    "SqliteRegistry",
    "TransportLimits",
    "Tunnel",
    "write_durably",
]
