"""Scenario files: what they mean, how they are changed and swept, and what is said when they are wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lucos.errors import InputError
from lucos.simulator.experiment import SHIPPED, load_runs, load_scenario, scenario_path
from lucos.simulator.scenario import Scenario, platform_of, settings_of
from lucos.simulator.strictfile import to_toml, unit_hint

Write = Callable[..., Path]
Small = Callable[..., Scenario]


@pytest.mark.parametrize(
    ("old", "new", "place", "said", "hint"),
    [
        ("duration_s = 120", 'duration = "1h"', "2:1", "did you mean duration_s?", "duration_s = 3600"),
        ("duration_s = 120", 'duration_s = "1h"', "2:1", "must be a number, not '1h'", "duration_s = 3600"),
        ("memory_mib = 8192", 'memory = "8 GiB"', "8:1", "did you mean memory_mib?", "memory_mib = 8192"),
        ("hosts = 6", "host = 6", "5:1", "[platform] has no field host; did you mean hosts?", "cores"),
        ("[load]", "[lod]", "16:2", "has no table lod; did you mean load?", "platform"),
        ("hosts = 6", "hosts = 0", "5:1", "no hosts", "hosts = 10"),
        ("hosts = 6", "hosts = 2.5", "5:1", "hosts: must be a whole number, not 2.5", ""),
        ("hosts = 6", "hosts = -1", "5:1", "must be a whole number >= 0", ""),
        ("per_host = 10", "per_host = 50", "12:1", "300 VMs of 512 MiB do not fit", "room for 96"),
        ('"gaussian"', '"gausian"', "17:1", "one of constant, csv, gaussian, planetlab", ""),
        ('"gaussian"', '"csv"\ntrace = "gone.csv"', "18:1", "there is no trace gone.csv", "LUC_DATA"),
        ('"gaussian"', '"planetlab"', "17:1", "needs a trace", "trace ="),
        ("sites = 2", "sites = 2 x", "6:11", "not valid TOML", ""),
        ("watts = [90, 130]", "watts = [90]", "9:1", "at least two values", ""),
        ('name = "small"', "", "", "lacks name", "name ="),
    ],
)
def test_what_is_wrong_is_told_with_line_field_and_hint(
    write: Write, old: str, new: str, place: str, said: str, hint: str
) -> None:
    path = write((old, new))
    with pytest.raises(InputError) as error:
        load_runs(path)
    assert error.value.message.startswith(f"{path}:{place}")
    assert said in error.value.message or said in error.value.hint
    assert hint in error.value.hint or hint in error.value.message


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[platform.site]]\nname = "a"\nhosts = 3\n', "hosts is 6, but the sites have 3"),
        ('[[faults.at]]\nat_s = 1\nkind = "crash"\ntarget = "h66"\n', "no host or site h66; did you mean h6"),
        ('[[faults.at]]\nat_s = 1\nkind = "crash"\n', "needs a target"),
        ('[[faults.at]]\nat_s = 1\nkind = "cut"\ntarget = "h1"\n', "oracle overlay does not see"),
        ("[faults]\ncut_period_s = 9\n", "oracle overlay does not see cuts"),
        ('[[faults.at]]\nat_s = 1\nkind = "slow"\ntarget = "h1"\n', "needs a duration_s"),
        ('[scheduler]\nstrategy = "dvm"\n', ":22:1: scheduler.strategy 'dvm' is unknown"),
        ("[scheduler.dvms]\nlease = 3\n", "[scheduler.dvms] has no field lease; did you mean lease_s?"),
        ('[[vms.rules]]\nrule = "sprad"\n', "did you mean spread?"),
        ('[[vms.rules]]\nrule = "spread"\ncount = 100\n', "more than the 60 VMs"),
        ('[platform.pairs_rtt_ms]\n"s1/s9" = 5\n', "not a pair of sites"),
        ("[cloudsim]\nhosts = 3\n", "[cloudsim] does not concern a scenario of kind luc"),
        ("[sweep]\nhosts = 3\n", "hosts: must be a list of values"),
        ("[sweep]\nhosts = [3, 0]\n", "hosts = 0: the platform has no hosts"),
        ('[sweep]\nseeds = "few"\n', "seeds: must be how many"),
        ("[sweep]\nhots = [3]\n", "no hots; did you mean hosts?"),
    ],
)
def test_what_is_wrong_in_other_tables(write: Write, more: str, said: str) -> None:
    path = write(more=more)
    with pytest.raises(InputError) as error:
        load_runs(path)
    assert error.value.message.startswith(f"{path}:")
    assert said in error.value.message


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["hosts=many"], "--set hosts=many: hosts: must be a whole number, not 'many'"),
        (["host=3"], "--set host=3: this scenario has no host; did you mean hosts?"),
        (["hosts"], "not of the form key=value"),
        (["hosts=0"], "--set hosts=0: the platform has no hosts"),
        (["load.mean=3"], "has no load.mean"),
        (["cloudsim.hosts=3"], "has no cloudsim.hosts"),
        (["scheduler.entropy.period_s=3"], "concerns the strategy entropy, this scenario runs dvms"),
        (["strategy=entropy", "scheduler.dvms.lease_s=3"], "concerns the strategy dvms"),
    ],
)
def test_what_is_wrong_with_set_is_told_as_it_was_typed(write: Write, sets: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        load_runs(write(), sets)
    assert said in error.value.message


def test_a_missing_file_names_the_shipped_scenarios() -> None:
    with pytest.raises(InputError, match="did you mean demo") as error:
        scenario_path("dem")
    assert "seed-10k" in error.value.hint


def test_set_changes_short_and_dotted_keys(write: Write) -> None:
    scenario = load_scenario(write(), ["hosts=4", "load.mean_pct=50", "strategy=entropy", "vms_per_host=2"])
    assert (scenario.vm_count, scenario.load.mean_pct, scenario.strategy) == (8, 50.0, "entropy")


def test_a_sweep_is_the_product_of_its_lists_and_seeds(write: Write) -> None:
    more = '[sweep]\nhosts = [4, 6]\nload.mean_pct = [50, 70]\nseeds = 2\nstrategy = ["dvms"]\n'
    runs = load_runs(write(more=more))
    assert len({run.folder for run in runs}) == len(runs) == 8
    assert runs[0].folder == "hosts=4,load.mean_pct=50,strategy=dvms/seed-1"
    assert {(run.scenario.platform.hosts, run.scenario.load.mean_pct) for run in runs} == {
        (hosts, mean_pct) for hosts in (4, 6) for mean_pct in (50.0, 70.0)
    }


def test_what_is_set_is_not_swept(write: Write) -> None:
    path = write(more='[sweep]\nhosts = [4, 6]\nstrategy = ["dvms", "entropy"]\nseeds = [7, 9]\n')
    runs = load_runs(path, ["platform.hosts=5", "strategy=dvms"])
    assert [(run.keys, run.seed) for run in runs] == [({}, 7), ({}, 9)]
    assert [run.seed for run in load_runs(path, ["hosts=5", "strategy=dvms"], seed=3)] == [3]
    assert [run.seed for run in load_runs(path, ["hosts=5", "strategy=dvms", "seed=4"])] == [4]


def test_the_effective_scenario_reads_back_as_the_same(small: Small, tmp_path: Path) -> None:
    more = (
        '[[vms.rules]]\nrule = "spread"\n[platform.pairs_rtt_ms]\n"s1/s2" = 5\n'
        '[[faults.at]]\nat_s = 1\nkind = "crash"\ntarget = ["h1", "s2"]\n'
    )
    scenario = small("hosts=8", more=more)
    path = tmp_path / "effective.toml"
    path.write_text(to_toml(settings_of(scenario)))
    assert load_scenario(path) == scenario


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_scenarios_are_sound(path: Path) -> None:
    runs = load_runs(path)
    assert runs
    assert all(run.scenario.name == path.stem and run.scenario.description for run in runs)


def test_units_are_converted_in_hints() -> None:
    assert (
        unit_hint("link_mibps", "1 Gbit/s")
        == "link_mibps is a number of MiB per second: write link_mibps = 119.21"
    )
    assert unit_hint("rtt_ms", "2s").endswith("rtt_ms = 2000")
    assert unit_hint("mean_pct", "70 %").endswith("mean_pct = 70")
    assert unit_hint("hosts", "3") == ""


# --- The platform -------------------------------------------------------------------------------------


def test_hosts_fill_the_sites_in_blocks(small: Small) -> None:
    platform = platform_of(small("hosts=7", "sites=3"), 1)
    assert [host.site for host in platform.hosts] == ["s1"] * 3 + ["s2"] * 2 + ["s3"] * 2
    assert [host.name for host in platform.hosts][-1] == "h7"
    assert platform.hosts[0].capacity.cpu_pct == 800.0


def test_named_sites_have_their_own_links(small: Small) -> None:
    more = (
        '[[platform.site]]\nname = "lyon"\nhosts = 2\nbackbone_mibps = 50\n'
        '[[platform.site]]\nname = "nice"\nhosts = 4\nrtt_ms = 1.5\n'
        '[platform.pairs_rtt_ms]\n"lyon/nice" = 7\n'
    )
    platform = platform_of(small(more=more), 1)
    assert [(site.name, site.backbone_mibps, site.local_rtt_ms) for site in platform.sites] == [
        ("lyon", 50.0, 0.5),
        ("nice", 0.0, 1.5),
    ]
    assert platform.rtt_ms == {("lyon", "nice"): 7.0}


@pytest.mark.parametrize(
    ("sets", "counts"),
    [
        (["placement=round-robin"], [10, 10, 10, 10, 10, 10]),
        (["placement=concentrated"], [16, 16, 16, 12]),
        (["placement=n-by-host", "vms.n=4"], [12, 12, 12, 8, 8, 8]),
    ],
)
def test_placements(small: Small, sets: list[str], counts: list[int]) -> None:
    placed = Counter(vm.host for vm in platform_of(small(*sets), 1).vms)
    assert [placed[f"h{n + 1}"] for n in range(len(counts))] == counts
    assert placed.total() == 60


def test_random_placement_follows_the_seed_and_fits(small: Small) -> None:
    scenario = small("placement=random", "vms_per_host=15")
    one, same, other = (platform_of(scenario, seed).vms for seed in (1, 1, 2))
    assert one == same != other
    assert max(Counter(vm.host for vm in one).values()) <= 16


def test_rules_bind_vms_group_by_group(small: Small) -> None:
    vms = platform_of(small(more='[[vms.rules]]\nrule = "spread"\nsize = 3\ncount = 2\n'), 1).vms
    assert [rule.vms for rule in vms[4].constraints] == [("sim.vm4", "sim.vm5", "sim.vm6")]
    assert vms[6].constraints == ()


def test_a_constant_load_is_there_from_the_beginning(small: Small) -> None:
    assert {vm.cpu_pct for vm in platform_of(small("load.kind=constant", "mean_pct=45"), 1).vms} == {45.0}
