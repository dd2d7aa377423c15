"""The rules of registry records, for every adapter: compare-and-swap, leases, epochs."""

from __future__ import annotations

import msgspec

from lucos.actors.ports import Record, RegistryDelete, RegistryLease, RegistryPut

Write = RegistryPut | RegistryDelete | RegistryLease


def after_write(record: Record | None, request: Write, now_s: float) -> tuple[bool, Record | None]:
    """(whether `request` is allowed on `record`, the record then; None when there is none any more)."""
    if isinstance(request, RegistryLease):
        if record is None or (record.holder not in ("", request.holder) and record.lease_until_s > now_s):
            return False, record
        return True, _leased(record, request, now_s)
    if request.expected_version != (record.version if record else 0):
        return False, record
    if isinstance(request, RegistryDelete):
        return True, None
    old = record or Record(request.key, b"", 0)
    return True, msgspec.structs.replace(old, value=request.value, version=old.version + 1)


def _leased(record: Record, request: RegistryLease, now_s: float) -> Record:
    if request.ttl_s <= 0:
        return msgspec.structs.replace(record, holder="", lease_until_s=0.0)
    epoch = record.epoch + (record.holder != request.holder)
    until_s = now_s + request.ttl_s
    return msgspec.structs.replace(record, holder=request.holder, lease_until_s=until_s, epoch=epoch)
