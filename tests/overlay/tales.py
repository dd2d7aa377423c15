"""The life of a small membership, told as transcripts.

`python tests/overlay/tales.py NAME SEED` prints one, in another process the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from clusters import Cluster

from lucos.actors import Message
from lucos.actors.simulated import Simulation
from lucos.overlay import MEMBERSHIP, Leave, Member
from lucos.overlay.messages import SwimExchange, SwimGossip

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from transcript import Transcript


def _show(message: Message) -> str | None:
    """Urgent news and full exchanges; the pings would drown them."""
    if isinstance(message, SwimGossip):
        return f"news: {_say(message.gossip)}"
    if isinstance(message, SwimExchange):
        return f"{'exchange' if message.reply else 'in return'}: {_say(message.members)}"
    return None


def _say(members: tuple[Member, ...]) -> str:
    return ", ".join(f"{m.node}={m.status}@{m.incarnation}" for m in members)


def _record(simulation: Simulation) -> Transcript:
    return Transcript(simulation, _show)


def join(seed: int) -> str:
    cluster = Cluster(seed, 3)
    transcript = _record(cluster.simulation)
    nodes = cluster.simulation.nodes
    transcript.note("n1 and n2 start; each has the other as its seed")
    nodes["n1"].start()
    nodes["n2"].start()
    cluster.pass_time(2.0)
    transcript.note("n3 joins")
    nodes["n3"].start()
    cluster.pass_time(2.0)
    transcript.note(f"n3 sees {cluster.view('n3')}")
    return transcript.text()


def _ready(seed: int, count: int) -> tuple[Cluster, Transcript]:
    cluster = Cluster(seed, count)
    cluster.start()
    cluster.settle()
    cluster.pass_time(3.0)
    return cluster, _record(cluster.simulation)


def killed(seed: int) -> str:
    cluster, transcript = _ready(seed, 4)
    transcript.note("n3 is killed")
    cluster.simulation.nodes["n3"].crash()
    cluster.pass_time(4.0)
    transcript.note("n3 starts again")
    cluster.simulation.nodes["n3"].start()
    cluster.pass_time(3.0)
    transcript.note(f"n1 sees {cluster.view('n1')}")
    return transcript.text()


def slow(seed: int) -> str:
    cluster, transcript = _ready(seed, 4)
    transcript.note("the agent of n2 is starved for 2 s")
    cluster.simulation.nodes["n2"].stall(2.0)
    cluster.pass_time(4.0)
    transcript.note(f"n1 sees {cluster.view('n1')}")
    return transcript.text()


def cut(seed: int) -> str:
    cluster, transcript = _ready(seed, 4)
    transcript.note("n1 and n2 are cut off from n3 and n4")
    cluster.simulation.network.cut(["n1", "n2"], ["n3", "n4"])
    cluster.pass_time(8.0)
    transcript.note(f"n1 sees {cluster.view('n1')}, n4 sees {cluster.view('n4')}")
    transcript.note("the cut heals")
    cluster.simulation.network.heal()
    cluster.pass_time(5.0)
    transcript.note(f"n1 sees {cluster.view('n1')}, n4 sees {cluster.view('n4')}")
    return transcript.text()


def leave(seed: int) -> str:
    cluster, transcript = _ready(seed, 3)
    transcript.note("n2 leaves, then its agent stops")
    cluster.simulation.transmit("n2", "agent", MEMBERSHIP, Leave())
    cluster.pass_time(1.0)
    cluster.simulation.nodes["n2"].crash()
    cluster.pass_time(5.0)
    transcript.note(f"n1 sees {cluster.view('n1')}")
    return transcript.text()


TALES: dict[str, Callable[[int], str]] = {t.__name__: t for t in (join, killed, slow, cut, leave)}

if __name__ == "__main__":
    print(TALES[sys.argv[1]](int(sys.argv[2])), end="")
