"""This terminal key by key, and the raw line between it and a VM's serial console."""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lucos.cli.render import say

DETACH = b"\x1d"  # ctrl-]


def attach(line: socket.socket, said: bytes, vm: str) -> None:
    """Carry bytes both ways until ctrl-] or the line ends. Without a terminal, the end of input is no end."""
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    interactive = sys.stdin.isatty()
    if interactive:
        say(f"console of {vm}; ctrl-] leaves")
    sources: list[int | socket.socket] = [line, keyboard]
    # A line that breaks is a line that ended.
    with key_by_key(raw=True), suppress(ConnectionResetError):
        _write(screen, said)
        while True:
            ready, _, _ = select.select(sources, [], [])
            if line in ready:
                data = line.recv(65536)
                if not data:
                    break
                _write(screen, data)
            if keyboard in ready:
                typed = os.read(keyboard, 4096)
                kept, detach, _ = typed.partition(DETACH) if interactive else (typed, b"", b"")
                line.sendall(kept)
                if detach:
                    break
                if not typed:
                    sources.remove(keyboard)
    if interactive:
        say(f"\nleft the console of {vm}; it runs on")


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


@contextmanager
def key_by_key(*, raw: bool) -> Iterator[bool]:
    """Each key at once, without echo, ctrl-C too if `raw`; the value says if there is a keyboard."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        (tty.setraw if raw else tty.setcbreak)(sys.stdin)
        yield True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
