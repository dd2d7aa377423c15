"""libvirt's life-cycle events in the words of `DomainChanged`."""

from __future__ import annotations

# libvirt's numbers, stable since they are its ABI: (event, detail) -> change; detail None is any other.
_STARTED, _SUSPENDED, _RESUMED, _STOPPED, _CRASHED = 2, 3, 4, 5, 8
_CHANGES: dict[tuple[int, int | None], str] = {
    (_STARTED, 1): "incoming",
    (_STARTED, 2): "resumed",  # from disk
    (_STARTED, None): "started",
    (_SUSPENDED, 1): "",  # stopped for the switch of a migration
    (_SUSPENDED, None): "paused",
    (_RESUMED, 1): "arrived",
    (_RESUMED, None): "resumed",
    (_STOPPED, 2): "crashed",
    (_STOPPED, 3): "left",
    (_STOPPED, 4): "suspended",
    (_STOPPED, 5): "crashed",  # its QEMU ended unasked
    (_STOPPED, None): "stopped",
    (_CRASHED, None): "crashed",
}


class Incoming:
    """Turns events of one host into changes; it must remember who is being received to name them right."""

    def __init__(self) -> None:
        self._vms: set[str] = set()
        self._restored: set[str] = set()

    def change(self, vm: str, event: int, detail: int) -> str:
        """The change, or "" when the event means nothing to anybody but libvirt."""
        change = _CHANGES.get((event, detail), _CHANGES.get((event, None), ""))
        if change == "incoming":
            self._vms.add(vm)
        elif vm in self._vms:
            self._vms.discard(vm)
            if event == _STOPPED:
                return "migration-failed"
            # A VM that was paused when it left arrives paused.
            return "arrived" if event in (_RESUMED, _SUSPENDED) else change
        elif change == "arrived":
            return (
                ""  # resumed at its source after a migration that failed late: reported by who asked for it
            )
        return change
