"""Exhaustive exploration of production actors, as a model checker does it: every order of deliveries,
alarms, losses and crashes within the bounds of a case.

Time is global and passes only when an alarm rings; alarms ring in the order they are due, those due together
in every order. A letter may arrive at any moment, so also after alarms that rang meanwhile (`Bounds` say how
often). Search is breadth first, so the path to a broken law is a shortest one. From each new state the
world is also left in peace (letters first, then alarms, nothing goes wrong): it must come to rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from lucos.simulator.explore.case import Bounds, Case, Told
from lucos.simulator.explore.node import Emitted
from lucos.simulator.explore.steps import CRASH, FIRE, START, Mailed, Outcome, Steps

# Channels whose letters may be taken in any order; all others are first in, first out.
UNORDERED = ("datagram", "slow", "orders")
# Those on which letters take as long as they like.
PATIENT = ("slow", "orders", "news")
LOSSY = ("datagram", "stream")
CALM_STEPS_MAX = 5000
OUTSIDE = -1

Lane = tuple[int, int, str]  # to, from, channel
Mail = tuple[tuple[Lane, tuple[int, ...]], ...]


class State(NamedTuple):
    """Of the whole world, but for what may still go wrong."""

    nodes: tuple[int, ...]
    mail: Mail
    ledger: Hashable


class Move(NamedTuple):
    """deliver or lose (letter `what` of `lane`), ring, crash or start (`node`)."""

    kind: str
    node: int
    lane: Lane = (0, 0, "")
    what: int = 0


class Finding(NamedTuple):
    """A law that does not hold: the moves that lead to it, and how many of them are exploration's (the rest
    is what happens when the world is then left in peace)."""

    law: str
    path: tuple[Move, ...]
    explored: int


class Report(NamedTuple):
    """`complete` says that all states within the bounds were seen. `local` counts states of single nodes."""

    case: str
    states: int
    moves: int
    depth: int
    local: int
    complete: bool
    finding: Finding | None


class Explorer:
    """Explores `case`; results are remembered, so one explorer must not outlive a change of the actors."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.steps = Steps(case)
        self.states: list[State] = []  # by number
        self._numbers: dict[State, int] = {}
        self._taken: dict[tuple[int, Move], tuple[int, str]] = {}
        self._laws: dict[tuple[object, ...], str] = {}
        self._at_peace: set[int] = set()
        self.initial = self._begin()

    def explore(self, states_max: int = 1_000_000) -> Report:
        """All states, breadth first, until a law is broken or `states_max` are found.

        A state is left out when it was met with at least as much that may still go wrong.
        """
        start = (self.initial, self.case.bounds)
        origin: dict[tuple[int, Bounds], tuple[tuple[int, Bounds], Move] | None] = {start: None}
        met: dict[int, list[Bounds]] = {self.initial: [self.case.bounds]}
        frontier, moves, depth = deque([(start, 0)]), 0, 0
        finding: Finding | None = None
        while frontier and finding is None and len(origin) < states_max:
            here, depth = frontier.popleft()
            if self.case.ends_at_rest and self._rested(here[0]):
                continue
            for move, bounds in self.moves(*here):
                moves += 1
                after, law = self.take(here[0], move)
                if not law and _covered(met.setdefault(after, []), bounds):
                    continue
                calm: list[Move] = []
                law = law or self._come_to_rest(after, calm)
                if law:
                    path = (*_path(origin, here), move)
                    finding = Finding(law, (*path, *calm), len(path))
                    break
                there = after, bounds
                origin[there] = here, move
                frontier.append((there, depth + 1))
        complete = not frontier and finding is None
        local = len(self.steps.facts)
        return Report(self.case.name, len(origin), moves, depth, local, complete, finding)

    # --- what can happen ----------------------------------------------------------------------------

    def moves(self, number: int, bounds: Bounds) -> Iterator[tuple[Move, Bounds]]:
        """All that can happen next, in a fixed order, and what may still go wrong after it."""
        state = self.states[number]
        for move in self._deliveries(state):
            yield move, bounds
            if bounds.losses and move.lane[2] in LOSSY:
                yield move._replace(kind="lose"), bounds._replace(losses=bounds.losses - 1)
        next_s = self._next_alarm_s(state)
        charged = bounds if next_s == 0 else _charged(bounds, state.mail)
        for i, node in enumerate(state.nodes):
            if charged is not None and next_s is not None and self.steps.alarm_s[node] == next_s:
                yield Move("ring", i), charged
            if not self.steps.up[node]:
                if bounds.returns:
                    yield Move("start", i), bounds._replace(returns=bounds.returns - 1)
            elif bounds.crashes:
                yield Move("crash", i), bounds._replace(crashes=bounds.crashes - 1)

    def _deliveries(self, state: State) -> Iterator[Move]:
        for lane, letters in state.mail:
            if lane[2] == "orders" and not self.steps.up[state.nodes[lane[0]]]:
                continue
            heads = dict.fromkeys(letters) if lane[2] in UNORDERED else letters[:1]
            for what in heads:
                yield Move("deliver", lane[0], lane, what)

    def _next_alarm_s(self, state: State) -> float | None:
        due = (self.steps.alarm_s[node] for node in state.nodes)
        return min((s for s in due if s is not None), default=None)

    # --- what comes of it ---------------------------------------------------------------------------

    def take(self, number: int, move: Move) -> tuple[int, str]:
        """The state after `move`, and the law that it breaks ("" for none)."""
        taken = self._taken.get((number, move))
        if taken is None:
            after, law = self._take(self.states[number], move)
            taken = self._taken[number, move] = self._number(after), law
        return taken

    def _number(self, state: State) -> int:
        number = self._numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
        return number

    def _take(self, state: State, move: Move) -> tuple[State, str]:
        mail, ledger = dict(state.mail), state.ledger
        if move.kind in ("deliver", "lose"):
            _remove(mail, move.lane, move.what)
        if move.kind == "lose":
            return state._replace(mail=_sorted(mail)), ""
        nodes, outcome = self._step(state, move)
        before, nodes[move.node] = nodes[move.node], outcome.node
        name, facts = self.case.nodes[move.node], self.steps.facts
        if move.kind == "crash":
            ledger = self.case.crashed(ledger, name, self._facts(state))
        self._post(mail, nodes, move, outcome)
        told = Told(name, facts[outcome.node], facts[before], outcome.sent, outcome.emitted)
        ledger, law = self.case.account(ledger, told)
        after = State(tuple(nodes), _sorted(mail), ledger)
        return after, outcome.error or law or self._law(after)

    def _step(self, state: State, move: Move) -> tuple[list[int], Outcome]:
        """The nodes when `move` happens, and what comes of it at its node."""
        nodes = list(state.nodes)
        if move.kind == "ring":
            passed_s = self.steps.alarm_s[nodes[move.node]] or 0.0
            nodes = [self.steps.later(node, passed_s) for node in nodes]
        what = {"deliver": move.what, "ring": FIRE, "crash": CRASH, "start": START}[move.kind]
        return nodes, self.steps.take(nodes[move.node], what)

    def told(self, state: State, move: Move) -> tuple[Emitted, ...]:
        """What actors say when `move` happens."""
        return () if move.kind == "lose" else self._step(state, move)[1].emitted

    def _law(self, state: State) -> str:
        key = (*(self.steps.facts_number[node] for node in state.nodes), state.ledger)
        law = self._laws.get(key)
        if law is None:
            law = self._laws[key] = self.case.broken(self._facts(state), state.ledger)
        return law

    def _post(
        self, mail: dict[Lane, tuple[int, ...]], nodes: list[int], move: Move, outcome: Outcome
    ) -> None:
        """Put into the mail what the step sent, and news of a crash or return; drop what nobody can get."""
        if move.kind == "crash":
            stays = self.steps.hardware[outcome.node]
            for lane in [lane for lane in mail if lane[0] == move.node and lane[2] != "orders"]:
                _put(mail, lane, [n for n in mail[lane] if self.steps.letters[n].actor in stays])
        for mailed in outcome.mailed:
            self._add(mail, nodes, mailed, move.node)
        if move.kind in ("crash", "start"):
            for name, letter in self.case.news(self.case.nodes[move.node], move.kind == "start"):
                to = self.case.nodes.index(name)
                self._add(mail, nodes, Mailed(to, "news", self.steps.letter(letter)), OUTSIDE)

    def _add(self, mail: dict[Lane, tuple[int, ...]], nodes: list[int], mailed: Mailed, source: int) -> None:
        there, letter = nodes[mailed.to], self.steps.letters[mailed.letter]
        if isinstance(letter.message, self.case.inert):
            return
        if self.steps.up[there] or letter.actor in self.steps.hardware[there]:
            lane = (mailed.to, source, mailed.channel)
            letters = (*mail.get(lane, ()), mailed.letter)
            mail[lane] = tuple(sorted(letters)) if mailed.channel in UNORDERED else letters

    # --- peace --------------------------------------------------------------------------------------

    def _begin(self) -> int:
        outcomes, mail = self.steps.begin(), dict[Lane, tuple[int, ...]]()
        nodes = [outcome.node for outcome in outcomes]
        for i, outcome in enumerate(outcomes):
            for mailed in outcome.mailed:
                self._add(mail, nodes, mailed, i)
        number = self._number(State(tuple(nodes), _sorted(mail), self.case.ledger()))
        rings = 0
        for _ in range(CALM_STEPS_MAX):
            state = self.states[number]
            if not state.mail and rings >= self.case.rings_before and self.case.ready(self._facts(state)):
                break
            move = self._calm_move(state)
            rings += move.kind == "ring"
            number, _ = self.take(number, move)
        else:
            raise ValueError(f"{self.case.name}: its world does not come to where exploration begins")
        mail = dict(state.mail)
        for name, letter in self.case.orders():
            mailed = Mailed(self.case.nodes.index(name), "orders", self.steps.letter(letter))
            self._add(mail, list(state.nodes), mailed, OUTSIDE)
        return self._number(State(state.nodes, _sorted(mail), self.case.ledger()))

    def _facts(self, state: State) -> tuple[object, ...]:
        return tuple(self.steps.facts[node] for node in state.nodes)

    def _rested(self, number: int) -> bool:
        state = self.states[number]
        return not state.mail and self.case.rested(self._facts(state))

    def _calm_move(self, state: State) -> Move:
        """What happens next when nothing goes wrong: letters arrive, the crashed return, time passes."""
        deliveries = sorted(self._deliveries(state), key=lambda m: m.lane[2] in PATIENT)
        if deliveries:
            return deliveries[0]
        down = [i for i, node in enumerate(state.nodes) if not self.steps.up[node]]
        if down and self.case.released(self._facts(state)):
            return Move("start", down[0])
        next_s = self._next_alarm_s(state)
        return Move("ring", [self.steps.alarm_s[node] for node in state.nodes].index(next_s))

    def _come_to_rest(self, number: int, path: list[Move]) -> str:
        """The law that breaks, or that it never rests, when left in peace; `path` is what happens then."""
        seen: dict[int, None] = {}
        while number not in self._at_peace and not self._rested(number):
            if number in seen or len(seen) > CALM_STEPS_MAX:
                return "left in peace, it never comes to rest"
            seen[number] = None
            path.append(self._calm_move(self.states[number]))
            number, law = self.take(number, path[-1])
            if law:
                return law
        self._at_peace.update(seen)
        return ""


