"""The messages of schedulers in words."""

from __future__ import annotations

import msgspec

from lucos.actors import Message, actor_of, node_of
from lucos.model import AnyAction, Resources
from lucos.resources.dvms import messages as m
from lucos.resources.messages import SCHEDULER, Execute, Executed

WORDS_MAX = 120


def conversation(message: Message) -> str | None:
    """DVMS's own conversation; leases and periodic samples are left out."""
    match message:
        case m.Visit(isp=isp, version=version, members=members):
            return f"Visit {isp} v{version}: will you join {', '.join(members)} and lead?"
        case m.Busy(isp=isp, holder=holder):
            return f"Busy for {isp}: {holder.node} is held by {holder.isp or 'its own actions'}"
        case m.Joined(isp=isp, version=version, leader=leader, absorbed=absorbed):
            return f"Joined {isp} v{version}: {leader} leads{f', {absorbed} absorbed' if absorbed else ''}"
        case m.State(isp=isp, version=version, snapshot=snapshot):
            load = sum((i.demand for i in snapshot.instances), Resources())
            return f"State {isp} v{version}: {snapshot.node.name} at {load.cpu_pct:.0f} % CPU"
        case m.Apply(isp=isp, version=version):
            return f"Apply {isp} v{version}"
        case m.Applying(isp=isp, version=version, ok=ok):
            return f"Applying {isp} v{version}: {'agreed' if ok else 'refused'}"
        case m.Dissolve(isp=isp, outcome=outcome):
            return f"Dissolve {isp}: {outcome}"
        case m.Blocked(isp=isp, leader=leader, holder=holder):
            return f"Blocked: {isp} led by {leader} waits for {holder}"
        case m.HandOver(to=to, isp=isp, members=members):
            return f"HandOver {isp} to {to}: {', '.join(members)}"
        case m.Freed(node=node):
            return f"Freed: {node}"
        case Executed(ok=ok, error=error):
            return f"Executed: {'ok' if ok else error}"
    return None


def in_words(message: Message) -> str:
    """Any message: its conversation, or else its name and what it holds, cut to WORDS_MAX."""
    said = conversation(message)
    if isinstance(message, Execute):
        said = f"Execute: {describe(message.action)}"
    if said is None:
        fields = (f"{name}={value}" for name, value in msgspec.structs.asdict(message).items())
        said = f"{type(message).__name__} {', '.join(fields)}".rstrip()
    return said if len(said) <= WORDS_MAX else f"{said[: WORDS_MAX - 1]}…"


def describe(action: AnyAction) -> str:
    """An action in a few words: what, on which VM or node, where."""
    places = [place for name in ("source", "node", "destination") if (place := getattr(action, name, ""))]
    return f"{type(action).__name__.lower()} {action.vm} {' -> '.join(places)}".replace("  ", " ")


def between_schedulers(to: str, sender: str) -> bool:
    """Whether a message passes between nodes, from or to a scheduler."""
    return node_of(to) != node_of(sender) and SCHEDULER in (actor_of(to), actor_of(sender))
