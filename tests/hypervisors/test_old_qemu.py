"""QEMU before version 8 corrupts guests that write while they migrate live: refused unless forced."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lucos.errors import Refused
from lucos.hypervisors.domains import Domains


class Migrated(Exception):
    pass


def domains_of(qemu_version: int) -> Domains:
    """`Domains` that knows one VM and whose libvirt says `qemu_version` (major * 1,000,000 + ...)."""

    def migrate_to(*_: object) -> None:
        raise Migrated

    domains = object.__new__(Domains)
    domains._qemu_version = qemu_version
    domains._lv = SimpleNamespace(VIR_MIGRATE_LIVE=1, VIR_MIGRATE_PEER2PEER=2)
    domains.find = lambda _: SimpleNamespace(migrateToURI3=migrate_to)
    return domains


def test_old_qemu_is_refused_with_the_reason() -> None:
    with pytest.raises(Refused, match=r"ve\.vm runs on QEMU 7, which can corrupt the memory") as caught:
        domains_of(7_002_000).migrate("ve.vm", "10.77.1.2", 0.0, force=False)
    assert "QEMU 8 or later" in caught.value.hint


def test_old_qemu_migrates_when_forced_and_new_qemu_always() -> None:
    for version, force in ((7_002_000, True), (8_000_000, False), (10_000_002, False)):
        with pytest.raises(Migrated):
            domains_of(version).migrate("ve.vm", "10.77.1.2", 0.0, force=force)
