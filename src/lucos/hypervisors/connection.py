"""The connection to libvirtd: opened with checks, events through libvirt's own loop, errors in our words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from lucos.errors import (
    AlreadyExists,
    EnvironmentMissing,
    LucError,
    OperationFailed,
    Refused,
    UnknownObject,
    Unreachable,
)

LIBVIRT_MIN = 9
# A libvirtd silent for this long is taken for dead.
_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 5, 3

Lifecycle = Callable[[str, str, int, int], None]  # name, uuid, event, detail
JobDone = Callable[[str, dict[str, int]], None]  # name, statistics


@cache
def libvirt() -> Any:
    """The libvirt module with its event loop running; raises `EnvironmentMissing` when it is absent."""
    try:
        import libvirt as module
    except ImportError:
        raise EnvironmentMissing(
            "the Python module libvirt is absent",
            hint="pip install 'lucos[libvirt]' (needs libvirt-dev, gcc)",
        ) from None
    # Errors become exceptions; without this libvirt prints each one to standard error as well.
    module.registerErrorHandler(lambda *_: None, None)
    module.virEventRegisterDefaultImpl()

    def turn() -> None:
        while True:
            module.virEventRunDefaultImpl()

    # Process-wide by libvirt's design, so one thread serves every connection and ends with the process.
    threading.Thread(target=turn, name="libvirt-events", daemon=True).start()
    return module


class Connection:
    """One open connection. All methods but the constructor's callbacks block: call them from worker threads.

    `lifecycle`, `job_done` and `lost` are called in libvirt's event thread and must return at once.
    """

    def __init__(self, uri: str, lifecycle: Lifecycle, job_done: JobDone, lost: Callable[[], None]) -> None:
        self._lv = lv = libvirt()
        self.raw = self._open(uri)
        self._callbacks: list[int] = []
        try:
            self.libvirt_version: int = self.raw.getLibVersion()
            self.qemu_version: int = self.raw.getVersion()
            self.raw.setKeepAlive(_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT)
            self.raw.registerCloseCallback(lambda *_: lost(), None)

            def on_lifecycle(_c: Any, domain: Any, event: int, detail: int, _o: Any) -> None:
                lifecycle(domain.name(), domain.UUIDString(), event, detail)

            def on_job(_c: Any, domain: Any, statistics: dict[str, int], _o: Any) -> None:
                job_done(domain.name(), statistics)

            for kind, callback in (
                (lv.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle),
                (lv.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, on_job),
            ):
                self._callbacks.append(self.raw.domainEventRegisterAny(None, kind, callback, None))
        except lv.libvirtError as error:
            self.close()
            raise explain(error, "libvirtd") from None

    def _open(self, uri: str) -> Any:
        try:
            raw = self._lv.open(uri)
        except self._lv.libvirtError as error:
            if os.geteuid() != 0 and "denied" in str(error).lower():
                raise EnvironmentMissing(
                    "not root: libvirt refuses access", hint="run the agent as root"
                ) from None
            raise Unreachable(
                f"libvirt at {uri} cannot be reached: {error}", hint="is libvirtd running?"
            ) from None
        version = raw.getLibVersion()
        if version < LIBVIRT_MIN * 1_000_000:
            raw.close()
            raise EnvironmentMissing(
                f"libvirt {dotted(version)} is too old", hint=f"version {LIBVIRT_MIN} or later is needed"
            )
        return raw

    def close(self) -> None:
        """Unregister and close; harmless when libvirtd is already gone."""
        for forget, arguments in (
            *((self.raw.domainEventDeregisterAny, (number,)) for number in self._callbacks),
            (self.raw.unregisterCloseCallback, ()),
            (self.raw.close, ()),
        ):
            try:
                forget(*arguments)
            except self._lv.libvirtError:
                continue


def dotted(version: int) -> str:
    """libvirt's number 11003000 as 11.3.0."""
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"


def explain(error: Any, vm: str) -> LucError:
    """A libvirtError about `vm` as one of our errors."""
    lv = libvirt()
    code, text = error.get_error_code(), error.get_error_message() or str(error)
    if code == lv.VIR_ERR_NO_DOMAIN:
        return UnknownObject(f"no VM {vm} on this host", hint="luc ps shows where it runs")
    if code == lv.VIR_ERR_DOM_EXIST or "already exists" in text or "already active" in text:
        return AlreadyExists(f"a VM {vm} exists already: {text}")
    if "onnection refused" in text or "Unable to connect" in text or "unable to connect" in text:
        return Unreachable(f"{vm}: {text}", hint="is libvirtd running there, and reachable?")
    if code in (lv.VIR_ERR_RPC, lv.VIR_ERR_NO_CONNECT, lv.VIR_ERR_INVALID_CONN) or any(
        sign in text for sign in ("socket is closed", "End of file while reading")
    ):
        return Unreachable(f"{vm}: the connection to libvirtd broke: {text}", hint="is libvirtd running?")
    if code in (lv.VIR_ERR_OPERATION_INVALID, lv.VIR_ERR_OPERATION_DENIED):
        return Refused(f"{vm}: {text}")
    if "annot allocate memory" in text:
        return Refused(f"{vm}: this host has not enough memory: {text}")
    return OperationFailed(f"{vm}: {text}")
