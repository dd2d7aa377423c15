"""Two hosts and an image for the tests on real guests, made once."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import HostUnderTest

from lucos.images import build_mini, mini

CLONE_NEWNET = 0x40000000


@pytest.fixture(scope="session")
def images_dir(request: pytest.FixtureRequest) -> Path:
    """A folder with the mini image, kept between runs for as long as its sources are the same."""
    assert request.config.cache is not None
    sources = Path(mini.__file__).read_bytes() + mini.GUEST_INIT.read_bytes()
    folder = request.config.cache.mkdir("lucos-images-" + hashlib.sha256(sources).hexdigest()[:12])
    if not (folder / "mini").exists():
        build_mini(folder / "mini", progress=print)
    return folder


@pytest.fixture(scope="module")
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[HostUnderTest]]:
    """h1 and h2, joined by a cable; the test's main thread is in the network of h1."""
    assert request.config.cache is not None
    capabilities = request.config.cache.mkdir("lucos-libvirt-capabilities") / "libvirt"
    folder = tmp_path_factory.mktemp("hosts")
    pair = [HostUnderTest(f"h{i}", f"10.99.0.{i}", folder / f"h{i}") for i in (1, 2)]
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        for host in pair:
            host.start(capabilities)
        pair[0].link(pair[1])
        for host in pair:
            host.start_libvirtd()
        there = os.open(f"/proc/{pair[0].pid}/ns/net", os.O_RDONLY)
        _enter_network(there)
        os.close(there)
        yield pair
        if not capabilities.exists():
            shutil.copytree(pair[0].folder / "var/cache/libvirt", capabilities)
    finally:
        _enter_network(home)
        os.close(home)
        for host in pair:
            host.stop()
        shutil.rmtree(folder)


def _enter_network(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
