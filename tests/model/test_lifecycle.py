"""The life cycles, written down a second time as sentences, and what is refused in each state."""

from __future__ import annotations

from enum import StrEnum

import pytest

from lucos.errors import Refused
from lucos.model import VE_LIFE, VM_LIFE, VeState, VmState, after_ve_event, after_vm_event, mermaid

VM = {
    "ready": {"boot": "running", "kill": "killed"},
    "running": {
        "migrate": "running",
        "pause": "paused",
        "suspend": "sleeping",
        "shutdown": "ready",
        "kill": "killed",
    },
    "paused": {"unpause": "running", "suspend": "sleeping", "kill": "killed"},
    "sleeping": {"resume": "running", "kill": "killed"},
    "killed": {},
}
VE = {
    "waiting": {"run": "running", "stop": "terminated"},
    "running": {"pause": "paused", "suspend": "sleeping", "stop": "terminated"},
    "paused": {"unpause": "running", "stop": "terminated"},
    "sleeping": {"resume": "running", "stop": "terminated"},
    "terminated": {},
}
EVENTS = sorted({e for life in (VM, VE) for events in life.values() for e in events} | {"", "dance"})


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    ("after", "life", "state", "what"),
    [(after_vm_event, VM, s, "VM") for s in VmState] + [(after_ve_event, VE, s, "VE") for s in VeState],
)
def test_a_state_allows_its_events_and_refuses_all_others(after, life, state, what, event) -> None:
    allowed = life[state]
    if event in allowed:
        assert after(state, event) == allowed[event]
        return
    with pytest.raises(Refused) as refusal:
        after(state, event)
    assert refusal.value.message == f"a {what} that is {state} cannot {event}"
    named = refusal.value.hint.removeprefix("it can: ").split(", ")
    assert set(named) == (set(allowed) or {"nothing"})


def reachable(table: dict[tuple[StrEnum, str], StrEnum], start: StrEnum) -> set[StrEnum]:
    found = {start}
    while more := {end for (state, _), end in table.items() if state in found} - found:
        found |= more
    return found


@pytest.mark.parametrize(
    ("table", "first", "last"),
    [(VM_LIFE, VmState.READY, VmState.KILLED), (VE_LIFE, VeState.WAITING, VeState.TERMINATED)],
)
def test_every_life_can_be_lived_and_can_end(table, first, last) -> None:
    assert reachable(table, first) == set(type(first))
    for state in type(first):
        assert last in reachable(table, state), f"a life that is {state} never ends"
    assert reachable(table, last) == {last}


@pytest.mark.parametrize("table", [VM_LIFE, VE_LIFE])
def test_the_diagram_draws_each_step_once(table) -> None:
    title, *lines = mermaid(table).splitlines()
    assert title == "stateDiagram-v2"
    assert sorted(lines) == sorted(f"    {start} --> {end}: {event}" for (start, event), end in table.items())
