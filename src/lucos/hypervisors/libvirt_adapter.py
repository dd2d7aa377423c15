"""The Hypervisor port over libvirt: messages in, answers and events out, all in one asyncio loop's thread.

Blocking libvirt calls run in two bounded pools: one for actions, which may take a minute, and one for what
must never wait behind them (samples, aborts, events).
"""

from __future__ import annotations

import asyncio
import os
import time
import tty
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from lucos.actors import Message
from lucos.actors.ports import (
    AbortMigration,
    DomainChanged,
    Perform,
    Performed,
    Sample,
    Sampled,
    SetSpec,
    SetWorkload,
    Subscribe,
)
from lucos.errors import (
    EnvironmentMissing,
    InputError,
    LucError,
    OperationFailed,
    Refused,
    UnknownObject,
    Unreachable,
)
from lucos.hypervisors import accel
from lucos.hypervisors.connection import Connection, dotted, explain, libvirt
from lucos.hypervisors.domain_xml import guest_socket, serial_pty
from lucos.hypervisors.domains import Domains
from lucos.hypervisors.events import Changes
from lucos.hypervisors.guest_channel import ask_guest
from lucos.hypervisors.migration import MigrationProgress, Migrations
from lucos.hypervisors.settings import HypervisorSettings
from lucos.images import Image, list_images, load_image
from lucos.model import (
    Boot,
    Kill,
    Migrate,
    Pause,
    Resume,
    Shutdown,
    Suspend,
    Unpause,
    VmSpec,
)
from lucos.model.workload import parse_workload

_TASKS_MAX = 256
_ACTION_THREADS = 8
_GUEST_S = 5.0  # for a guest to take the order to power off, before its ACPI button is pressed
_RECONNECT_FIRST_S, _RECONNECT_MAX_S = 0.2, 5.0

Deliver = Callable[[str, Message], None]
T = TypeVar("T")


