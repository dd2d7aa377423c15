"""Small clusters, rules about them and plans for them, sensible and not, for hypothesis to draw."""

from __future__ import annotations

from hypothesis import strategies as st

from lucos.model import (
    Allocate,
    AnyAction,
    Boot,
    BootNode,
    Constraint,
    Kill,
    Migrate,
    Pause,
    Plan,
    PlannedAction,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
    Unpause,
    VmState,
)
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.problem import Limits, Problem

NODES = ("n1", "n2", "n3", "n4")
VMS = ("a", "b", "c", "d", "e", "f")


def some(draw: st.DrawFn, names: tuple[str, ...], most: int = 3, least: int = 1) -> tuple[str, ...]:
    return tuple(draw(st.lists(st.sampled_from(names), min_size=least, max_size=most, unique=True)))


def halves(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Two disjoint sets."""
    many = some(draw, names, 4, 2)
    return many[: len(many) // 2], many[len(many) // 2 :]


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Two to four nodes, one to six VMs in any state; one node may be off, some may be overloaded."""
    rooms = st.sampled_from([4, 6, 10, 12])
    names = NODES[: draw(st.integers(2, 4))]
    off = draw(st.sampled_from([None, None, *names]))
    nodes = [Node(name, {"cpu": draw(rooms), "memory": 8}, name != off) for name in names]
    usable = tuple(name for name in names if name != off)
    vms = []
    for name in VMS[: draw(st.integers(1, 6))]:
        state = draw(
            st.sampled_from([*[VmState.RUNNING] * 5, VmState.PAUSED, VmState.READY, VmState.SLEEPING])
        )
        place = None if state is VmState.READY else draw(st.sampled_from(usable))
        vms.append(Vm(name, {"cpu": draw(st.integers(1, 3)), "memory": 1}, place, state))
    return Cluster.of(nodes, vms)


@st.composite
def rules(draw: st.DrawFn, cluster: Cluster) -> Constraint:
    """A rule of any kind that the simulator defines."""
    vms, nodes = tuple(cluster.vms), tuple(cluster.nodes)
    kinds = (
        "spread gather ban fence among root lonely quarantine maxOnline resourceCapacity overbook preserve"
    )
    more = "runningCapacity online offline running sleeping" + " split splitAmong" * (len(vms) > 1)
    kind = draw(st.sampled_from(f"{kinds} {more}".split()))
    continuous = draw(st.integers(0, 3)) > 0
    amount = draw(st.integers(1, 8))
    match kind:
        case "spread" | "gather" | "root" | "lonely" | "running" | "sleeping":
            return Constraint(kind, some(draw, vms), continuous=continuous)
        case "ban" | "fence":
            return Constraint(kind, some(draw, vms), some(draw, nodes), continuous)
        case "among":
            return Constraint(kind, some(draw, vms), continuous=continuous, groups=halves(draw, nodes))
        case "split":
            return Constraint(kind, continuous=continuous, sets=halves(draw, vms))
        case "splitAmong":
            sets, groups = halves(draw, vms), halves(draw, nodes)
            return Constraint(kind, continuous=continuous, sets=sets, groups=groups)
        case "quarantine" | "online" | "offline":
            return Constraint(kind, nodes=some(draw, nodes, 2), continuous=continuous)
        case "maxOnline" | "runningCapacity":
            return Constraint(kind, nodes=some(draw, nodes), continuous=continuous, amount=amount // 2)
        case "preserve":
            return Constraint(kind, some(draw, vms), continuous=False, resource="cpu", amount=amount / 2)
        case "overbook":
            return Constraint(kind, nodes=some(draw, nodes), resource="cpu", amount=1 + amount / 8)
        case _:
            return Constraint(
                kind, nodes=some(draw, nodes), continuous=continuous, resource="cpu", amount=amount
            )


def action_on(draw: st.DrawFn, name: str, state: str, place: str, cluster: Cluster) -> AnyAction:
    """Mostly what a VM in this state and place can take."""
    there = draw(st.sampled_from([node for node in cluster.nodes if node != place]))
    amounts = draw(st.sampled_from([(), (), (("cpu", 1.0),), (("cpu", 4.0),)]))
    place = place or there
    running = [Migrate(name, place, there, amounts)] * 6 + [
        Allocate(name, place, amounts or (("cpu", 3.0),)),
        Suspend(name, place),
        Pause(name, place),
        Kill(name, place),
        Shutdown(name, place),
    ]
    choices: dict[str, list[AnyAction]] = {
        "running": running,
        "paused": [Unpause(name, place), Unpause(name, place), Suspend(name, place), Kill(name, place)],
        "ready": [Boot(name, there, amounts)],
        "sleeping": [Resume(name, place, "", amounts), Resume(name, there, place, amounts), Kill(name, "")],
    }
    return draw(st.sampled_from(choices.get(state, running)))


THEN = {
    Boot: "running",
    Resume: "running",
    Migrate: "running",
    Allocate: "running",
    Unpause: "running",
    Pause: "paused",
    Suspend: "sleeping",
    Shutdown: "ready",
    Kill: "killed",
}


@st.composite
def actions(draw: st.DrawFn, cluster: Cluster, most: int) -> list[AnyAction]:
    """Actions that follow each other; about one in twenty does not fit what was before."""
    stands = {vm.name: (str(vm.state), vm.node or "") for vm in cluster.vms.values()}
    online = {node.name: node.online for node in cluster.nodes.values()}
    found: list[AnyAction] = []
    for _ in range(draw(st.integers(0, most))):
        if draw(st.integers(0, 7)) == 0:
            node = draw(st.sampled_from(tuple(cluster.nodes)))
            found.append(ShutdownNode(node=node) if online[node] else BootNode(node=node))
            online[node] = not online[node]
            continue
        name = draw(st.sampled_from(tuple(cluster.vms)))
        state, place = stands[name]
        if draw(st.integers(0, 39)) == 0:
            place = draw(st.sampled_from(tuple(cluster.nodes)))
        action = action_on(draw, name, state, place, cluster)
        found.append(action)
        there = getattr(action, "destination", getattr(action, "node", ""))
        stands[name] = THEN[type(action)], "" if isinstance(action, Shutdown | Kill) else there
    return found


@st.composite
def timed(draw: st.DrawFn, *, most: int = 6, states: bool = True) -> tuple[Problem, Plan]:
    """A problem and a plan with times: actions on one VM follow each other, others overlap as they like.

    Without `states`, no rule asks for another state of a VM and nothing is ongoing.
    """
    cluster = draw(clusters())
    free_s: dict[str, float] = {}
    steps: list[PlannedAction] = []
    for number, action in enumerate(draw(actions(cluster, most)), 1):
        subject = action.vm or action.node
        start_s = free_s.get(subject, 0.0) + draw(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0]))
        end_s = start_s + draw(st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 3.0]))
        after = [s.number for s in steps if s.end_s <= start_s]
        depends_on = tuple(after[: draw(st.integers(0, 2))])
        steps.append(PlannedAction(number, action, depends_on, "", start_s, end_s))
        free_s[subject] = end_s
    if not states:
        asked = tuple(draw(rules(cluster)) for _ in range(draw(st.integers(0, 2))))
        kept = tuple(rule for rule in asked if rule.kind not in ("running", "sleeping", "online", "offline"))
        return Problem(cluster, kept), Plan(tuple(steps))
    return _asked(draw, cluster, steps)


