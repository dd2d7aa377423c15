"""What a simulated run did, as text a person can read: events, and messages in words."""

from __future__ import annotations

from collections.abc import Callable

from lucos.actors import Message
from lucos.actors.simulated import Simulation
from lucos.model import Event

# The words for a message, or None to leave it out.
Show = Callable[[Message], str | None]


class Transcript:
    """Records the events of `simulation` from now on, and the deliveries for which `show` has words.

    `hears(to, sender)` says which deliveries are told and `sees(event)` which events; by default all are.
    """

    def __init__(
        self,
        simulation: Simulation,
        show: Show | None = None,
        *,
        hears: Callable[[str, str], bool] | None = None,
        sees: Callable[[Event], bool] | None = None,
    ) -> None:
        self._simulation = simulation
        self._show = show
        self._hears = hears
        self._sees = sees
        self._rows: list[tuple[str, ...]] = []
        if show is not None:
            simulation.observers.append(self._deliver)
        simulation.listeners.append(self._hear)

    def note(self, text: str) -> None:
        """Say what the story does next."""
        self._rows.append((f"--- {self._simulation.now_s:.3f} {text}",))

    def _deliver(self, now_s: float, to: str, sender: str, message: Message) -> None:
        if self._hears is not None and not self._hears(to, sender):
            return
        text = self._show(message) if self._show else None
        if text is not None:
            self._rows.append((f"{now_s:8.3f}", sender, f"-> {to}", text))

    def _hear(self, event: Event) -> None:
        if self._sees is not None and not self._sees(event):
            return
        data = ", ".join(f"{name}={value}" for name, value in event.data.items())
        text = f"{event.text} ({data})" if data else event.text
        self._rows.append((f"{event.time_s:8.3f}", event.node, f"{event.kind} {event.subject}", text))

    def text(self) -> str:
        table = [row for row in self._rows if len(row) > 1]
        widths = [max((len(row[i]) for row in table), default=0) for i in range(3)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=False))
            for row in self._rows
        )
        return "".join(f"{line.rstrip()}\n" for line in lines)
