"""libvirt's life-cycle events in the words of `DomainChanged`."""

from __future__ import annotations

# libvirt's numbers, stable since they are its ABI: (event, detail) -> change; detail None is any other.
_STARTED, _SUSPENDED, _RESUMED, _STOPPED, _CRASHED = 2, 3, 4, 5, 8
_CHANGES: dict[tuple[int, int | None], str] = {
    (_STARTED, 1): "incoming",
    (_STARTED, 2): "",  # from disk: "resumed" follows when it runs
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


class Changes:
    """Names the changes of one host's VMs; to do so it remembers who is here and who is being received."""

    def __init__(self) -> None:
        self._present: set[str] = set()
        self._incoming: set[str] = set()

    def found(self, vms: set[str]) -> None:
        """Those present when the connection was made, whatever was missed before."""
        self._present, self._incoming = set(vms), set()

    def change(self, vm: str, event: int, detail: int) -> str:
        """The change, or "" when the event means nothing to anybody but libvirt."""
        change = _CHANGES.get((event, detail), _CHANGES.get((event, None), ""))
        incoming, present = vm in self._incoming, vm in self._present
        if event == _STOPPED:
            self._present.discard(vm)
        elif event == _STARTED:
            self._present.add(vm)
        if change == "incoming":
            self._incoming.add(vm)
        elif incoming and event in (_RESUMED, _SUSPENDED, _STOPPED):
            self._incoming.discard(vm)
            if event == _STOPPED:
                return "migration-failed"
            # A VM that was paused when it left arrives paused.
            return "arrived"
        elif event in (_RESUMED, _SUSPENDED) and (not present or change == "arrived"):
            # A step of a start that is announced later, or of a migration that failed late.
            return ""
        return change
