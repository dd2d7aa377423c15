"""Where vjobs are handed in, listed and taken back: on any node, straight on the registry."""

from __future__ import annotations

from functools import partial

import msgspec

from lucos.actors import Calls, World
from lucos.errors import AlreadyExists, InputError, LucError, UnknownObject
from lucos.model import VeState
from lucos.resources.queue.records import HEAD, VJOBS, Shelf, amend, read
from lucos.resources.queue.vjob import (
    CancelVjob,
    Head,
    ListVjobs,
    Queued,
    SubmitVjob,
    Vjob,
    VjobRecord,
    VjobRow,
)


class Desk:
    """Answers for one node; the leader finds what is on record when it looks."""

    def __init__(self, world: World, calls: Calls) -> None:
        self._world = world
        self._calls = calls

    def submit(self, request: SubmitVjob, sender: str) -> None:
        """A place in the queue first, then the vjob: failing in between leaves a gap, which is harmless."""
        vjob = request.vjob
        try:
            check(vjob)
        except LucError as wrong:
            self._answer(request.call_id, sender, wrong, None)
            return

        def numbered(error: LucError | None, head: Head | None) -> None:
            if error or head is None:
                self._answer(request.call_id, sender, error, None)
                return
            record = VjobRecord(vjob, head.submitted, head.now_s, changed_s=head.now_s)
            put = partial(_new, record=record)
            amend(self._calls, VJOBS + vjob.name, VjobRecord, put, written)

        def written(error: LucError | None, record: VjobRecord | None) -> None:
            if error is None:
                text = f"{len(vjob.vms)} VMs"
                self._world.emit("vjob.submitted", vjob.name, text, priority=vjob.priority)
            self._answer(request.call_id, sender, error, record)

        amend(self._calls, HEAD, Head, _numbered, numbered)

    def cancel(self, request: CancelVjob, sender: str) -> None:
        name = request.name

        def marked(error: LucError | None, record: VjobRecord | None) -> None:
            if error is None:
                self._world.emit("vjob.cancelled", name, "taken out of the queue")
            self._answer(request.call_id, sender, error, record)

        amend(self._calls, VJOBS + name, VjobRecord, partial(_cancelled, name=name), marked)

    def list(self, request: ListVjobs, sender: str) -> None:
        def known(shelf: Shelf) -> None:
            head = shelf.head or Head()
            rows = tuple(_row(record, head) for record in shelf.in_order())
            kind = "Unreachable" if shelf.error else ""
            self._world.send(sender, Queued(request.call_id, rows, shelf.error, kind))

        read(self._calls, known)

    def crashed(self, vm: str) -> None:
        """A VM of this node died: if it was of a vjob, that has to begin anew."""

        def mark(record: VjobRecord | None) -> VjobRecord | None:
            ours = record is not None and any(spec.id == vm for spec in record.vjob.vms)
            return msgspec.structs.replace(record, crashed=True) if record and ours else record

        name = vm.partition(".")[0]
        amend(self._calls, VJOBS + name, VjobRecord, mark, lambda _error, _record: None)

    def _answer(self, call_id: int, sender: str, error: LucError | None, record: VjobRecord | None) -> None:
        if error is not None:
            answer = Queued(call_id, (), error.message, error.kind, error.hint)
        else:
            answer = Queued(call_id, (_row(record, Head(record.submitted_s)),) if record else ())
        self._world.send(sender, answer)


def check(vjob: Vjob) -> None:
    """Raise `InputError` for a vjob that makes no sense."""
    if not vjob.vms:
        raise InputError(f"vjob {vjob.name} has no VMs")
    if not 0.0 < vjob.cpu_pct <= 100.0 * min(spec.cpu for spec in vjob.vms):
        raise InputError(
            f"vjob {vjob.name}: cpu_pct is {vjob.cpu_pct:g}",
            hint="it is above 0, and 100 per virtual CPU at most",
        )
    if vjob.duration_s < 0.0 or vjob.deadline_s < 0.0:
        raise InputError(f"vjob {vjob.name}: duration_s and deadline_s are not below 0")
    seen: set[str] = set()
    for spec in vjob.vms:
        if spec.ve != vjob.name or not spec.id.startswith(f"{vjob.name}."):
            raise InputError(f"vjob {vjob.name}: its VM {spec.id} is not called {vjob.name}.vm")
        if spec.id in seen:
            raise InputError(f"vjob {vjob.name}: {spec.id} is there twice")
        seen.add(spec.id)


def _numbered(head: Head | None) -> Head:
    head = head or Head()
    return msgspec.structs.replace(head, submitted=head.submitted + 1)


def _new(known: VjobRecord | None, record: VjobRecord) -> VjobRecord:
    if known is not None:
        raise AlreadyExists(
            f"a vjob called {record.vjob.name} is in the queue already",
            hint="choose another name, or cancel it",
        )
    return record


def _cancelled(known: VjobRecord | None, name: str) -> VjobRecord:
    if known is None:
        raise UnknownObject(f"no vjob called {name} is in the queue", hint="the queue's list shows who is")
    return msgspec.structs.replace(known, cancelled=True)


def _row(record: VjobRecord, head: Head) -> VjobRow:
    vjob, running = record.vjob, record.state is VeState.RUNNING
    return VjobRow(
        vjob.name,
        "cancelled" if record.cancelled else str(record.state),
        len(vjob.vms),
        vjob.priority,
        head.now_s - record.submitted_s,
        record.ran_s + (head.now_s - record.changed_s if running else 0.0),
        vjob.deadline_s,
        tuple(sorted(set(record.places.values()))) if running else (),
        head.why_not.get(vjob.name, ""),
    )
