"""The life of partitions as text: one grows, solves, migrates and dissolves; two merge; a shortcut."""

from __future__ import annotations

from pathlib import Path

from lucos.actors import address
from lucos.actors.simulated import Link, Network
from lucos.model import Resources
from lucos.resources.messages import HOST, SetLoad
from lucos.simulator import Laws, SimulatedLuc
from lucos.simulator.words import conversation
from support.transcript import Transcript, check_transcript

STORIES = Path(__file__).parent / "stories"


Wants = dict[str, list[tuple[float, int]]]
"""Node -> its VMs, each as (CPU it wants in percent of a core, memory in MiB)."""


def quiet_luc(wants: Wants) -> tuple[SimulatedLuc, Laws]:
    """A LUC without jitter in the network; its VMs `ve.h1a`, `ve.h1b`.. are up and still calm."""
    network = Network(local=Link(1.0, 0.0), between=Link(20.0, 0.0))
    luc = SimulatedLuc.small(1, len(wants), network=network, capacity=Resources(100.0, 4096.0))
    luc.settle()
    for node, vms in wants.items():
        for letter, (_, memory_mib) in zip("abcd", vms, strict=False):
            luc.boot(f"ve.{node}{letter}", node, 5.0, memory_mib)
    # Past the warm-up of the last VM, so that what they want is what is measured.
    luc.simulation.run(luc.simulation.now_s + 40.0)
    laws = Laws(luc)
    for vm in luc.fleet.running():
        laws.expect(vm)
    return luc, laws


def get_busy(luc: SimulatedLuc, wants: Wants) -> None:
    for node, vms in wants.items():
        for letter, (cpu_pct, _) in zip("abcd", vms, strict=False):
            order = SetLoad(0, f"ve.{node}{letter}", f"cpu:{cpu_pct:.0f}")
            luc.simulation.transmit(node, "test", address(node, HOST), order)


def tell(name: str, *acts: tuple[str, Wants, float]) -> str:
    """Play the acts (opening, new wants, seconds), check all laws, and compare with story `name`."""
    everything = {node: vms for _, wants, _ in acts for node, vms in wants.items()}
    luc, laws = quiet_luc(dict(sorted(everything.items())))
    transcript = Transcript(luc.simulation, conversation)
    for opening, wants, duration_s in acts:
        transcript.note(opening)
        get_busy(luc, wants)
        luc.simulation.run(luc.simulation.now_s + duration_s)
    assert luc.simulation.failures == []
    laws.check_relieved()
    laws.check_ended()
    laws.check_vms()
    check_transcript(transcript.text(), STORIES / f"{name}.txt")
    return transcript.text()


def test_one_partition_from_violation_to_relief() -> None:
    wants: Wants = {
        "h1": [(45, 256), (45, 256), (45, 256)],
        "h2": [(80, 256)],
        "h3": [(80, 256)],
        "h4": [(10, 256)],
    }
    opening = "h1 becomes overloaded; h2 and h3 have no room for its VMs, h4 has"
    tell("one_partition", (opening, wants, 12.0))


def test_two_blocked_partitions_merge() -> None:
    """On the ring h1, h2, h3, h4 each overloaded node first gathers the neighbour that the other needs.

    h1's VMs are large in memory and fit only on h4, h3's want much CPU and fit only on h2.
    """
    wants: Wants = {
        "h1": [(42, 1200), (42, 1200), (42, 1200)],
        "h2": [(10, 3000)],
        "h3": [(62, 256), (62, 256)],
        "h4": [(45, 256)],
    }
    opening = "h1 and h3 become overloaded at once, and each gathers the neighbour that the other needs"
    assert "partition.merged h1#1" in tell("merge", (opening, wants, 20.0))


def test_a_partition_is_skipped_in_one_hop() -> None:
    """h1's ISP meets one node of another partition, still migrating, and goes on behind all of it."""
    first: Wants = {
        "h2": [(60, 1500), (60, 1500)],
        "h3": [(20, 256)],
        "h5": [(80, 256)],
    }
    second: Wants = {"h1": [(60, 256), (60, 256)], "h4": [(10, 256)], "h6": [(80, 256)]}
    tell(
        "shortcut",
        ("h2 becomes overloaded; h5 cannot help, h3 can; the VM is large and its migration long", first, 9.0),
        ("while it lasts h1 becomes overloaded too; its neighbours h2, h5 and h3 are taken", second, 25.0),
    )
