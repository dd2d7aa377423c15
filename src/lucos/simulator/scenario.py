"""Scenarios: what a simulated run consists of, as TOML. Here are its tables; `experiment` reads the files.

A scenario of kind `luc` runs whole LUCs of the production trackers. The kinds `cloudsim` and `vjobs` are
experiments of their own, which share the sweep, the seeds and the summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, Any, Literal

import msgspec

from lucos.actors.simulated.solver import SolverCost
from lucos.hypervisors.simulated_host import FleetSettings
from lucos.model import Constraint, Resources
from lucos.model.signature import Role
from lucos.overlay import MembershipSettings
from lucos.placement.constraints import SIGNATURES
from lucos.plasma.errors import suggestion
from lucos.resources.monitor import MonitorSettings
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator.cloudsim.settings import CloudSimSettings
from lucos.simulator.platform import HostPlan, Platform, SitePlan, VmPlan
from lucos.simulator.vjobs import VjobsSettings

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]

# The tables that a scenario of each kind has, beside the fields of all.
TABLES: dict[str, tuple[str, ...]] = {
    "luc": (
        "platform",
        "vms",
        "load",
        "arrivals",
        "faults",
        "scheduler",
        "overlay",
        "host",
        "monitor",
        "hypervisor",
        "solver",
        "output",
    ),
    "cloudsim": ("cloudsim", "output"),
    "vjobs": ("vjobs", "output"),
}


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a scenario."""


class Site(Table, frozen=True):
    """[[platform.site]]: `backbone_mibps` is its connection to the other sites each way; 0 does not limit."""

    name: Name
    hosts: AtLeastOne
    backbone_mibps: NotNegative = 0.0
    rtt_ms: NotNegative | None = None


class PlatformTable(Table, frozen=True):
    """[platform]: equal hosts h1, h2, ... in `sites` equal blocks s1, s2, ..., or as [[platform.site]] says.

    `capacity_pct` is the CPU that VMs may use, in percent of a core; 0 means all `cores`. `rtt_ms` is the
    round trip within a site, `between_rtt_ms` that between two, `pairs_rtt_ms` that between some ("s1/s2").
    `watts` is a host's power at evenly spaced loads from idle to full.
    """

    hosts: Count = 0
    sites: AtLeastOne = 1
    site: tuple[Site, ...] = ()
    cores: AtLeastOne = 8
    capacity_pct: NotNegative = 0.0
    memory_mib: AtLeastOne = 32768
    link_mibps: Positive = 119.2
    backbone_mibps: NotNegative = 0.0
    rtt_ms: NotNegative = 0.5
    between_rtt_ms: NotNegative = 20.0
    pairs_rtt_ms: dict[str, NotNegative] = {}
    jitter: NotNegative = 0.1
    loss: Share = 0.0
    watts: tuple[NotNegative, ...] = ()
    standby_watts: NotNegative = 0.0


class Rule(Table, frozen=True):
    """[[vms.rules]]: the first `count` x `size` VMs, `size` by `size`, are bound by a rule that takes VMs."""

    rule: str
    size: AtLeastOne = 2
    count: AtLeastOne = 1


class VmsTable(Table, frozen=True):
    """[vms]: equal VMs sim.vm1, sim.vm2, ..., `per_host` x hosts of them, or `count`.

    `placement`: round-robin over hosts; concentrated (a host is filled before the next); random; n-by-host
    (`n` on each host until all are placed). They want `cpu_pct` until the load says otherwise.
    `dirty_intensity`: see `platform.VmPlan`.
    """

    per_host: NotNegative = 10.0
    count: Count = 0
    memory_mib: AtLeastOne = 1024
    cpu: AtLeastOne = 1
    cpu_pct: NotNegative = 0.0
    dirty_intensity: Share = 0.0
    placement: Literal["round-robin", "concentrated", "random", "n-by-host"] = "round-robin"
    n: Count = 0
    rules: tuple[Rule, ...] = ()


