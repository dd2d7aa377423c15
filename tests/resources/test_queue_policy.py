"""Who runs: properties of the policies on random queues, and on queues that live on in a small model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucos.errors import InputError
from lucos.model import Constraint, Resources, VeState
from lucos.resources.queue import Candidate, Decision, PolicySettings, decide
from lucos.resources.queue.packing import Need, Packing, within
from lucos.resources.queue.policy import never_fits

CALM = PolicySettings(run_s_min=0.0, sleep_s_min=0.0, patience_s=0.0)


def node_room(count: int) -> dict[str, Resources]:
    return {f"h{i + 1}": Resources(200.0, 4096.0) for i in range(count)}


def vjob(name: str, rank: int, *wants: tuple[float, float], **fields: object) -> Candidate:
    """A vjob whose VMs want (CPU in percent, MiB) each, and declare the same."""
    needs = tuple(Need(f"{name}.{i}", cpu_pct, mib) for i, (cpu_pct, mib) in enumerate(wants))
    return Candidate(name, rank, needs, needs, **fields)  # type: ignore[arg-type]


WANTS = st.tuples(st.sampled_from([0.0, 30.0, 100.0]), st.sampled_from([512.0, 1024.0, 2048.0]))


@st.composite
def queues(draw: st.DrawFn) -> list[Candidate]:
    found = []
    for rank in range(draw(st.integers(1, 8))):
        name = f"j{rank}"
        wants = draw(st.lists(WANTS, min_size=1, max_size=6))
        state = draw(st.sampled_from([VeState.WAITING, VeState.RUNNING, VeState.SLEEPING]))
        one = vjob(name, rank, *wants, state=state, priority=draw(st.integers(0, 2)), since_s=1000.0)
        if state is not VeState.WAITING:
            nodes = [draw(st.sampled_from(["h1", "h2", "h3", "h4"])) for _ in wants]
            bound = state is VeState.SLEEPING
            needs = tuple(
                msgspec.structs.replace(need, node=node, bound=bound)
                for need, node in zip(one.needs, nodes, strict=True)
            )
            one = msgspec.structs.replace(one, needs=needs, declared=needs)
        if len(wants) > 1 and draw(st.booleans()):
            rule = Constraint("spread", tuple(need.vm for need in one.needs[:2]))
            one = msgspec.structs.replace(one, rules=(rule,))
        found.append(one)
    return found


def load_of(places: Mapping[str, str], needs: Mapping[str, Need]) -> dict[str, Resources]:
    load: dict[str, Resources] = {}
    for vm, node in places.items():
        more = Resources(needs[vm].cpu_pct, needs[vm].memory_mib)
        load[node] = load.get(node, Resources()) + more
    return load


@settings(max_examples=100, deadline=None)
@given(queues())
def test_consolidation_fits_and_takes_vjobs_whole(queue: list[Candidate]) -> None:
    """Its places hold every VM of who runs and nobody else's, keep capacities, rules and saved memory."""
    room = node_room(4)
    decision = decide(queue, room, CALM, crowded_s=1000.0)
    run = [v for v in queue if v.name in decision.run]
    needs = {need.vm: need for v in run for need in v.needs}
    assert decision.places.keys() == needs.keys()
    assert all(load.fits(room[node]) for node, load in load_of(decision.places, needs).items())
    assert all(decision.places[vm] == need.node for vm, need in needs.items() if need.bound)
    for rule in (rule for v in run for rule in v.rules):
        assert len({decision.places[vm] for vm in rule.vms}) == len(rule.vms)
    assert decision.why_not.keys() == {v.name for v in queue} - set(decision.run)


@settings(max_examples=60, deadline=None)
@given(queues())
def test_the_first_of_the_queue_runs_whenever_it_fits_alone(queue: list[Candidate]) -> None:
    first = max(queue, key=lambda v: (v.priority, -v.rank))
    alone = Packing(node_room(4)).put(first.needs, first.rules)
    decision = decide(queue, node_room(4), CALM, crowded_s=1000.0)
    assert (first.name in decision.run) == (alone is not None)


