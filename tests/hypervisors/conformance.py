"""What every hypervisor promises, as scenarios against a driver; each world's tests run them on its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from lucos.actors import Message
from lucos.actors.ports import (
    AbortMigration,
    DomainChanged,
    Perform,
    Performed,
    Sample,
    Sampled,
    SetWorkload,
    VmSample,
)
from lucos.model import (
    AnyAction,
    Boot,
    Kill,
    Migrate,
    Pause,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
    Unpause,
    VmSpec,
    VmState,
)

VM = "ve.a"
CREEPING_MIBPS = 1.0  # a migration at this rate is not over while a scenario looks at it


class HypervisorDriver(Protocol):
    """Two empty hosts, h1 and h2, that reach each other; a client on each has subscribed."""

    changes: dict[str, list[DomainChanged]]

    def tell(self, host: str, message: Message) -> None: ...

    async def answer(self, host: str, call_id: int) -> Message:
        """The answer to a call told before, when it comes."""

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let time pass until `condition` holds; fails in the end."""

    def address(self, host: str) -> str:
        """Where migrations reach `host`; for any other name an address that nobody answers at."""


class Client:
    """The port's calls in short, each with a `call_id` of its own."""

    def __init__(self, driver: HypervisorDriver) -> None:
        self.driver = driver
        self._last_id = 0

    def start(self, action: AnyAction, host: str = "h1", **options: Any) -> int:
        self._last_id += 1
        if isinstance(action, Migrate):
            options["destination_address"] = self.driver.address(action.destination)
        self.driver.tell(host, Perform(self._last_id, action, **options))
        return self._last_id

    async def end(self, call_id: int, host: str = "h1") -> Performed:
        answer = await self.driver.answer(host, call_id)
        assert isinstance(answer, Performed)
        return answer

    async def perform(self, action: AnyAction, host: str = "h1", **options: Any) -> Performed:
        return await self.end(self.start(action, host, **options), host)

    async def done(self, action: AnyAction, host: str = "h1", **options: Any) -> Performed:
        performed = await self.perform(action, host, **options)
        assert performed.ok, performed
        return performed

    async def boot(self, workload: str = "idle", **spec: Any) -> VmSpec:
        wanted = VmSpec(VM, "ve", "mini", workload=workload, **spec)
        await self.done(Boot(VM, "h1"), spec=wanted)
        return wanted

    async def set_workload(self, workload: str, host: str = "h1") -> Performed:
        self._last_id += 1
        self.driver.tell(host, SetWorkload(self._last_id, VM, workload))
        return await self.end(self._last_id, host)

    async def sample(self, host: str = "h1") -> dict[str, VmSample]:
        self._last_id += 1
        self.driver.tell(host, Sample(self._last_id))
        answer = await self.driver.answer(host, self._last_id)
        assert isinstance(answer, Sampled)
        assert answer.error == ""
        return {vm.spec.id: vm for vm in answer.vms}

    async def heard(self, changes: list[str], host: str = "h1") -> None:
        """Exactly these changes of the VM, in this order."""

        def names() -> list[str]:
            return [change.change for change in self.driver.changes[host] if change.vm == VM]

        await self.driver.until(lambda: len(names()) >= len(changes), f"{changes} on {host}, not {names()}")
        assert names() == changes, names()


async def a_whole_life(driver: HypervisorDriver) -> None:
    client = Client(driver)
    spec = await client.boot()
    assert (await client.sample())[VM].state is VmState.RUNNING
    for action, state in (
        (Pause(VM, "h1"), VmState.PAUSED),
        (Unpause(VM, "h1"), VmState.RUNNING),
        (Suspend(VM, "h1"), VmState.SLEEPING),
        (Resume(VM, "h1"), VmState.RUNNING),
    ):
        await client.done(action)
        sample = (await client.sample())[VM]
        assert (sample.state, sample.spec) == (state, spec)
    await client.done(Kill(VM, "h1"))
    assert await client.sample() == {}
    await client.heard(["started", "paused", "resumed", "suspended", "resumed", "stopped"])
    assert all(change.spec == spec for change in driver.changes["h1"])


async def a_sleeping_vm_can_be_killed(driver: HypervisorDriver) -> None:
    client = Client(driver)
    await client.boot()
    await client.done(Suspend(VM, "h1"))
    await client.done(Kill(VM, "h1"))
    assert await client.sample() == {}
    assert (await client.perform(Resume(VM, "h1"))).kind == "UnknownObject"