def _charged(bounds: Bounds, mail: Mail) -> Bounds | None:
    """What may still go wrong after time passes now; None when it may not pass."""
    channels = {lane[2] for lane, _ in mail}
    if any(channel not in PATIENT for channel in channels):
        bounds = bounds._replace(overtakes=bounds.overtakes - 1)
    elif channels:
        bounds = bounds._replace(waits=bounds.waits - 1)
    bounds = bounds._replace(passes=bounds.passes - 1)
    return bounds if min(bounds) >= 0 else None


def _covered(met: list[Bounds], bounds: Bounds) -> bool:
    """Whether the state was met with at least `bounds`; if not, from now on it is."""
    if any(all(a >= b for a, b in zip(known, bounds, strict=True)) for known in met):
        return True
    met.append(bounds)
    return False


def _path(
    origin: dict[tuple[int, Bounds], tuple[tuple[int, Bounds], Move] | None], here: tuple[int, Bounds]
) -> tuple[Move, ...]:
    moves: list[Move] = []
    while (step := origin[here]) is not None:
        here, move = step
        moves.append(move)
    return tuple(reversed(moves))


def _sorted(mail: dict[Lane, tuple[int, ...]]) -> Mail:
    return tuple(sorted(mail.items()))


def _remove(mail: dict[Lane, tuple[int, ...]], lane: Lane, what: int) -> None:
    letters = list(mail[lane])
    letters.remove(what)
    _put(mail, lane, tuple(letters))


def _put(mail: dict[Lane, tuple[int, ...]], lane: Lane, letters: Iterable[int]) -> None:
    mail[lane] = tuple(letters)
    if not mail[lane]:
        del mail[lane]