class Model:
    """A cluster without hosts or messages: decisions take effect at once, each step lasts `STEP_S`."""

    STEP_S = 30.0

    def __init__(self, policy: PolicySettings, vjobs: list[Candidate], length_s: Mapping[str, float]) -> None:
        self.policy = policy
        self.room = node_room(4)
        self.vjobs = {v.name: v for v in vjobs}
        self.left_s = dict(length_s)
        self.now_s = 0.0
        self.started_s: dict[str, float] = {}
        self.switches = 0
        self._crowded_since_s: float | None = None

    def step(self) -> Decision:
        since_s = self._crowded_since_s
        decision = decide(
            list(self.vjobs.values()),
            self.room,
            self.policy,
            0.0 if since_s is None else self.now_s - since_s,
        )
        if not decision.crowded:
            self._crowded_since_s = None
        elif since_s is None:
            self._crowded_since_s = self.now_s
        for name in list(self.vjobs):
            self._turn(name, decision)
        self.now_s += self.STEP_S
        return decision

    def _turn(self, name: str, decision: Decision) -> None:
        vjob = self.vjobs[name]
        runs, ran = name in decision.run, vjob.state is VeState.RUNNING
        if runs:
            self.started_s.setdefault(name, self.now_s)
            self.left_s[name] -= self.STEP_S
        if runs and self.left_s[name] <= 0.0:
            del self.vjobs[name]
            return
        begun = vjob.state is not VeState.WAITING
        state = VeState.RUNNING if runs else VeState.SLEEPING if begun else VeState.WAITING
        self.switches += runs != ran
        self.vjobs[name] = msgspec.structs.replace(
            vjob,
            needs=self._settled(vjob.needs, decision, state),
            declared=self._settled(vjob.declared, decision, state),
            state=state,
            since_s=vjob.since_s + self.STEP_S if runs == ran else self.STEP_S,
            waited_s=vjob.waited_s + (0.0 if runs else self.STEP_S),
            ran_s=vjob.ran_s + (self.STEP_S if runs else 0.0),
        )

    def _settled(self, needs: tuple[Need, ...], decision: Decision, state: VeState) -> tuple[Need, ...]:
        bound = state is VeState.SLEEPING
        settled = (
            msgspec.structs.replace(n, node=decision.places.get(n.vm, n.node), bound=bound) for n in needs
        )
        return within(settled, self.room)

    def want(self, change: Callable[[Need], float]) -> None:
        """The VMs that run want something else from now on."""
        for name, vjob in self.vjobs.items():
            if vjob.state is VeState.RUNNING:
                needs = tuple(msgspec.structs.replace(n, cpu_pct=change(n)) for n in vjob.needs)
                self.vjobs[name] = msgspec.structs.replace(vjob, needs=needs)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["fcfs", "easy", "consolidation"]))
def test_every_vjob_ends(seed: int, policy: str) -> None:
    """Whatever its priority, and whatever its VMs and those of others want from step to step."""
    random = Random(seed)
    vjobs = [
        vjob(
            f"j{rank}",
            rank,
            *((100.0, random.choice((512.0, 1024.0, 2048.0))) for _ in range(random.randint(1, 7))),
            priority=random.choice((0, 0, 5)),
            duration_s=7200.0,
        )
        for rank in range(8)
    ]
    length_s = {v.name: random.uniform(60.0, 3000.0) for v in vjobs}
    model = Model(PolicySettings(policy, ageing_s=600.0), vjobs, length_s)
    while model.vjobs:
        model.step()
        model.want(lambda _: random.choice((0.0, 0.0, 100.0)))
        assert model.now_s < 3.0 * sum(length_s.values()) + 20_000.0, model.vjobs


