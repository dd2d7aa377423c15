"""The wide area between sites: a switch in user space that delays every frame by half the round trip.

Run as `python -m lucos.lab.wan SITES RTT_MS LOG` in the lab's network namespace: it makes the TAP devices
wan1..wanSITES, turns its output to the file LOG when they exist, and forwards until killed. The delay is
the same for all ways, so one queue keeps the order. Frames carry the kernel's offload header, so a whole
64 KiB TCP segment is one frame.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

QUEUE_BYTES_MAX = 64 * 1024 * 1024
ADDRESSES_MAX = 4096
BATCH = 64
FRAME_BYTES_MAX = 128 * 1024

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_OFFLOADS = 0x01 | 0x02 | 0x04  # checksum, TCP segmentation over IPv4 and IPv6
_VNET_HEADER_BYTES = 10


class Switch:
    """A learning switch over frame-oriented file descriptors, with the same delay on every way.

    Each frame starts with `header_bytes` that are passed on untouched. Beyond `queue_bytes_max` bytes under
    way, frames are dropped, as on any full link.
    """

    def __init__(self, ports: list[int], delay_s: float, *, header_bytes: int = 0) -> None:
        self._ports = ports
        self._delay_s = delay_s
        self._header_bytes = header_bytes
        self._under_way: deque[tuple[float, int, bytes]] = deque()
        self._bytes = 0
        self._port_of: dict[bytes, int] = {}

    def accept(self, port: int, frame: bytes, now_s: float) -> None:
        """Take a frame that came in at `port`."""
        start = self._header_bytes
        receiver, sender = frame[start : start + 6], frame[start + 6 : start + 12]
        if len(self._port_of) >= ADDRESSES_MAX:
            self._port_of.clear()
        self._port_of[sender] = port
        known = self._port_of.get(receiver)
        for out in self._ports if known is None else [known]:
            if out != port and self._bytes + len(frame) <= QUEUE_BYTES_MAX:
                self._bytes += len(frame)
                self._under_way.append((now_s + self._delay_s, out, frame))

    def wait_s(self, now_s: float) -> float | None:
        """Until the next frame is due; None when there is none."""
        return max(0.0, self._under_way[0][0] - now_s) if self._under_way else None

    def deliver(self, now_s: float) -> None:
        """Send the frames that are due."""
        while self._under_way and self._under_way[0][0] <= now_s:
            _, port, frame = self._under_way.popleft()
            self._bytes -= len(frame)
            try:
                os.write(port, frame)
            except OSError:
                # The link is down or full: the frame is lost, as on any link.
                continue

    def step(self) -> None:
        """Wait for a frame to come in or fall due, and handle what there is."""
        # select, for its microseconds: poll and epoll round the delay up to whole milliseconds.
        readable, _, _ = select.select(self._ports, [], [], self.wait_s(time.monotonic()))
        for port in readable:
            now_s = time.monotonic()
            for _ in range(BATCH):
                try:
                    frame = os.read(port, FRAME_BYTES_MAX)
                except BlockingIOError:
                    break
                self.accept(port, frame, now_s)
        self.deliver(time.monotonic())


def open_tap(name: str) -> int:
    """A new TAP device in this network namespace; it vanishes with this process."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(tap, _TUNSETOFFLOAD, _OFFLOADS)
    return tap


def main() -> None:
    sites, rtt_ms = int(sys.argv[1]), float(sys.argv[2])
    taps = [open_tap(f"wan{site}") for site in range(1, sites + 1)]
    switch = Switch(taps, rtt_ms / 2000, header_bytes=_VNET_HEADER_BYTES)
    log = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for output in (1, 2):
        os.dup2(log, output)
    while True:
        switch.step()


if __name__ == "__main__":
    main()
