"""A small LUC whose scheduler is the queue, with guests that do as they are told."""

from __future__ import annotations

from collections.abc import Callable

from lucos.hypervisors.program import Phase, Program
from lucos.model import Constraint, Event, Resources, VmSpec
from lucos.resources.host_settings import HostSettings
from lucos.resources.messages import SCHEDULER
from lucos.resources.queue import (
    Assumptions,
    CancelVjob,
    ListVjobs,
    PolicySettings,
    Queue,
    Queued,
    QueueSettings,
    SubmitVjob,
    Vjob,
    VjobRow,
)
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator import SimulatedLuc
from support.asking import Client

QUICK = QueueSettings(
    PolicySettings(run_s_min=20.0, sleep_s_min=20.0, patience_s=10.0),
    Assumptions(settle_s=10.0),
    period_s=10.0,
)


class QueueLuc:
    """`nodes` hosts of two cores and 4 GiB."""

    def __init__(self, nodes: int, settings: QueueSettings = QUICK, seed: int = 1) -> None:
        self.luc = SimulatedLuc.small(
            seed,
            nodes,
            capacity=Resources(200.0, 4096.0),
            scheduler=SchedulerSettings("queue", queue=settings),
            host=HostSettings(Resources(), notices=True),
        )
        self.luc.settle()
        self.simulation = self.luc.simulation
        self.client = Client(self.luc)

    # --- what people do ------------------------------------------------------------------------------

    def submit(
        self, name: str, *phases: tuple[tuple[float, float], ...], asker: str = "h1", **fields: object
    ) -> Queued:
        """A vjob whose VMs `a`, `b`, .. go through phases of (CPU in percent, seconds) each, and stop."""
        spread = bool(fields.pop("spread", False))
        memory_mib = int(str(fields.pop("memory_mib", 512)))
        names = tuple(f"{name}.{letter}" for letter, _ in zip("abcdefghi", phases, strict=False))
        rules = (Constraint("spread", names),) if spread else ()
        for vm, parts in zip(names, phases, strict=True):
            program = Program(
                tuple(
                    Phase(cpu_pct, cpu_s=cpu_pct / 100.0 * seconds)
                    if cpu_pct
                    else Phase(0.0, duration_s=seconds)
                    for cpu_pct, seconds in parts
                )
            )
            self.luc.fleet.set_program(vm, program)
        vms = tuple(VmSpec(vm, name, "mini", 1, memory_mib, constraints=rules) for vm in names)
        return self.ask(asker, lambda call: SubmitVjob(call, Vjob(name, vms, **fields)))  # type: ignore[arg-type]

    def cancel(self, name: str, asker: str = "h1") -> Queued:
        return self.ask(asker, lambda call: CancelVjob(call, name))

    def rows(self, asker: str = "h1") -> dict[str, VjobRow]:
        return {row.name: row for row in self.ask(asker, ListVjobs).vjobs}

    def states(self, asker: str = "h1") -> dict[str, str]:
        return {name: row.state for name, row in self.rows(asker).items()}

    def ask(self, asker: str, question: Callable[[int], SubmitVjob | CancelVjob | ListVjobs]) -> Queued:
        answer = self.client.ask(asker, SCHEDULER, question)
        assert isinstance(answer, Queued)
        return answer

    # --- what happens -----------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        self.simulation.run(self.simulation.now_s + seconds)

    def until(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        assert self.simulation.run(self.simulation.now_s + seconds, stop=condition), self.told()

    def until_event(self, kind: str, subject: str = "", seconds: float = 600.0) -> None:
        self.until(lambda: any(e.kind == kind and subject in ("", e.subject) for e in self.events()), seconds)

    def until_running(self, *vms: str) -> None:
        self.until(lambda: set(vms) <= self.luc.fleet.running().keys())

    def events(self) -> list[Event]:
        kinds = ("vjob.", "switch.", "queue.")
        return [event for event in self.simulation.events if event.kind.startswith(kinds)]

    def told(self) -> str:
        """The story of the queue, and where VMs were put."""
        kinds = ("vjob.", "switch.", "queue.", "vm.", "migration.end")
        return "".join(
            f"{event.time_s:7.1f} {event.node:3} {event.kind:16} {event.subject:7} {event.text}\n"
            for event in self.simulation.events
            if event.kind.startswith(kinds)
        )

    def kinds(self, subject: str) -> list[str]:
        return [event.kind for event in self.events() if event.subject == subject]

    def leaders(self) -> list[str]:
        """The nodes that lead at this moment."""
        actors = {name: self.simulation.nodes[name].actor(SCHEDULER) for name in self.luc.names}
        return [name for name, actor in actors.items() if isinstance(actor, Queue) and actor.leads]

    def check(self) -> None:
        """Nothing ran twice, and no actor failed."""
        assert self.luc.fleet.broken == []
        assert self.simulation.failures == []