def test_ageing_brings_a_low_priority_to_the_front() -> None:
    """New vjobs of a higher priority never end, and the one below them runs all the same, in time."""
    low = vjob("low", 0, *[(100.0, 1024.0)] * 6)
    policy = PolicySettings(ageing_s=600.0)
    model = Model(policy, [low], {"low": 300.0})
    for rank in range(1, 400):
        if sum(v.state is not VeState.RUNNING for v in model.vjobs.values()) < 3:
            name = f"high{rank}"
            model.vjobs[name] = vjob(name, rank, *[(100.0, 1024.0)] * 6, priority=2)
            model.left_s[name] = 240.0
        model.step()
        if "low" not in model.vjobs:
            break
    assert 1200.0 <= model.started_s["low"] <= 1200.0 + 600.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_backfilling_never_delays_the_head(seed: int) -> None:
    """The head begins no later than was foreseen when it became the head, if all keep what they declare."""
    random = Random(seed)
    vjobs, length_s = [], {}
    for rank in range(9):
        wants = [(100.0, random.choice((512.0, 2048.0)))] * random.randint(1, 8)
        declared_s = random.randint(2, 40) * Model.STEP_S
        vjobs.append(vjob(f"j{rank}", rank, *wants, duration_s=declared_s))
        length_s[f"j{rank}"] = random.randint(1, int(declared_s / Model.STEP_S)) * Model.STEP_S
    model = Model(PolicySettings("easy"), vjobs, length_s)
    foreseen_s: dict[str, float] = {}
    while model.vjobs:
        model.step()
        head = min(
            (v for v in model.vjobs.values() if v.state is VeState.WAITING),
            key=lambda v: v.rank,
            default=None,
        )
        if head is not None and head.name not in foreseen_s:
            foreseen_s[head.name] = begins_at_the_latest(model, head)
    for name, at_s in foreseen_s.items():
        assert model.started_s[name] <= at_s, name


def begins_at_the_latest(model: Model, head: Candidate) -> float:
    """When the head fits if every vjob runs as long as it declares, and nobody else begins."""
    running = [v for v in model.vjobs.values() if v.state is VeState.RUNNING]
    for end_s in sorted({0.0, *(v.duration_s - v.ran_s for v in running)}):
        packing = Packing(model.room)
        for other in running:
            if other.duration_s - other.ran_s > end_s:
                assert packing.put(other.declared) is not None
        if packing.put(head.declared) is not None:
            return model.now_s + end_s
    raise AssertionError("it never fits")


def test_fcfs_keeps_the_order_and_easy_fills_the_gap() -> None:
    wide = [(100.0, 512.0)] * 6
    queue = [
        vjob("j0", 0, *wide, duration_s=600.0),
        vjob("j1", 1, *wide, duration_s=600.0),
        vjob("j2", 2, *[(100.0, 512.0)] * 2, duration_s=600.0),
        vjob("j3", 3, *[(100.0, 512.0)] * 2, duration_s=900.0),
    ]
    assert decide(queue, node_room(4), PolicySettings("fcfs"), 0.0).run == ("j0",)
    easy = decide(queue, node_room(4), PolicySettings("easy"), 0.0)
    # j2 ends with j0. j3 would end later, and then j1 needs six of the eight cores: two are left beside it.
    assert easy.run == ("j0", "j2")
    later = decide([queue[0], queue[1], queue[3]], node_room(4), PolicySettings("easy"), 0.0)
    assert later.run == ("j0", "j3")


def test_nothing_is_backfilled_when_nobody_knows_when_the_head_begins() -> None:
    queue = [
        vjob("j0", 0, *[(100.0, 512.0)] * 6),
        vjob("j1", 1, *[(100.0, 512.0)] * 6),
        vjob("j2", 2, (100.0, 512.0)),
    ]
    assert decide(queue, node_room(4), PolicySettings("easy"), 0.0).run == ("j0",)


def running(name: str, rank: int, cpu_pct: float, node: str, since_s: float = 1000.0) -> Candidate:
    one = vjob(name, rank, (cpu_pct, 512.0), (cpu_pct, 512.0), state=VeState.RUNNING, since_s=since_s)
    needs = tuple(msgspec.structs.replace(need, node=node) for need in one.needs)
    return msgspec.structs.replace(one, needs=needs)


