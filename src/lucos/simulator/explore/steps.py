"""Steps of single nodes, remembered: a node's state and what happens to it decide alone what comes of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from lucos.simulator.explore.case import Case
from lucos.simulator.explore.forking import Digester, freeze, thaw
from lucos.simulator.explore.node import Emitted, ExploredNode, Letter, Sent

FIRE, CRASH, START = -1, -2, -3


class Mailed(NamedTuple):
    """A letter sent: by which channel, to which node, and its number."""

    to: int
    channel: str
    letter: int


class Outcome(NamedTuple):
    """`said` is what fired, for transcripts; `error` what an actor raised, "" for nothing."""

    node: int
    mailed: tuple[Mailed, ...]
    sent: tuple[Sent, ...]
    emitted: tuple[Emitted, ...]
    said: str
    error: str


class Steps:
    """States of nodes and letters by number: equal ones have one number, whatever led to them."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._index = {name: i for i, name in enumerate(case.nodes)}
        self._digester = Digester(case.ignored, case.memory_s)
        self._numbers: dict[bytes, int] = {}
        self._frozen: list[bytes] = []
        self.facts: list[Any] = []
        self.facts_number: list[int] = []
        self._facts_numbers: dict[Any, int] = {}
        self.up: list[bool] = []
        self.alarm_s: list[float | None] = []
        self.hardware: list[tuple[str, ...]] = []
        self._letter_numbers: dict[bytes, int] = {}
        self.letters: list[Letter] = []
        self._outcomes: dict[tuple[int, int], Outcome] = {}
        self._later: dict[tuple[int, float], int] = {}

    def begin(self) -> list[Outcome]:
        """Each node as its agent starts for the first time."""
        outcomes = []
        for i, name in enumerate(self._case.nodes):
            node = ExploredNode(name, (i + 1) / (len(self._case.nodes) + 1))
            self._case.build(node)
            started = self._start(node)
            # Apart in phase, or all alarms of all nodes would ring together for ever.
            outcomes.append(started._replace(node=self.later(started.node, -node.phase)))
        return outcomes

    def take(self, state: int, what: int) -> Outcome:
        """What comes of `state` when letter `what` is delivered, or it fires, crashes or starts."""
        outcome = self._outcomes.get((state, what))
        if outcome is None:
            node: ExploredNode = thaw(self._frozen[state])
            outcome = self._outcomes[state, what] = self._step(node, what)
        return outcome

    def later(self, state: int, seconds: float) -> int:
        """The same node `seconds` from now, nothing having happened to it."""
        if not seconds:
            return state
        number = self._later.get((state, seconds))
        if number is None:
            node = thaw(freeze(thaw(self._frozen[state]), seconds))
            number = self._later[state, seconds] = self._number(node)
        return number

    def letter(self, letter: Letter) -> int:
        digest = self._digester.digest(letter)
        number = self._letter_numbers.setdefault(digest, len(self.letters))
        if number == len(self.letters):
            self.letters.append(letter)
        return number

    def _start(self, node: ExploredNode) -> Outcome:
        node.up = True
        self._case.boot(node)
        node.settle()
        return self._outcome(node)

    def _step(self, node: ExploredNode, what: int) -> Outcome:
        if what == START:
            return self._start(node)
        if what == CRASH:
            node.crash()
            return self._outcome(node)
        said = error = ""
        try:
            if what == FIRE:
                alarm = node.fire()
                said = f"{alarm.actor}: {alarm.message}"
            else:
                node.deliver(self.letters[what])
        except Exception as raised:
            error = f"{node.name} fails: {type(raised).__name__}: {raised}"
        return self._outcome(node, said, error)

    def _outcome(self, node: ExploredNode, said: str = "", error: str = "") -> Outcome:
        sent, emitted = tuple(node.sent), tuple(node.emitted)
        node.sent, node.emitted = [], []
        mailed = tuple(
            Mailed(self._index[s.to], s.channel, self.letter(s.letter)) for s in sent if s.to in self._index
        )
        return Outcome(self._number(node), mailed, sent, emitted, said, error)

    def _number(self, node: ExploredNode) -> int:
        digest = self._digester.digest(node)
        number = self._numbers.setdefault(digest, len(self._frozen))
        if number == len(self._frozen):
            self._frozen.append(freeze(node))
            facts = self._case.facts(node)
            self.facts.append(facts)
            self.facts_number.append(self._facts_numbers.setdefault(facts, len(self._facts_numbers)))
            self.up.append(node.up)
            self.hardware.append(node.hardware)
            alarm = node.next_alarm()
            self.alarm_s.append(None if alarm is None else round(alarm.due_s.since_now_s(), 6))
        return number
