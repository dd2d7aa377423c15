"""One agent: the trackers of a host, wired to the ports of the real world."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import time
from pathlib import Path

import lucos
from lucos.actors import Message, World
from lucos.actors.ports import HYPERVISOR, REGISTRY, SOLVER
from lucos.actors.real import (
    GrpcTransport,
    RealRuntime,
    SealedDatagrams,
    Secrets,
    SolverProcess,
    SqliteRegistry,
)
from lucos.actors.real.tunnel import Tunnel
from lucos.agent.api import Api
from lucos.agent.config import AgentConfig
from lucos.agent.console import join, open_terminal
from lucos.agent.description import AGENT, Describe, Description
from lucos.agent.events import EVENTS, FOLLOW_LEASE_S, EventLog
from lucos.agent.security import read_keyring
from lucos.environments.messages import ENVIRONMENTS
from lucos.environments.tracker import Environments
from lucos.errors import EnvironmentMissing, UnknownObject
from lucos.hypervisors import HypervisorSettings, LibvirtHypervisor
from lucos.model import Detail, Event, Resources
from lucos.overlay import MEMBERSHIP, Leave, Member, Membership, MembershipSettings
from lucos.overlay.directory import DIRECTORY, Directory
from lucos.resources.host import Host
from lucos.resources.host_settings import HostSettings
from lucos.resources.messages import HOST, SCHEDULER
from lucos.resources.strategies import make_scheduler

log = logging.getLogger("lucos.agent")

LEAVE_TIMEOUT_S = 2.0


def _capacity(config: AgentConfig) -> Resources:
    """What VMs may use: as configured, else all of the machine."""
    cpus = config.host.cpus or float(os.cpu_count() or 1)
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    memory_mib = config.host.memory_mib or pages * page_bytes / 2**20
    return Resources(100.0 * cpus, memory_mib)


def _read(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot read {what} {path}: {error.strerror}", hint="luc init makes certificates and keys"
        ) from None


class Agent:
    """`await start()`, wait for `stopped`, `await close()`; `start` raises classes of lucos.errors."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.node = config.agent.node
        self.stopped = asyncio.Event()
        self.failure: BaseException | None = None
        self._membership: Membership | None = None
        self._following: asyncio.Task[None] | None = None
        state_dir = Path(config.agent.state_dir)
        state_dir.mkdir(parents=True, exist_ok=True)
        self._images_dir = state_dir / "images"
        security = config.security
        secrets = Secrets(
            _read(security.ca, "the authority's certificate"),
            _read(security.certificate, "this host's certificate"),
            _read(security.key, "this host's key"),
        )
        self.transport = GrpcTransport(self.node, secrets, self._resolve, log, on_tunnel=self._tunnel)
        self._datagrams = SealedDatagrams(
            self.node, read_keyring(Path(security.keyring)), self._resolve_datagram, log
        )
        self.runtime = RealRuntime(
            self.node,
            state_dir=state_dir,
            transport=self.transport,
            datagrams=self._datagrams,
            on_event=self._on_event,
            on_fatal=self._on_fatal,
            log=log,
        )
        self.events = EventLog(
            self.node,
            state_dir / "events.jsonl",
            lambda to, message: self.runtime.deliver(to, message, EVENTS),
            self.runtime.loop.time,
        )
        self.hypervisor = LibvirtHypervisor(
            HypervisorSettings(
                uri=config.hypervisor.uri,
                accel=config.hypervisor.accel,
                images_dir=self._images_dir,
                console_dir=state_dir / "console",
                node=self.node,
                bandwidth_mibps=config.hypervisor.bandwidth_mibps,
                migration_timeout_s=config.hypervisor.migration_timeout_s,
            ),
            lambda to, message: self.runtime.deliver(to, message, HYPERVISOR),
        )
        self._registry = SqliteRegistry(
            Path(config.registry.path),
            lambda to, message: self.runtime.deliver(to, message, REGISTRY),
        )
        self._solver = SolverProcess(lambda to, message: self.runtime.deliver(to, message, SOLVER))
        self._api = Api(self, Path(config.agent.socket))

    async def start(self) -> None:
        """Bring up ports first, then trackers, then the local API, so that nothing is asked too early."""
        me = self.config.agent
        await self.hypervisor.start()
        await self.transport.start(me.listen, me.transport_port, self.runtime.arrive)
        await self._datagrams.start(me.listen, me.membership_port, self.runtime.arrive)
        runtime = self.runtime
        runtime.register_port(HYPERVISOR, lambda m, s: self.hypervisor.receive(m, s))
        runtime.register_port(REGISTRY, lambda m, s: self._registry.receive(m, s))
        runtime.register_port(SOLVER, self._solver.receive)
        runtime.register_port(EVENTS, self.events.receive)
        runtime.register_port(AGENT, self._describe)
        runtime.spawn(MEMBERSHIP, self._make_membership)
        runtime.spawn(HOST, lambda world: Host(world, self._host_settings()))
        runtime.spawn(SCHEDULER, lambda world: make_scheduler(world, self.config.scheduler))
        runtime.spawn(ENVIRONMENTS, Environments)
        runtime.spawn(DIRECTORY, Directory)
        self._following = asyncio.create_task(self._keep_following())
        await self._api.start()
        self._note("agent.started", f"luc {lucos.__version__}")

    async def _keep_following(self) -> None:
        """Renew what other nodes were asked to push here, for as long as somebody follows."""
        while True:
            await asyncio.sleep(FOLLOW_LEASE_S / 3)
            self.events.ask_peers(self.present())

    def stop_soon(self) -> None:
        self.stopped.set()

    async def close(self) -> None:
        """Say goodbye to the others and stop; the guests keep running."""
        await self._api.close()
        if self._following is not None:
            self._following.cancel()
        if self.failure is None:
            self._note("agent.stopped", "leaves; guests keep running")
            farewell = asyncio.Event()
            self.runtime.register_port("farewell", lambda _m, _s: farewell.set())
            self.runtime.deliver(MEMBERSHIP, Leave(), "farewell")
            try:
                await asyncio.wait_for(farewell.wait(), LEAVE_TIMEOUT_S)
            except TimeoutError:
                log.warning("the farewell took too long")
        self.runtime.close()
        self._datagrams.close()
        await self.transport.close()
        await self.hypervisor.close()
        await self._registry.close()
        await self._solver.close()

    # --- what operations ask ----------------------------------------------------------------------------

    def members(self) -> list[Member]:
        return list(self._membership.members.values()) if self._membership else []

    def present(self) -> list[str]:
        """Names of the members that are alive or only suspect, this node included."""
        return sorted({self.node, *(m.node for m in self.members() if m.present)})

    def check_image(self, name: str) -> None:
        """Raise `UnknownObject` naming the images there are, unless `name` is one."""
        if (self._images_dir / name / "image.toml").exists():
            return
        have = sorted(p.parent.name for p in self._images_dir.glob("*/image.toml"))
        hint = f"images here: {', '.join(have)}" if have else "luc image build mini makes one"
        raise UnknownObject(f"no image is called {name}", hint=hint)

    # --- wiring -----------------------------------------------------------------------------------------

    def _host_settings(self) -> HostSettings:
        config = self.config
        return HostSettings(
            capacity=_capacity(config),
            site=config.agent.site,
            migration_address=config.hypervisor.migration_address or config.agent.listen,
            migration_timeout_s=config.hypervisor.migration_timeout_s,
            bandwidth_mibps=config.hypervisor.bandwidth_mibps,
            monitor=config.monitor,
        )

    def _make_membership(self, world: World) -> Membership:
        me = self.config.agent
        member = Member(self.node, me.listen, me.transport_port, me.membership_port, me.site)
        self._membership = Membership(world, MembershipSettings(), member, me.seeds)
        return self._membership

    def _member(self, node: str) -> Member | None:
        return self._membership.resolve(node) if self._membership else None

    def _resolve(self, node: str) -> str | None:
        member = self._member(node)
        return f"{member.address}:{member.transport_port}" if member else None

    def _resolve_datagram(self, node: str) -> tuple[str, int] | None:
        member = self._member(node)
        return (member.address, member.membership_port) if member else None

    def _on_event(self, event: Event) -> None:
        log.info("%s %s: %s", event.kind, event.subject, event.text)
        self.events.record(event)

    def _note(self, kind: str, text: str) -> None:
        self._on_event(Event(time.time(), self.node, kind, self.node, text))

    def _on_fatal(self, actor: str, error: BaseException) -> None:
        log.critical("actor %s failed for good: %r", actor, error)
        self.failure = error
        self.stopped.set()

    async def _tunnel(self, kind: str, argument: str, tunnel: Tunnel) -> None:
        if kind != "console":
            raise UnknownObject(f"no tunnel of kind {kind}")
        await join(tunnel, await open_terminal(self, argument))

    def _describe(self, message: Message, sender: str) -> None:
        if isinstance(message, Describe):
            facts: dict[str, Detail] = {
                "luc": lucos.__version__,
                "pid": os.getpid(),
                "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                **self.hypervisor.describe(),
            }
            self.runtime.deliver(sender, Description(message.call_id, facts), AGENT)