class LibvirtHypervisor:
    """One host's hypervisor. `deliver(to, message)` is called in the loop's thread."""

    def __init__(self, config: HypervisorSettings, deliver: Deliver) -> None:
        self._config = config
        self._deliver = deliver
        self._actions = ThreadPoolExecutor(_ACTION_THREADS, "hypervisor-action")
        self._quick = ThreadPoolExecutor(2, "hypervisor-quick")
        # One thread, so that events keep their order while their specs are looked up.
        self._event_thread = ThreadPoolExecutor(1, "hypervisor-events")
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscribers: list[str] = []
        self._busy: dict[str, str] = {}
        self._migrations = Migrations(config, self._call, self._publish, self._quick)
        self._ended: dict[str, asyncio.Event] = {}
        self._changes = Changes()
        self._verdict: accel.Verdict | None = None
        self._deciding = asyncio.Lock()
        self._connection: Connection | None = None
        self._domains: Domains | None = None
        self._closing = False

    # --- Life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; raises `EnvironmentMissing` (libvirt absent or old, not root) or `Unreachable`."""
        self._loop = asyncio.get_running_loop()
        for folder in (self._config.console_dir, self._config.saved_dir):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise EnvironmentMissing(
                    f"{folder} cannot be made: {error}", hint="run the agent as root"
                ) from None
        self._qemu = await accel.qemu_version()
        await self._accel(await self._in(self._quick, self._image_to_try))
        await self._in(self._quick, self._connect)

    async def close(self) -> None:
        """Disconnect; guests keep running. Migrations under way are aborted: their VMs stay here."""
        self._closing = True
        for vm in [vm for vm, what in self._busy.items() if what == "migrate"]:
            await self._migrations.abort(vm)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None:
            await self._in(self._event_thread, self._connection.close)
        for pool in (self._actions, self._quick, self._event_thread):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def is_alive(self) -> bool:
        """Whether libvirtd is connected now."""
        return self._connection is not None

    def describe(self) -> dict[str, str]:
        """kind, accel and how it was decided, and the versions of QEMU and libvirt."""
        connection, verdict = self._connection, self._verdict
        return {
            "kind": "libvirt",
            "accel": verdict.accel if verdict else "undecided",
            "accel_reason": verdict.reason if verdict else "no image to try KVM with yet",
            "qemu": dotted(connection.qemu_version) if connection else self._qemu,
            "libvirt": dotted(connection.libvirt_version) if connection else "not connected",
        }

    def _connect(self) -> None:
        def from_event_thread(call: Callable[..., None]) -> Callable[..., None]:
            def forward(*arguments: Any) -> None:
                if not self._closing:
                    self._loop.call_soon_threadsafe(call, *arguments)

            return forward

        connection = Connection(
            self._config.uri,
            from_event_thread(self._on_lifecycle),
            from_event_thread(self._migrations.completed),
            from_event_thread(self._on_lost),
        )
        try:
            self._domains = Domains(self._config, connection)
        except libvirt().libvirtError as error:
            connection.close()
            raise explain(error, "libvirtd") from None
        self._changes.found(self._domains.found)
        self._connection = connection
        for vm in self._domains.outgoing:
            self._loop.call_soon_threadsafe(self._spawn, self._migrations.inherit(vm))

    def _on_lost(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._publish(DomainChanged("", "connection-lost", "libvirtd went away"))
            self._spawn(self._reconnect(connection))

    async def _reconnect(self, old: Connection) -> None:
        await self._in(self._event_thread, old.close)
        delay_s = _RECONNECT_FIRST_S
        while True:
            try:
                await self._in(self._quick, self._connect)
            except LucError:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _RECONNECT_MAX_S)
            else:
                self._publish(DomainChanged("", "connection-restored"))
                return

    # --- Messages -----------------------------------------------------------------------------------

    def receive(self, message: Message, sender: str) -> None:
        """Take one message of the Hypervisor port; its answer goes to `sender`."""
        match message:
            case Subscribe():
                if sender not in self._subscribers:
                    self._subscribers.append(sender)
            case AbortMigration(vm=vm):
                self._spawn(self._migrations.abort(vm))
            case Sample(call_id=call_id):
                self._spawn(self._sample(call_id, sender))
            case Perform():
                vm, what = message.action.vm, type(message.action).__name__.lower()
                self._answer(message.call_id, sender, vm, what, lambda: self._perform(message))
            case SetSpec(call_id=call_id, spec=spec):
                self._answer(call_id, sender, spec.id, "describe", lambda: self._set_spec(spec))
            case SetWorkload():
                self._answer(message.call_id, sender, message.vm, "load", lambda: self._set_workload(message))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer(
        self, call_id: int, sender: str, vm: str, what: str, work: Callable[[], Coroutine[Any, Any, float]]
    ) -> None:
        """Run `work` unless the VM is busy, and send its outcome."""
        started_s = time.monotonic()

        def reply(error: LucError | None, downtime_ms: float = 0.0) -> None:
            why = (_in_full(error), error.kind) if error else ("", "")
            took_s = time.monotonic() - started_s
            self._deliver(sender, Performed(call_id, error is None, *why, took_s, downtime_ms))

        async def run() -> None:
            try:
                reply(None, await work())
            except LucError as error:
                reply(error)
            except Exception as error:  # whatever it is, the asker must hear of it
                reply(OperationFailed(f"{what} of {vm}: {error}"))
                raise
            finally:
                if what != "kill":
                    del self._busy[vm]

        if len(self._tasks) >= _TASKS_MAX:
            reply(Refused("too many calls are under way on this hypervisor", hint="try again later"))
        elif what == "kill":
            self._spawn(run())
        elif vm in self._busy:
            reply(Refused(f"{vm} is busy: {self._busy[vm]}", hint="wait for it to end"))
        else:
            self._busy[vm] = what
            self._spawn(run())

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(pool, call)

    async def _call(self, vm: str, call: Callable[[Domains], T], pool: ThreadPoolExecutor | None = None) -> T:
        """`call` on the domains in a worker thread, with libvirt's errors made ours."""
        domains = self._domains
        if self._connection is None or domains is None:
            raise Unreachable(f"{vm}: libvirtd is not connected", hint="is libvirtd running?")
        try:
            return await self._in(pool or self._actions, lambda: call(domains))
        except libvirt().libvirtError as error:
            raise explain(error, vm) from None

    # --- Actions ------------------------------------------------------------------------------------

    async def _perform(self, request: Perform) -> float:
        """Carry out the action; milliseconds of downtime, or a LucError."""
        action, vm = request.action, request.action.vm
        if not isinstance(action, Boot):
            await self._call(vm, lambda d: d.next_state(action))
        match action:
            case Boot():
                await self._boot(request)
            case Shutdown():
                await self._shutdown(vm, request.timeout_s)
            case Kill():
                await self._call(vm, lambda d: d.kill(vm))
            case Pause():
                await self._call(vm, lambda d: d.pause(vm))
            case Unpause():
                await self._call(vm, lambda d: d.unpause(vm))
            case Suspend():
                await self._call(vm, lambda d: d.suspend(vm))
            case Resume():
                await self._call(vm, lambda d: d.resume(vm))
            case Migrate():
                return await self._migrations.run(vm, request)
        return 0.0

    async def _boot(self, request: Perform) -> None:
        spec = request.spec
        if spec is None or spec.id != request.action.vm:
            raise InputError(f"boot of {request.action.vm} without its specification")
        parse_workload(spec.workload)
        image = await self._in(self._quick, lambda: self._image(spec.image))
        verdict = await self._accel(image)
        kind = verdict.accel if verdict else "tcg"
        await self._call(spec.id, lambda d: d.boot(spec, image, kind))

    def _image_to_try(self) -> Image | None:
        for name in list_images(self._config.images_dir):
            with suppress(InputError):  # a broken image is for who boots it
                image = self._image(name)
                if image.ready:
                    return image
        return None

    def _image(self, name: str) -> Image:
        return load_image(self._config.images_dir, name)

    async def _accel(self, image: Image | None) -> accel.Verdict | None:
        async with self._deciding:
            if self._verdict is None:
                cache = self._config.state_dir / "accel.json"
                self._verdict = await accel.decide(self._config.accel, cache, image)
        return self._verdict

    async def _shutdown(self, vm: str, timeout_s: float) -> None:
        """Ask the guest, then press its button, then destroy it when the time is over."""
        ended = self._ended[vm] = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    await self._ask(vm, "poweroff", _GUEST_S)
                except (Unreachable, InputError):
                    await self._call(vm, lambda d: d.press_power_button(vm))
                await ended.wait()
        except TimeoutError:
            with suppress(UnknownObject):  # it ended at the last moment
                await self._call(vm, lambda d: d.kill(vm))
        finally:
            del self._ended[vm]

    async def _set_spec(self, spec: VmSpec) -> float:
        await self._call(spec.id, lambda d: d.set_spec(spec.id, spec))
        return 0.0

    async def _set_workload(self, request: SetWorkload) -> float:
        vm = request.vm
        parse_workload(request.workload)
        state = await self._call(vm, lambda d: d.state(vm))
        if state != "running":
            raise Refused(f"{vm} is {state}", hint="only a running guest takes a workload")
        await self._ask(vm, f"workload {request.workload}")

        def remember(domains: Domains) -> None:
            spec = domains.spec(domains.find(vm))
            assert spec is not None
            domains.set_spec(vm, msgspec.structs.replace(spec, workload=request.workload))

        await self._call(vm, remember)
        return 0.0

    async def _ask(self, vm: str, command: str, timeout_s: float = 8.0) -> str:
        path = guest_socket(await self._call(vm, lambda d: d.xml(vm)))
        return await ask_guest(self._config.seen_from_here(path), vm, command, timeout_s)

    async def console(self, vm: str) -> int:
        """An open file descriptor of the guest's serial line, raw, both ways; the caller closes it."""
        path = serial_pty(await self._call(vm, lambda d: d.xml(vm), self._quick))
        try:
            fd = os.open(self._config.seen_from_here(path), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise Unreachable(f"the console of {vm} cannot be opened: {error}") from None
        tty.setraw(fd)
        return fd

    async def migration_progress(self, vm: str) -> MigrationProgress | None:
        """How far the migration of `vm` away from here is; None when none is under way."""
        return await self._migrations.progress(vm)

    # --- What happens ---------------------------------------------------------------------------------

    async def _sample(self, call_id: int, sender: str) -> None:
        leaving = {vm for vm, what in self._busy.items() if what == "migrate"}
        # Taken before the reading: what happens during it is newer than it.
        time_s = time.monotonic()
        try:
            vms = await self._call("sample", lambda d: d.sample(leaving), self._quick)
        except LucError as error:
            self._deliver(sender, Sampled(call_id, time_s, error=error.message))
        else:
            self._deliver(sender, Sampled(call_id, time_s, vms))

    def _on_lifecycle(self, vm: str, uuid: str, event: int, detail: int) -> None:
        change = self._changes.change(vm, event, detail)
        # Going to disk, a VM is stopped on the way.
        if change and not (change == "paused" and self._busy.get(vm) == "suspend"):
            self._spawn(self._changed(vm, uuid, change))

    async def _changed(self, vm: str, uuid: str, change: str) -> None:
        domains = self._domains
        if domains is None:
            return
        spec = await self._in(self._event_thread, lambda: domains.spec_by_uuid(uuid))
        if change in ("stopped", "crashed", "left", "suspended", "migration-failed"):
            domains.forget(uuid)
            if vm in self._ended:
                self._ended[vm].set()
        if spec is not None:
            self._publish(DomainChanged(vm, change, spec=spec))

    def _publish(self, change: DomainChanged) -> None:
        for subscriber in self._subscribers:
            self._deliver(subscriber, change)


def _in_full(error: LucError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