class LoadTable(Table, frozen=True):
    """[load]: how the demand of VMs changes, in percent of their virtual CPUs.

    gaussian: one Poisson stream of (VMs / `interval_s`) changes a second, each of one VM, uniform among all,
    to N(`mean_pct`, `sigma_pct`) within 0..100, rounded to `slots` equal steps (VMPlaceS and the seeds).
    planetlab: a folder or tar of one file per VM, a sample in percent each `interval_s`.
    csv: `time_s,vm,cpu_pct`. constant: `mean_pct` from the beginning.
    `trace` is relative to the folder of the scenario's file or to that which LUC_DATA names.
    """

    kind: Literal["gaussian", "planetlab", "csv", "constant"] = "gaussian"
    mean_pct: Percent = 60.0
    sigma_pct: NotNegative = 20.0
    slots: AtLeastOne = 10
    interval_s: Positive = 300.0
    trace: str = ""


class ArrivalsTable(Table, frozen=True):
    """[arrivals]: VMs that come each `interval_s` and are killed after `lifetime_s`, both means (Poisson).

    A newcomer is offered to hosts at random, `tries` at most. An `interval_s` of 0: none come; a `lifetime_s`
    of 0: they stay.
    """

    interval_s: NotNegative = 0.0
    lifetime_s: NotNegative = 0.0
    tries: AtLeastOne = 8


class Fault(Table, frozen=True):
    """[[faults.at]]: a fault planned for `at_s`. `target` is a host, a site, or a list of hosts.

    crash (power off, on again after `duration_s`; 0: never), cut and cut-oneway (what the targets send to and
    get from the others is lost, oneway: only what they send), slow (their agents stop for `duration_s`),
    loss (this `share` of datagrams), heal (all cuts and losses end). A `duration_s` of 0 lasts until heal.
    """

    at_s: NotNegative
    kind: Literal["crash", "cut", "cut-oneway", "slow", "loss", "heal"]
    target: str | tuple[str, ...] = ()
    duration_s: NotNegative = 0.0
    share: Share = 0.0


class FaultsTable(Table, frozen=True):
    """[faults]: planned ones, and random ones: each host has each kind at a mean of its period; 0: never.

    With `restart_vms` what a crashed host ran boots again on it, when it is back.
    """

    crash_period_s: NotNegative = 0.0
    downtime_s: Positive = 300.0
    cut_period_s: NotNegative = 0.0
    cut_s: Positive = 30.0
    slow_period_s: NotNegative = 0.0
    slow_s: Positive = 5.0
    restart_vms: bool = True
    at: tuple[Fault, ...] = ()


class OverlayTable(Table, frozen=True):
    """[overlay]: `full` simulates every ping; `oracle` answers from the platform, with measured delays."""

    fidelity: Literal["full", "oracle"] = "oracle"
    membership: MembershipSettings = MembershipSettings()


class HostTable(Table, frozen=True):
    """[host]: settings of host actors (`resources.host.HostSettings`)."""

    period_s: Positive = 1.0
    bandwidth_mibps: NotNegative = 0.0
    migration_timeout_s: Positive = 60.0


class OutputTable(Table, frozen=True):
    """[output]: `trace` names the formats in which all that happens is written, beside the summary."""

    trace: tuple[Literal["jsonl", "parquet", "paje"], ...] = ()