def test_who_runs_is_not_suspended_at_a_blip() -> None:
    """Three pairs of VMs want six cores of four: nobody gives way before that has lasted."""
    queue = [running("j0", 0, 100.0, "h1"), running("j1", 1, 100.0, "h2"), running("j2", 2, 100.0, "h2")]
    policy = PolicySettings(patience_s=60.0)
    blip = decide(queue, node_room(2), policy, crowded_s=30.0)
    assert blip.run == ("j0", "j1", "j2")
    assert blip.crowded
    lasting = decide(queue, node_room(2), policy, crowded_s=60.0)
    assert lasting.run == ("j0", "j1")


def test_the_lowest_priority_gives_way_and_the_last_submitted_among_equals() -> None:
    queue = [running("j0", 0, 100.0, "h1"), running("j1", 1, 100.0, "h2"), running("j2", 2, 100.0, "h2")]
    queue[2] = msgspec.structs.replace(queue[2], priority=1)
    assert decide(queue, node_room(2), CALM, crowded_s=100.0).run == ("j2", "j0")


def test_who_has_just_begun_is_not_preempted() -> None:
    young = running("young", 1, 100.0, "h1", since_s=60.0)
    urgent = vjob("urgent", 2, *[(100.0, 512.0)] * 3, priority=9)
    policy = PolicySettings(run_s_min=120.0)
    assert decide([young, urgent], node_room(2), policy, 0.0).run == ("young",)
    old = msgspec.structs.replace(young, since_s=120.0)
    assert decide([old, urgent], node_room(2), policy, 0.0).run == ("urgent",)


def test_who_has_just_been_suspended_sleeps_on() -> None:
    asleep = msgspec.structs.replace(running("j0", 0, 100.0, "h1", since_s=60.0), state=VeState.SLEEPING)
    assert decide([asleep], node_room(1), PolicySettings(sleep_s_min=120.0), 0.0).run == ()
    rested = msgspec.structs.replace(asleep, since_s=120.0)
    assert decide([rested], node_room(1), PolicySettings(sleep_s_min=120.0), 0.0).run == ("j0",)


def test_a_deadline_that_comes_near_goes_first() -> None:
    queue = [vjob(f"j{rank}", rank, *[(100.0, 512.0)] * 3) for rank in range(2)]
    pressed = msgspec.structs.replace(queue[1], slack_s=200.0)
    assert decide(queue, node_room(2), CALM, 0.0).run == ("j0",)
    assert decide([queue[0], pressed], node_room(2), CALM, 0.0).run == ("j1",)


def test_spare_room_is_kept_from_those_who_begin() -> None:
    queue = [running("j0", 0, 100.0, "h1"), vjob("j1", 1, (100.0, 512.0))]
    assert decide(queue, node_room(2), CALM, 0.0).run == ("j0", "j1")
    spared = msgspec.structs.replace(CALM, spare=0.5)
    assert decide(queue, node_room(2), spared, 0.0).run == ("j0",)


def test_what_never_fits_is_known() -> None:
    assert never_fits(vjob("big", 0, (100.0, 5000.0)), node_room(9))
    spread = Constraint("spread", ("j.0", "j.1"))
    pair = msgspec.structs.replace(vjob("j", 0, (1.0, 1.0), (1.0, 1.0)), rules=(spread,))
    assert never_fits(pair, node_room(1))
    assert not never_fits(pair, node_room(2))


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(InputError, match="lifo"):
        decide([], {}, PolicySettings("lifo"), 0.0)


def test_fences_and_bans_are_kept() -> None:
    room = node_room(3)
    needs = (Need("j.a", 100.0, 512.0), Need("j.b", 100.0, 512.0))
    rules = (Constraint("fence", ("j.a",), ("h3",)), Constraint("ban", ("j.b",), ("h1", "h3")))
    assert Packing(room).put(needs, rules) == {"j.a": "h3", "j.b": "h2"}
