"""Live migrations away from this host, each with one definite end: the VM has left, or it still runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

import msgspec

from lucos.actors.ports import DomainChanged, Perform
from lucos.errors import LucError, OperationFailed, Refused, Unreachable
from lucos.hypervisors.domains import Domains
from lucos.hypervisors.settings import HypervisorSettings

_LIBVIRTD_PORT = 16509
_REACH_S = 3.0  # for the destination's libvirtd to accept a connection
_ABORT_TRIES = 30  # a second apart
_STATISTICS_S = 2.0  # for the downtime to be known after the end

T = TypeVar("T")


class Call(Protocol):
    """Runs a blocking call on the domains in a thread of `pool` (that of actions when None)."""

    async def __call__(
        self, vm: str, call: Callable[[Domains], T], pool: ThreadPoolExecutor | None = None
    ) -> T: ...


class MigrationProgress(msgspec.Struct, frozen=True):
    """A migration under way: what memory is left, how fast it goes, and the pass it is in."""

    elapsed_s: float
    memory_total_mib: float
    memory_remaining_mib: float
    rate_mibps: float
    rounds: int


class Migrations:
    """Runs migrations; `quick` is the pool for calls that must not wait behind other actions."""

    def __init__(
        self,
        config: HypervisorSettings,
        call: Call,
        publish: Callable[[DomainChanged], None],
        quick: ThreadPoolExecutor,
    ) -> None:
        self._config = config
        self._call = call
        self._publish = publish
        self._quick = quick
        self._downtimes: dict[str, asyncio.Future[float]] = {}

    async def run(self, vm: str, request: Perform) -> float:
        """Migrate `vm`; the milliseconds for which it stood still, or a LucError that says where it is."""
        address = request.destination_address
        cap_mibps = request.bandwidth_mibps or self._config.bandwidth_mibps
        timeout_s = min(request.timeout_s, self._config.migration_timeout_s)
        await _reach(address, vm)
        downtime = self._downtimes[vm] = asyncio.get_running_loop().create_future()
        copying = asyncio.ensure_future(
            self._call(vm, lambda d: d.migrate(vm, address, cap_mibps, request.force))
        )
        try:
            if not (await asyncio.wait({copying}, timeout=timeout_s))[0]:
                await self._end(vm, copying, f"not done within {timeout_s:g} s")
            await copying
            done, _ = await asyncio.wait({downtime}, timeout=_STATISTICS_S)
            return downtime.result() if done else 0.0
        except LucError as error:
            raise await self._failed(vm, address, error) from None
        finally:
            del self._downtimes[vm]

    async def inherit(self, vm: str) -> None:
        """See a migration that a former agent began to its end, or end it when it has taken too long."""
        timeout_s = self._config.migration_timeout_s
        seconds = int(timeout_s) + _ABORT_TRIES
        with suppress(LucError):  # it has left, or libvirtd has
            while seconds and await self.progress(vm) is not None:
                if seconds <= _ABORT_TRIES:
                    await self.abort(vm)
                await asyncio.sleep(1.0)  # libvirt announces the end of no job that failed
                seconds -= 1
            if seconds < _ABORT_TRIES:
                why = f"begun by a former agent and not done within {timeout_s:g} s; it is still here"
                self._publish(DomainChanged(vm, "migration-failed", why))

    async def abort(self, vm: str) -> None:
        """End the migration of `vm` if one runs here."""
        with suppress(LucError):  # nothing to abort: it has ended, or has not begun
            await self._call(vm, lambda d: d.abort(vm), self._quick)

    def completed(self, vm: str, statistics: dict[str, int]) -> None:
        """libvirt's statistics of a job that succeeded."""
        downtime = self._downtimes.get(vm)
        if downtime is not None and not downtime.done() and "downtime" in statistics:
            downtime.set_result(float(statistics["downtime"]))

    async def progress(self, vm: str) -> MigrationProgress | None:
        """How far the migration of `vm` is; None when none is under way. Raises `UnknownObject`."""
        job = await self._call(vm, lambda d: d.job(vm), self._quick)
        if not job.get("memory_total"):
            return None
        mib = 1024.0 * 1024.0
        return MigrationProgress(
            elapsed_s=job.get("time_elapsed", 0) / 1000.0,
            memory_total_mib=job["memory_total"] / mib,
            memory_remaining_mib=job.get("memory_remaining", 0) / mib,
            rate_mibps=job.get("memory_bps", 0) / mib,
            rounds=job.get("memory_iteration", 0),
        )

    async def _end(self, vm: str, copying: asyncio.Future[None], why: str) -> None:
        """Abort a migration until it has ended; raises `OperationFailed` unless it came through."""
        for _ in range(_ABORT_TRIES):
            await self.abort(vm)
            if (await asyncio.wait({copying}, timeout=1.0))[0]:
                break
        else:
            # Nobody will wait for it any more; its error must not be reported as forgotten.
            copying.add_done_callback(lambda ended: ended.exception())
        if not copying.done() or copying.exception() is not None:
            raise OperationFailed(why)

    async def _failed(self, vm: str, address: str, error: LucError) -> LucError:
        """What to tell of a failed migration: where the VM is now is what matters."""
        reason, spec = error.message.removeprefix(f"{vm}: "), None
        try:
            spec = await self._call(vm, lambda d: d.spec(d.find(vm)), self._quick)
            where = f"it is still here, {await self._call(vm, lambda d: d.state(vm), self._quick)}"
            if isinstance(error, Unreachable):
                reason = "the destination stopped answering"
        except Unreachable:
            where = "where it is will be known when libvirtd here answers again"
        except LucError:
            where = "it does not run here any more"
        if not isinstance(error, Refused):  # refused: it never began
            self._publish(DomainChanged(vm, "migration-failed", reason, spec))
        cls = type(error) if isinstance(error, (Refused, Unreachable)) else OperationFailed
        return cls(f"migration of {vm} to {address}: {reason}; {where}", hint=error.hint)


async def _reach(address: str, vm: str) -> None:
    """Refuse a destination that does not answer now: libvirt would wait for it for minutes."""
    try:
        async with asyncio.timeout(_REACH_S):
            _, writer = await asyncio.open_connection(address, _LIBVIRTD_PORT)
    except TimeoutError:
        raise Unreachable(f"migration of {vm}: libvirtd at {address} does not answer") from None
    except OSError as error:
        raise Unreachable(f"migration of {vm}: libvirtd at {address} cannot be reached: {error}") from None
    writer.close()
