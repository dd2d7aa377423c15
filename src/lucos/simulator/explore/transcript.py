"""A path of an exploration as a story a person can read, and as a string that replays it.

A path is the case's name and the number of each move among all that could happen then: `two:0.3.1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lucos.errors import InputError
from lucos.simulator.explore.explorer import OUTSIDE, Explorer, Finding, Move

TEXT_MAX = 160


def encode(explorer: Explorer, finding: Finding) -> str:
    """The explored part of the path, for `replay`."""
    number, bounds, choices = explorer.initial, explorer.case.bounds, []
    for move in finding.path[: finding.explored]:
        possible = list(explorer.moves(number, bounds))
        index = next(i for i, (other, _) in enumerate(possible) if other == move)
        choices.append(str(index))
        bounds = possible[index][1]
        number, _ = explorer.take(number, move)
    return f"{explorer.case.name}:{'.'.join(choices)}"


def decode(explorer: Explorer, path: str) -> list[Move]:
    """The moves of `CASE:choices`; raises `InputError` when they cannot happen in this case."""
    name, _, choices = path.partition(":")
    number, bounds, moves = explorer.initial, explorer.case.bounds, list[Move]()
    for place, choice in enumerate(filter(None, choices.split("."))):
        possible = list(explorer.moves(number, bounds))
        if not choice.isdecimal() or int(choice) >= len(possible):
            raise InputError(
                f"explored path of {name}: choice {place + 1} is {choice!r}, of 0 to {len(possible) - 1}",
                hint="paths hold for the commit they were found with",
            )
        move, bounds = possible[int(choice)]
        moves.append(move)
        number, _ = explorer.take(number, move)
    return moves


def story(explorer: Explorer, path: Iterable[Move], explored: int) -> str:
    """What happens, a line a move and a line for each thing that the actors say of it."""
    steps, nodes, lines = explorer.steps, explorer.case.nodes, list[str]()
    number, time_s = explorer.initial, 0.0
    for place, move in enumerate(path):
        if place == explored:
            lines.append("         --- left in peace from here on ---")
        state, name = explorer.states[number], nodes[move.node]
        if move.kind == "ring":
            time_s += steps.alarm_s[state.nodes[move.node]] or 0.0
        number, law = explorer.take(number, move)
        lines.append(f"{time_s:8.3f} {_say(explorer, move, name)}")
        for event in explorer.told(state, move):
            lines.append(f"{'':8}   {name}: {event.kind} {event.subject}: {event.text}"[:TEXT_MAX])
        if law:
            lines.append(f"{'':8} ! {law}")
    return "\n".join(lines)


def _say(explorer: Explorer, move: Move, name: str) -> str:
    if move.kind in ("crash", "start"):
        return f"{name} {move.kind}{'es' if move.kind == 'crash' else 's'}"
    if move.kind == "ring":
        return f"{name} its next alarm rings"
    letter = explorer.steps.letters[move.what]
    source = "outside" if move.lane[1] == OUTSIDE else letter.sender
    verb = "->" if move.kind == "deliver" else "-> (lost)"
    return f"{source} {verb} {name}/{letter.actor}: {letter.message}"[:TEXT_MAX]


def tell(explorer: Explorer, finding: Finding) -> str:
    """All about a broken law: which, the shortest way to it, and how to replay it."""
    law, path = finding.law, encode(explorer, finding)
    told: Sequence[str] = (
        f"{explorer.case.name}: {law}",
        story(explorer, finding.path, finding.explored),
        f"replay: pytest tests/laws/test_explore.py --explore-path {path} -s",
    )
    return "\n".join(told)
