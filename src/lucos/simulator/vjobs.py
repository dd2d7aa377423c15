"""The experiment of the context-switch paper: vjobs on a small cluster, by the policies of the queue.

8 vjobs of 9 VMs are submitted at once to 11 nodes of 2 cores and 4 GiB. Each vjob is a data flow of the NAS
Grid Benchmarks (van der Wijngaart, Frumkin, NAS-02-005, 2002): each VM has one task, takes a whole core while
it computes, and is idle before the tasks it waits for have ended and after its own. The vjob ends with the
last task, and its VMs stop by themselves. In the paper FCFS takes 250 minutes and Entropy 150 (Hermenier,
Lebre, Menaud, VTDC 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random

import msgspec

from lucos.actors import address
from lucos.hypervisors.program import Phase, Program
from lucos.hypervisors.simulated_host import FleetSettings, Host
from lucos.model import Constraint, Event, Resources, VmSpec, VmState
from lucos.resources.host_settings import HostSettings
from lucos.resources.messages import SCHEDULER
from lucos.resources.queue import QueueSettings, SubmitVjob, Vjob
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.platform import HostPlan, Platform, SitePlan

# Guests wait this long at most: for ever.
FOREVER_S = 1e9
VMS = 9
# The codes of each data flow's tasks, in turn, and what a VM needs to hold the data of one.
PROFILES = {
    "ED": ("SP",),
    "HC": ("BT", "SP", "LU"),
    "VP": ("BT", "MG", "FT"),
    "MB": ("LU", "LU", "LU", "MG", "MG", "MG", "FT", "FT", "FT"),
}
CODE_MIB = {"SP": 512, "LU": 512, "BT": 1024, "MG": 1024, "FT": 2048}


class VjobsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cluster, the vjobs, and how long actions take: for all VMs as long as with 2 GiB of memory.

    `length_s` bounds how long a vjob takes with a core for each VM. A VM has the memory of its code, or with
    `memory_mib` all VMs of a vjob have one of these, at random.
    """

    hosts: int = 11
    vjobs: int = 8
    capacity: Resources = Resources(200.0, 4096.0)
    link_mibps: float = 119.2
    length_s: tuple[float, float] = (2400.0, 4800.0)
    memory_mib: tuple[int, ...] = ()
    fleet: FleetSettings = FleetSettings(boot_s=5.0, suspend_s=21.5, resume_s=21.0)
    queue: QueueSettings = QueueSettings()
    simulated_s_max: float = 86400.0


class Task(msgspec.Struct, frozen=True):
    """What one VM does: `cpu_s` seconds of a core, once the tasks of the VMs `after` have ended."""

    cpu_s: float
    after: tuple[int, ...] = ()


class Job(msgspec.Struct, frozen=True):
    """A vjob and the tasks of its VMs, in their order."""

    vjob: Vjob
    profile: str
    tasks: tuple[Task, ...]
    spread: tuple[str, ...] = ()


class JobResult(msgspec.Struct, frozen=True):
    """What became of one vjob. `spans` are (state, from, to) in seconds since its submission.

    `late` says that it missed its deadline.
    """

    name: str
    profile: str
    memory_mib: int
    finished_s: float
    deadline_s: float
    late: bool
    spans: tuple[tuple[str, float, float], ...]

    def spent_s(self, state: str) -> float:
        return sum(end_s - begin_s for name, begin_s, end_s in self.spans if name == state)


class VjobsResult(msgspec.Struct, frozen=True):
    """`makespan_s` is when the last vjob ended. `cpu_used` are (time, cores in use), `used_share` its mean.

    `spread_broken` tells each instant at which two VMs that shall be apart began to share a host.
    """

    policy: str
    seed: int
    makespan_s: float
    jobs: tuple[JobResult, ...]
    switches: int
    suspends: int
    resumes: int
    migrations: int
    failed: int
    late: int
    spread_broken: tuple[str, ...]
    used_share: float
    cpu_used: tuple[tuple[float, float], ...]


