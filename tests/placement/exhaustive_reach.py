"""Whether any sequence of single actions leads to an allowed result: bypasses included, breadth first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from exhaustive_world import CHANGES, HOLDING, NOWHERE, Action, Now, Static, broken

from lucos.model import VmState

# States looked at before giving up.
STATES_MAX = 400
PATIENCE_S = 1000.0
AFTER = {
    "boot": VmState.RUNNING,
    "resume": VmState.RUNNING,
    "migrate": VmState.RUNNING,
    "suspend": VmState.SLEEPING,
    "shutdown": VmState.READY,
    "kill": VmState.KILLED,
}


class _State:
    """Where all stands between two actions."""

    def __init__(self, now: Now, states: list[VmState], place: list[int]) -> None:
        self.now, self.states, self.place = now, states, place

    @property
    def key(self) -> object:
        return tuple(self.states), tuple(self.place), frozenset(self.now.usable)


def any_plan(world: Static) -> bool | None:
    """None when it is not known: too many states, or what single actions do not tell.

    That is rules about times and relocation, a short horizon, paused VMs (they could be suspended and
    resumed) and allocations that change (before or after a bypass).
    """
    short = world.problem.horizon_s < PATIENCE_S
    if short or world.by_plan or VmState.PAUSED in world.want or world.need != world.use:
        return None
    start = _State(Now(world), [vm.state for vm in world.vms], list(world.host))
    seen, queue = {start.key}, deque([start])
    while queue:
        state = queue.popleft()
        if _allowed(world, state):
            return True
        for action in _actions(world, state):
            then = _after(state, action)
            if then is not None and then.key not in seen:
                if len(seen) > STATES_MAX:
                    return None
                seen.add(then.key)
                queue.append(then)
    return False


def _allowed(world: Static, state: _State) -> bool:
    """Whether this could be the result."""
    now = state.now
    if state.states != world.want:
        return False
    for node, used in enumerate(now.used):
        wanted = world.node_want[node]
        if wanted is not None and wanted != (world.node_names[node] in now.usable):
            return False
        if any(u > c for u, c in zip(used, world.capacity[node], strict=True)):
            return False
    if any(s in HOLDING and world.closed[n] for s, n in zip(state.states, state.place, strict=True)):
        return False
    return not any(broken(rule, now.moment) for rule in world.hard)


def _actions(world: Static, state: _State) -> Iterator[Action]:
    """What could be done next, one action at a time."""
    everywhere = [n for n, drained in enumerate(world.drained) if not drained]
    for vm, (now, want) in enumerate(zip(state.states, world.want, strict=True)):
        here = state.place[vm]
        if now is VmState.RUNNING and want in (VmState.RUNNING, VmState.SLEEPING):
            yield Action("suspend", vm, here, here, 1)
            yield from (Action("migrate", vm, n, here, 1) for n in everywhere if n != here)
        elif now is not want:
            kind = CHANGES[now, want]
            leads = kind in ("boot", "resume")
            yield from (Action(kind, vm, n, here, 1) for n in (everywhere if leads else [here]))
    limited = any(rule.kind == "maxOnline" for rule in world.hard)
    for node, wanted in enumerate(world.node_want):
        if world.node_names[node] in state.now.usable:
            if wanted is False or (wanted is None and limited):
                yield Action("shutdown_node", NOWHERE, node, node, 1)
        elif wanted is not False:
            yield Action("boot_node", NOWHERE, node, node, 1)


def _after(state: _State, action: Action) -> _State | None:
    now = state.now.copy()
    if not now.begin(action):
        return None
    now.finish(action)
    states, place = list(state.states), list(state.place)
    if action.vm != NOWHERE:
        states[action.vm] = AFTER[action.kind]
        place[action.vm] = NOWHERE if action.kind in ("shutdown", "kill") else action.node
    return _State(now, states, place)