class Scenario(Table, frozen=True):
    """One run, but for its seed. `description` is for people."""

    name: str
    kind: Literal["luc", "cloudsim", "vjobs"] = "luc"
    description: str = ""
    duration_s: Positive = 3600.0
    seed: Count = 1
    platform: PlatformTable = PlatformTable()
    vms: VmsTable = VmsTable()
    load: LoadTable = LoadTable()
    arrivals: ArrivalsTable = ArrivalsTable()
    faults: FaultsTable = FaultsTable()
    scheduler: SchedulerSettings = SchedulerSettings()
    overlay: OverlayTable = OverlayTable()
    host: HostTable = HostTable()
    monitor: MonitorSettings = MonitorSettings()
    hypervisor: FleetSettings = FleetSettings()
    solver: SolverCost = SolverCost()
    output: OutputTable = OutputTable()
    cloudsim: CloudSimSettings = CloudSimSettings()
    vjobs: VjobsSettings = VjobsSettings()

    @property
    def strategy(self) -> str:
        """What decides in this run, whatever its kind."""
        match self.kind:
            case "cloudsim":
                return self.cloudsim.strategy
            case "vjobs":
                return self.vjobs.queue.policy.policy
        return self.scheduler.strategy

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites, in blocks of hosts as equal as can be unless the file names them."""
        if self.platform.site:
            return self.platform.site
        each, more = divmod(self.platform.hosts, self.platform.sites)
        counts = [each + (n < more) for n in range(self.platform.sites)]
        return tuple(Site(f"s{n + 1}", hosts) for n, hosts in enumerate(counts) if hosts)

    @property
    def host_sites(self) -> dict[str, str]:
        """The site of each host; hosts are h1, h2, ... from the first site on."""
        names = [site.name for site in self.sites for _ in range(site.hosts)]
        return {f"h{n + 1}": site for n, site in enumerate(names)}

    @property
    def vm_count(self) -> int:
        return self.vms.count or round(self.vms.per_host * len(self.host_sites))

    @property
    def capacity(self) -> Resources:
        """What VMs may use of one host."""
        platform = self.platform
        return Resources(platform.capacity_pct or 100.0 * platform.cores, platform.memory_mib)


def settings_of(scenario: Scenario) -> dict[str, Any]:
    """The tables that concern a scenario as plain values, as summaries and effective scenarios have them."""
    plain: dict[str, Any] = msgspec.to_builtins(scenario)
    concerned = TABLES[scenario.kind]
    return {key: value for key, value in plain.items() if key in concerned or not isinstance(value, dict)}


def platform_of(scenario: Scenario, seed: int) -> Platform:
    """The hosts, links and VMs of a scenario of kind `luc` in which `problems` finds nothing."""
    table = scenario.platform
    sites = tuple(
        SitePlan(
            site.name,
            table.rtt_ms if site.rtt_ms is None else site.rtt_ms,
            site.backbone_mibps or table.backbone_mibps,
        )
        for site in scenario.sites
    )
    hosts = tuple(
        HostPlan(name, site, scenario.capacity, table.link_mibps, table.watts, table.standby_watts)
        for name, site in scenario.host_sites.items()
    )
    pairs = {tuple(pair.split("/")): rtt_ms for pair, rtt_ms in table.pairs_rtt_ms.items()}
    return Platform(
        sites,
        hosts,
        tuple(_vms(scenario, [host.name for host in hosts], seed)),
        {(a, b): rtt_ms for (a, b), rtt_ms in pairs.items()},
        table.between_rtt_ms,
        table.jitter,
        table.loss,
    )


def _vms(scenario: Scenario, hosts: list[str], seed: int) -> Iterator[VmPlan]:
    table, names = scenario.vms, [f"sim.vm{n + 1}" for n in range(scenario.vm_count)]
    cpu_pct = scenario.load.mean_pct * table.cpu if scenario.load.kind == "constant" else table.cpu_pct
    bound: dict[str, tuple[Constraint, ...]] = {}
    for rule in table.rules:
        for first in range(0, rule.size * rule.count, rule.size):
            vms = tuple(names[first : first + rule.size])
            for vm in vms:
                bound[vm] = (*bound.get(vm, ()), Constraint(rule.rule, vms))
    for name, host in zip(names, _hosts_in_turn(scenario, hosts, seed), strict=False):
        yield VmPlan(
            name, host, table.memory_mib, table.cpu, cpu_pct, table.dirty_intensity, bound.get(name, ())
        )


def _hosts_in_turn(scenario: Scenario, hosts: list[str], seed: int) -> Iterator[str]:
    """The host of each VM in turn, until all hosts are full."""
    room = _room(scenario)
    if scenario.vms.placement == "round-robin":
        turns = [hosts] * room
    elif scenario.vms.placement == "random":
        turns = [[host for host in hosts for _ in range(room)]]
        Random(f"{seed}/placement").shuffle(turns[0])
    else:
        each = scenario.vms.n or room
        turns = [[host for host in hosts for _ in range(each)]] * -(-room // each)
    return (host for turn in turns for host in turn)


def _room(scenario: Scenario) -> int:
    """How many VMs the memory of one host holds."""
    return scenario.platform.memory_mib // scenario.vms.memory_mib


def problems(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """(dotted field, what is wrong, hint) for what types cannot tell about a scenario of kind `luc`."""
    table, hosts = scenario.platform, scenario.host_sites
    if not hosts:
        yield (
            "platform.hosts",
            "the platform has no hosts",
            "give [platform] hosts = 10, or [[platform.site]]",
        )
        return
    if table.site and table.hosts not in (0, len(hosts)):
        words = f"hosts is {table.hosts}, but the sites have {len(hosts)} together"
        yield "platform.hosts", words, "leave hosts out, or change the hosts of the sites"
    names = [site.name for site in scenario.sites]
    for n, name in enumerate(names):
        if name in names[:n]:
            yield f"platform.site.{n}.name", f"two sites are named {name}", "give one another name"
    for pair in table.pairs_rtt_ms:
        if pair.count("/") != 1 or not set(pair.split("/")) <= set(names):
            hint = f'write "{names[0]}/{names[-1]}" = 10; sites are {", ".join(names)}'
            yield "platform.pairs_rtt_ms", f"{pair!r} is not a pair of sites", hint
    if len(table.watts) == 1:
        yield "platform.watts", "watts needs at least two values, at idle and at full load", ""
    yield from _vm_problems(scenario, len(hosts))
    yield from _fault_problems(scenario, [*hosts, *names])


def _vm_problems(scenario: Scenario, hosts: int) -> Iterator[tuple[str, str, str]]:
    table, count, room = scenario.vms, scenario.vm_count, _room(scenario)
    field = "vms.count" if table.count else "vms.per_host"
    if count > hosts * room:
        words = (
            f"{count} VMs of {table.memory_mib} MiB do not fit the memory of {hosts} hosts of "
            f"{scenario.platform.memory_mib} MiB: there is room for {hosts * room}"
        )
        yield field, words, "lower vms.memory_mib or the number of VMs, or raise platform.memory_mib"
    if table.placement == "n-by-host" and not 0 < table.n <= room:
        yield "vms.placement", f"n-by-host needs n from 1 to {room}", "add n = 5 to [vms]"
    for n, rule in enumerate(table.rules):
        signature = SIGNATURES.get(rule.rule)
        if signature is None or signature.takes != (Role.VMS,):
            fit = [name for name, known in SIGNATURES.items() if known.takes == (Role.VMS,)]
            words = f"{rule.rule} is not a rule that takes only VMs{suggestion(rule.rule, fit)}"
            yield f"vms.rules.{n}.rule", words, f"there are {', '.join(fit)}"
        if rule.size * rule.count > count:
            words = f"{rule.count} groups of {rule.size} need more than the {count} VMs that there are"
            yield f"vms.rules.{n}.count", words, "lower count or size"


def _fault_problems(scenario: Scenario, known: list[str]) -> Iterator[tuple[str, str, str]]:
    if scenario.faults.cut_period_s and scenario.overlay.fidelity == "oracle":
        hint = 'set fidelity = "full" in [overlay]'
        yield "faults.cut_period_s", "the oracle overlay does not see cuts", hint
    for n, fault in enumerate(scenario.faults.at):
        field = f"faults.at.{n}."
        targets = (fault.target,) if isinstance(fault.target, str) else fault.target
        for target in targets:
            if target not in known:
                hint = f"hosts are h1 to h{len(scenario.host_sites)}"
                hint += f", sites {', '.join(site.name for site in scenario.sites)}"
                yield field + "target", f"there is no host or site {target}{suggestion(target, known)}", hint
        if not targets and fault.kind not in ("loss", "heal"):
            yield field + "kind", f"a fault of kind {fault.kind} needs a target", 'add target = "h3"'
        if fault.kind in ("cut", "cut-oneway", "loss") and scenario.overlay.fidelity == "oracle":
            hint = 'set fidelity = "full" in [overlay]'
            yield field + "kind", f"the oracle overlay does not see a fault of kind {fault.kind}", hint
        if fault.kind == "slow" and not fault.duration_s:
            yield field + "kind", "a fault of kind slow needs a duration_s", "add duration_s = 10"