@st.composite
def ordered(draw: st.DrawFn, *, most: int = 5) -> tuple[Problem, Plan]:
    """A problem and a plan whose times mean nothing; actions on one VM mostly wait for each other."""
    cluster = draw(clusters())
    last: dict[str, int] = {}
    steps: list[PlannedAction] = []
    for number, action in enumerate(draw(actions(cluster, most)), 1):
        subject = action.vm or action.node
        after = set(draw(st.sets(st.integers(1, number - 1), max_size=2))) if number > 1 else set()
        if subject in last and draw(st.integers(0, 19)):
            after.add(last[subject])
        steps.append(PlannedAction(number, action, tuple(sorted(after)), end_s=1.0))
        last[subject] = number
    return _asked(draw, cluster, steps)


def _asked(draw: st.DrawFn, cluster: Cluster, steps: list[PlannedAction]) -> tuple[Problem, Plan]:
    """Some of the first steps become ongoing; rules are drawn; what the steps change is mostly asked for."""
    asked = tuple(draw(rules(cluster)) for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))))
    if draw(st.integers(0, 9)):
        asked += tuple(wants(cluster, steps))
    early = steps[: draw(st.sampled_from([0, 0, 0, 1, 2]))]
    ongoing = tuple({s.action.vm or s.action.node: s for s in early if fits(cluster, s)}.values())
    limits = Limits(*(draw(st.sampled_from([None, None, None, 1, 2])) for _ in range(3)))
    horizon_s = draw(st.sampled_from([3600.0, 3600.0, 3600.0, 4.0]))
    problem = Problem(cluster, asked, limits=limits, horizon_s=horizon_s, ongoing=ongoing)
    return problem, Plan(tuple(step for step in steps if step not in ongoing))


def wants(cluster: Cluster, steps: list[PlannedAction]) -> list[Constraint]:
    """Rules that ask for the states and allocations that steps end with."""
    last = {step.action.vm: step.action for step in steps if step.action.vm}
    found = [
        Constraint(THEN[type(action)], (vm,), continuous=False)
        for vm, action in last.items()
        if THEN[type(action)] not in ("paused", str(cluster.vms[vm].state))
    ]
    if last:
        found.append(Constraint("preserve", tuple(last), continuous=False, resource="cpu", amount=1))
    return found


def fits(cluster: Cluster, step: PlannedAction) -> bool:
    """Whether a step can be under way from the beginning."""
    action = step.action
    if step.start_s or not step.end_s or step.depends_on:
        return False
    if isinstance(action, BootNode | ShutdownNode):
        return cluster.nodes[action.node].online == isinstance(action, ShutdownNode)
    vm = cluster.vms[action.vm]
    allowed = {
        "running": (Migrate, Allocate, Suspend, Pause, Kill, Shutdown),
        "paused": (Unpause, Suspend),
        "ready": (Boot,),
        "sleeping": (Resume,),
    }[vm.state]
    said = getattr(action, "source", "") or ("" if isinstance(action, Boot) else action.node)
    moves = getattr(action, "destination", None) != said
    return isinstance(action, allowed) and moves and said == (vm.node or "")