def tasks_of(profile: str, length_s: float, random: Random) -> tuple[Task, ...]:
    """A data flow that takes `length_s` when every VM has a core.

    ED: all at once. HC: one after the other. VP: a pipeline of three stages. MB: three layers, each after all
    of the layer before it. Tasks of equal rank differ by up to a third.
    """
    shares = [1.0 - random.random() / 3 for _ in range(VMS)]
    after: list[tuple[int, ...]]
    if profile == "ED":
        after = [()] * VMS
    elif profile == "HC":
        after = [(i - 1,) if i else () for i in range(VMS)]
    elif profile == "VP":
        after = [tuple(j for j in (i - 3, i - 1 if i % 3 else -1) if j >= 0) for i in range(VMS)]
    else:
        after = [() if i < 3 else tuple(range(i // 3 * 3 - 3, i // 3 * 3)) for i in range(VMS)]
    ends: list[float] = []
    for share, before in zip(shares, after, strict=True):
        ends.append(share + max((ends[j] for j in before), default=0.0))
    scale = length_s / max(ends)
    return tuple(Task(share * scale, before) for share, before in zip(shares, after, strict=True))


def jobs_of(seed: int, settings: VjobsSettings) -> list[Job]:
    """The vjobs of a seed, in order of submission: each profile as often as the others.

    They declare a core for each VM, and a quarter more time than they take. In VP and MB the three VMs that
    begin are spread over hosts. Every fourth vjob has a deadline of three times what it declares.
    """
    random = Random(f"{seed}/vjobs")
    known = list(PROFILES)
    profiles = [known[i % len(known)] for i in range(settings.vjobs)]
    random.shuffle(profiles)
    jobs = []
    for number, profile in enumerate(profiles, 1):
        name = f"j{number}"
        length_s = random.uniform(*settings.length_s)
        codes = PROFILES[profile]
        each_mib = [CODE_MIB[codes[i % len(codes)]] for i in range(VMS)]
        if settings.memory_mib:
            each_mib = [random.choice(settings.memory_mib)] * VMS
        names = tuple(f"{name}.vm{i + 1}" for i in range(VMS))
        spread = names[:3] if profile in ("VP", "MB") else ()
        rule = Constraint("spread", spread)
        vms = tuple(
            VmSpec(vm, name, "mini", 1, memory_mib, constraints=(rule,) if vm in spread else ())
            for vm, memory_mib in zip(names, each_mib, strict=True)
        )
        declared_s = 1.25 * length_s
        deadline_s = 3.0 * declared_s if number % 4 == 0 else 0.0
        vjob = Vjob(name, vms, duration_s=declared_s, deadline_s=deadline_s)
        jobs.append(Job(vjob, profile, tasks_of(profile, length_s, random), spread))
    return jobs


class _Guests:
    """Lets the guests compute as their data flow says, and watches what they are given."""

    def __init__(self, luc: SimulatedLuc, jobs: list[Job]) -> None:
        self._luc = luc
        self._jobs = {job.vjob.name: job for job in jobs}
        self._computing: dict[str, tuple[Job, int]] = {}
        self._done: dict[str, set[int]] = {job.vjob.name: set() for job in jobs}
        self._apart = {vm: job.spread for job in jobs for vm in job.spread}
        self._together: dict[str, set[tuple[str, str]]] = {}
        self._used_pct: dict[str, float] = {}
        self.used: list[tuple[float, float]] = [(0.0, 0.0)]
        self.broken: list[str] = []
        self.finished_s: dict[str, float] = {}
        luc.fleet.on_load.append(self._loaded)
        for job in jobs:
            for i, task in enumerate(job.tasks):
                vm = job.vjob.vms[i].id
                if task.after:
                    luc.fleet.set_program(vm, Program((Phase(0.0, duration_s=FOREVER_S),)))
                else:
                    self._compute(job, i)

    def _compute(self, job: Job, i: int) -> None:
        vm = job.vjob.vms[i].id
        self._computing[vm] = (job, i)
        phases = Phase(100.0, cpu_s=job.tasks[i].cpu_s), Phase(0.0, duration_s=FOREVER_S)
        self._luc.fleet.set_program(vm, Program(phases))

    def _loaded(self, host: Host) -> None:
        now_s = self._luc.simulation.now_s
        self._used_pct[host.name] = min(host.demand_pct, host.capacity.cpu_pct)
        self.used.append((now_s, sum(self._used_pct.values()) / 100.0))
        for vm, domain in host.domains.items():
            if vm in self._computing and domain.run is not None and not domain.run.phase.cpu_pct:
                job, i = self._computing.pop(vm)
                self._luc.simulation.schedule(0.0, partial(self._ended, job, i))
        self._watch_spread(host, now_s)

    def _watch_spread(self, host: Host, now_s: float) -> None:
        here = [vm for vm, d in host.domains.items() if vm in self._apart and d.state is VmState.RUNNING]
        pairs = {(a, b) for a in here for b in here if a < b and b in self._apart[a]}
        for a, b in sorted(pairs - self._together.get(host.name, set())):
            self.broken.append(f"{now_s:.1f} s: {a} and {b} on {host.name}")
        self._together[host.name] = pairs

    def _ended(self, job: Job, i: int) -> None:
        name = job.vjob.name
        done = self._done[name]
        done.add(i)
        for j, task in enumerate(job.tasks):
            if i in task.after and done.issuperset(task.after):
                self._compute(job, j)
        if len(done) == len(job.tasks):
            self.finished_s[name] = self._luc.simulation.now_s
            for spec in job.vjob.vms:
                self._luc.fleet.set_program(spec.id, Program((Phase(0.0, duration_s=1.0),)))


def run_vjobs(seed: int, settings: VjobsSettings) -> VjobsResult:
    """Submit the vjobs of a seed and run until the last one has ended, and its VMs are gone."""
    hosts = tuple(
        HostPlan(f"h{i + 1}", "s1", settings.capacity, settings.link_mibps) for i in range(settings.hosts)
    )
    luc = SimulatedLuc(
        seed,
        Platform((SitePlan("s1"),), hosts),
        scheduler=SchedulerSettings("queue", queue=settings.queue),
        overlay="oracle",
        host=HostSettings(Resources(), notices=True),
        fleet=settings.fleet,
        environments=False,
    )
    simulation = luc.simulation
    simulation.run(10.0)
    jobs = jobs_of(seed, settings)
    guests = _Guests(luc, jobs)
    began_s = simulation.now_s
    for number, job in enumerate(jobs):
        # One after the other, so that the order of submission is theirs.
        simulation.schedule(
            0.05 * number,
            partial(simulation.transmit, "h1", "user", address("h1", SCHEDULER), SubmitVjob(0, job.vjob)),
        )
    ended: set[str] = set()

    def heard(event: Event) -> None:
        if event.kind == "vjob.finished":
            ended.add(event.subject)

    simulation.listeners.append(heard)
    everything = simulation.run(began_s + settings.simulated_s_max, stop=lambda: len(ended) == len(jobs))
    if not everything or simulation.failures or luc.fleet.broken:
        raise RuntimeError(
            f"seed {seed}: after {simulation.now_s:.0f} s {sorted(ended)} have ended; "
            f"{simulation.failures[:1]} {luc.fleet.broken[:1]}"
        )
    return _result(seed, settings, luc, guests, jobs, began_s)


def _result(
    seed: int,
    settings: VjobsSettings,
    luc: SimulatedLuc,
    guests: _Guests,
    jobs: list[Job],
    began_s: float,
) -> VjobsResult:
    events = luc.simulation.events
    results = tuple(
        JobResult(
            job.vjob.name,
            job.profile,
            sum(spec.memory_mib for spec in job.vjob.vms),
            guests.finished_s[job.vjob.name] - began_s,
            job.vjob.deadline_s,
            0.0 < job.vjob.deadline_s < guests.finished_s[job.vjob.name] - began_s,
            tuple(_spans(job.vjob.name, events, began_s, guests.finished_s[job.vjob.name])),
        )
        for job in jobs
    )
    makespan_s = max(job.finished_s for job in results)
    kinds = [event.kind for event in events]
    used = [(at_s - began_s, cores) for at_s, cores in guests.used if began_s <= at_s <= began_s + makespan_s]
    core_s = sum(
        cores * (later_s - at_s)
        for (at_s, cores), (later_s, _) in zip(used, [*used[1:], (makespan_s, 0.0)], strict=True)
    )
    cores = settings.hosts * settings.capacity.cpu_pct / 100.0
    return VjobsResult(
        settings.queue.policy.policy,
        seed,
        makespan_s,
        results,
        kinds.count("switch.end"),
        kinds.count("vjob.suspended"),
        kinds.count("vjob.resumed"),
        kinds.count("migration.end"),
        sum(int(str(event.data["failed"])) for event in events if event.kind == "switch.end"),
        sum(job.late for job in results),
        tuple(guests.broken),
        core_s / (cores * makespan_s),
        tuple(used),
    )


_TURNS = {"vjob.started": "running", "vjob.resumed": "running", "vjob.suspended": "sleeping"}


def _spans(
    name: str, events: list[Event], began_s: float, finished_s: float
) -> Iterator[tuple[str, float, float]]:
    state, since_s = "waiting", 0.0
    for event in events:
        if event.subject == name and event.kind in _TURNS and event.time_s < finished_s:
            yield state, since_s, event.time_s - began_s
            state, since_s = _TURNS[event.kind], event.time_s - began_s
    yield state, since_s, finished_s - began_s
