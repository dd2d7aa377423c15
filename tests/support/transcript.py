"""What a simulated run did, as text a person can read, compared with a file that is checked in.

`UPDATE_TRANSCRIPTS=1 pytest ...` writes the files instead of comparing.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from lucos.actors import Message
from lucos.actors.simulated import Simulation

# The text for a delivery to an address, or None to leave it out.
Show = Callable[[Message], str | None]


class Transcript:
    """Records the events of `simulation`, and of its deliveries those for which `show` gives a text."""

    def __init__(self, simulation: Simulation, show: Show | None = None) -> None:
        self._simulation = simulation
        self._show = show
        self._taken = len(simulation.events)
        self._rows: list[tuple[str, ...]] = []
        simulation.observers.append(self._deliver)
        simulation.after_each.append(self._take_events)

    def note(self, text: str) -> None:
        """Say what the story does next."""
        self._take_events()
        self._rows.append((f"--- {self._simulation.now_s:.3f} {text}",))

    def _deliver(self, now_s: float, to: str, sender: str, message: Message) -> None:
        self._take_events()
        text = self._show(message) if self._show else None
        if text is not None:
            self._rows.append((f"{now_s:8.3f}", sender, f"-> {to}", text))

    def _take_events(self) -> None:
        for event in self._simulation.events[self._taken :]:
            data = ", ".join(f"{name}={value}" for name, value in event.data.items())
            text = f"{event.text} ({data})" if data else event.text
            self._rows.append((f"{event.time_s:8.3f}", event.node, f"{event.kind} {event.subject}", text))
        self._taken = len(self._simulation.events)

    def text(self) -> str:
        self._take_events()
        table = [row for row in self._rows if len(row) > 1]
        widths = [max((len(row[i]) for row in table), default=0) for i in range(3)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=False))
            for row in self._rows
        )
        return "".join(f"{line.rstrip()}\n" for line in lines)


def check_transcript(text: str, path: Path) -> None:
    """Fail with a difference when `text` is not what `path` holds."""
    if os.environ.get("UPDATE_TRANSCRIPTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != expected:
        difference = "".join(
            difflib.unified_diff(expected.splitlines(True), text.splitlines(True), str(path), "this run")
        )
        raise AssertionError(f"{difference}\nif this is what it should be: UPDATE_TRANSCRIPTS=1 pytest ...")