async def what_cannot_be_done_is_refused(driver: HypervisorDriver) -> None:
    client = Client(driver)
    for action in (Pause(VM, "h1"), Kill(VM, "h1"), Shutdown(VM, "h1"), Migrate(VM, "h1", "h2")):
        unknown = await client.perform(action)
        assert (unknown.ok, unknown.kind) == (False, "UnknownObject")
        assert VM in unknown.error
    assert (await client.perform(Boot(VM, "h1"))).kind == "InputError"
    huge = VmSpec(VM, "ve", "mini", memory_mib=64 * 1024 * 1024)
    assert (await client.perform(Boot(VM, "h1"), spec=huge)).kind == "Refused"
    spec = await client.boot()
    assert (await client.perform(Boot(VM, "h1"), spec=spec)).kind == "AlreadyExists"
    assert (await client.perform(Unpause(VM, "h1"))).kind == "Refused"
    assert (await client.perform(Resume(VM, "h1"))).kind == "Refused"
    assert (await client.set_workload("dance")).kind == "InputError"
    await client.done(Pause(VM, "h1"))
    assert (await client.set_workload("cpu:5")).kind == "Refused"
    assert (await client.perform(Migrate(VM, "h1", "h2"))).kind == "Refused"
    assert (await client.sample())[VM].state is VmState.PAUSED


async def a_vm_moves(driver: HypervisorDriver) -> None:
    client = Client(driver)
    spec = await client.boot()
    moved = await client.done(Migrate(VM, "h1", "h2"))
    assert 0.0 < moved.downtime_ms < 1000.0 * moved.duration_s
    assert await client.sample("h1") == {}
    there = (await client.sample("h2"))[VM]
    assert (there.spec, there.state, there.incoming) == (spec, VmState.RUNNING, False)
    await client.heard(["started", "left"], "h1")
    await client.heard(["incoming", "arrived"], "h2")


async def _stays_at_its_source(client: Client) -> None:
    here = (await client.sample("h1"))[VM]
    assert (here.state, here.migrating, here.incoming) == (VmState.RUNNING, False, False)
    await client.heard(["started", "migration-failed"], "h1")
    await client.heard(["incoming", "migration-failed"], "h2")
    assert await client.sample("h2") == {}


async def _start_slow_migration(client: Client, **options: Any) -> int:
    call_id = client.start(Migrate(VM, "h1", "h2"), bandwidth_mibps=CREEPING_MIBPS, **options)
    incoming = client.driver.changes["h2"]
    await client.driver.until(lambda: bool(incoming), "the destination to receive it")
    return call_id


async def an_aborted_migration_leaves_it_where_it_was(driver: HypervisorDriver) -> None:
    client = Client(driver)
    await client.boot()
    call_id = await _start_slow_migration(client)
    assert (await client.sample("h1"))[VM].migrating
    assert (await client.sample("h2"))[VM].incoming
    driver.tell("h1", AbortMigration(VM))
    failed = await client.end(call_id)
    assert (failed.ok, failed.kind) == (False, "OperationFailed")
    await _stays_at_its_source(client)


async def a_late_migration_is_aborted(driver: HypervisorDriver) -> None:
    client = Client(driver)
    await client.boot()
    failed = await client.end(await _start_slow_migration(client, timeout_s=2.0))
    assert (failed.ok, failed.kind) == (False, "OperationFailed")
    assert "2 s" in failed.error
    await _stays_at_its_source(client)


async def only_a_kill_interrupts_an_action(driver: HypervisorDriver) -> None:
    client = Client(driver)
    await client.boot()
    call_id = await _start_slow_migration(client)
    busy = await client.perform(Pause(VM, "h1"))
    assert (busy.ok, busy.kind) == (False, "Refused")
    await client.done(Kill(VM, "h1"))
    assert not (await client.end(call_id)).ok
    await client.heard(["incoming", "migration-failed"], "h2")
    assert (await client.sample("h1"), await client.sample("h2")) == ({}, {})


async def a_host_that_holds_a_vm_is_not_switched_off(driver: HypervisorDriver) -> None:
    client = Client(driver)
    await client.boot()
    refused = await client.perform(ShutdownNode(node="h1"))
    assert (refused.ok, refused.kind) == (False, "Refused")
    assert "h1" in refused.error
    assert (await client.sample())[VM].state is VmState.RUNNING


async def an_unreachable_destination_is_reported(driver: HypervisorDriver) -> None:
    client = Client(driver)
    await client.boot()
    failed = await client.perform(Migrate(VM, "h1", "h9"))
    assert (failed.ok, failed.kind) == (False, "Unreachable")
    assert (await client.sample())[VM].state is VmState.RUNNING


Scenario = Callable[[HypervisorDriver], Awaitable[None]]
SCENARIOS: list[Scenario] = [
    a_whole_life,
    a_sleeping_vm_can_be_killed,
    what_cannot_be_done_is_refused,
    a_vm_moves,
    an_aborted_migration_leaves_it_where_it_was,
    a_late_migration_is_aborted,
    only_a_kill_interrupts_an_action,
    a_host_that_holds_a_vm_is_not_switched_off,
    an_unreachable_destination_is_reported,
]
