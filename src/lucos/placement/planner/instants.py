"""Rules over a timeline: who waits for whom to leave, groups that move as one, orders, limits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lucos.placement.exact.cpsat import negated
from lucos.placement.planner.rules import conflict, sets_of, standing
from lucos.placement.planner.timeline import Act, Timeline
from lucos.placement.planner.timing import Span
from lucos.placement.planner.vjobs import is_paused, together_asleep
from lucos.placement.primitives import (
    AnyPrimitive,
    Apart,
    Distinct,
    Near,
    Online,
    Timing,
    Together,
    Total,
    When,
)


def bind_instants(timeline: Timeline) -> None:
    """Everything that holds at every instant, and every timing."""
    arrays = timeline.arrays
    always = standing(arrays)
    timeline.bind_room([rule for rule in always if isinstance(rule, Total)])
    for rule in always:
        match rule:
            case Online():
                timeline.bind_online(rule)
            case Together(relocate=True):
                _relocate(timeline, rule)
            case Apart() | Together() | Distinct() | Near():
                _keep_out(timeline, rule)
    for timing in arrays.primitives:
        if isinstance(timing, Timing):
            _timing(timeline, timing)
    _limits(timeline)
    _vjobs(timeline)


def _members(rule: AnyPrimitive) -> list[int]:
    return list(dict.fromkeys(vm for part in sets_of(rule) for vm in part.tolist()))


def _held_now(timeline: Timeline, vms: list[int]) -> Iterator[tuple[int, int, int]]:
    """(VM, node, when it ends to hold it if it leaves) for places held when the plan begins."""
    known = set(vms)
    for vm in vms:
        act = timeline.acts.get(vm)
        if act is not None and act.host >= 0:
            yield vm, act.host, act.end
    for node, vm, ticks in timeline.arrays.leaving:
        if vm in known:
            until = timeline.model.units_up(ticks)
            yield vm, node, timeline.model.integer(until, until)


def _keep_out(timeline: Timeline, rule: AnyPrimitive) -> None:
    """Nobody comes before those have left with whom he may not be."""
    model, clash = timeline.model, conflict(rule)
    vms = _members(rule)
    held: dict[int, list[tuple[int, int, int]]] = {}
    for place in _held_now(timeline, vms):
        held.setdefault(place[1], []).append(place)
    for vm in vms:
        act = timeline.acts.get(vm)
        for literal, node in act.comes if act is not None else ():
            for there in [node] if isinstance(rule, Apart) else held:
                for other, _, until in held.get(there, ()):
                    if act is None or not clash((vm, node), (other, there)):
                        continue
                    if other == vm and act.host == there:
                        model.all_of((negated(literal),), ())
                    else:
                        model.after(act.start, until, (literal,))


def _relocate(timeline: Timeline, rule: Together) -> None:
    """All who migrate to another group start at one instant; who stops in the old one ends by then."""
    model, group_of = timeline.model, rule.group_of
    acts = [timeline.acts[vm] for vm in _members(rule) if vm in timeline.acts]
    away: list[tuple[Act, int]] = []
    for act in acts:
        if act.migrates:
            literals = [p for p, node in act.comes if group_of[node] != group_of[act.host]]
            if literals:
                away.append((act, timeline.encoder.any_of(literals)))
    start = model.time()
    moved = timeline.encoder.any_of([literal for _, literal in away]) if away else None
    if moved is not None and len(away) > 1:
        model.at_least_one((negated(moved), *(literal for _, literal in away)))
    for act, literal in away:
        model.linear((act.start, start), (1, -1), low=0, high=0, given=(literal,))
    stopped = [act for act in acts if act.host >= 0 and act.stays is None and not act.comes]
    for act in stopped:
        _gone_in_time(timeline, act, away, moved)
    now = {int(group_of[act.host]) for act in acts if act.host >= 0}
    for act in acts:
        for literal, node in act.comes if act.host < 0 else ():
            if not now or int(group_of[node]) in now:
                continue
            if moved is not None:
                model.after(act.start, start, (literal, moved))
            alone = () if moved is None else (negated(moved),)
            for other in stopped:
                model.after(act.start, other.end, (literal, *alone))


def _gone_in_time(timeline: Timeline, act: Act, away: list[tuple[Act, int]], moved: int | None) -> None:
    """When the group moves, `act` ends before the last of its migrations does."""
    if moved is None:
        return
    model = timeline.model
    witnesses = model.booleans(len(away))
    for witness, (mover, literal) in zip(witnesses, away, strict=True):
        model.at_least_one((negated(witness), literal))
        model.after(mover.end, act.end, (witness,))
    model.at_least_one((negated(moved), *witnesses))


def _timing(timeline: Timeline, rule: Timing) -> None:
    model = timeline.model
    acts = [timeline.acts[vm] for vm in rule.vms.tolist() if vm in timeline.acts]
    match rule.when:
        case When.SEQUENCE:
            for first, then in combinations(acts, 2):
                model.after(then.start, first.end, (*first.leaves, *then.leaves))
        case When.SYNC:
            for a, b in combinations(acts, 2):
                model.linear((a.start, b.start), (1, -1), low=0, high=0, given=(*a.leaves, *b.leaves))
        case When.SERIALIZE:
            model.cumulative([(model.between(act.start, act.end, act.leaves), 1) for act in acts], 1)
        case When.NO_DELAY:
            for act in acts:
                model.at(act.start, 0)
        case When.DEADLINE:
            for act in acts:
                model.linear((act.end,), (1,), high=model.units_down(rule.at), given=act.leaves)


def _vjobs(timeline: Timeline) -> None:
    """VMs of a vjob stop at one instant before any is saved, and go on at one when all are resumed."""
    model, arrays = timeline.model, timeline.arrays
    asleep, awake = together_asleep(arrays)
    for vms in asleep:
        paused = [timeline.pause(vm, "pause") for vm in vms if not is_paused(arrays, vm)]
        for start, end in paused:
            model.linear((start, paused[0][0]), (1, -1), low=0, high=0)
            for vm in vms:
                model.after(timeline.acts[vm].start, end)
    for vms in awake:
        paused = [timeline.pause(vm, "pause") for vm in vms]
        unpaused = [timeline.pause(vm, "unpause") for vm in vms]
        for vm, (start, end) in zip(vms, paused, strict=True):
            model.after(start, timeline.acts[vm].end)
            model.after(unpaused[0][0], end)
        for start, _ in unpaused:
            model.linear((start, unpaused[0][0]), (1, -1), low=0, high=0)


def _limits(timeline: Timeline) -> None:
    """Migrations at once: in all, out of a node, into a node."""
    limits, model = timeline.arrays.problem.limits, timeline.model
    if limits.migrations is None and limits.out_per_node is None and limits.in_per_node is None:
        return
    everywhere, out, into = list[Span](), dict[int, list[Span]](), dict[int, list[Span]]()
    for act in timeline.acts.values():
        if not act.migrates or not act.comes:
            continue
        span = (model.between(act.start, act.end, act.leaves), 1)
        everywhere.append(span)
        out.setdefault(act.host, []).append(span)
        if limits.in_per_node is not None:
            for literal, node in act.comes:
                into.setdefault(node, []).append((model.between(act.start, act.end, (literal,)), 1))
    for node, vm, ticks in timeline.arrays.leaving:
        until = model.units_up(ticks)
        span = (model.until(model.integer(until, until)), 1)
        everywhere.append(span)
        out.setdefault(node, []).append(span)
        into.setdefault(int(timeline.arrays.host[vm]), []).append(span)
    for room, groups in (
        (limits.migrations, [everywhere]),
        (limits.out_per_node, list(out.values())),
        (limits.in_per_node, list(into.values())),
    ):
        for spans in groups:
            if room is not None and len(spans) > room:
                model.cumulative(spans, room)
