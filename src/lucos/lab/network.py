"""The lab's network: a bridge per site in a namespace of its own, links to the hosts, cuts by nftables."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from lucos.errors import OperationFailed
from lucos.lab import cgroups
from lucos.lab.processes import run, start
from lucos.lab.record import Cut, Host, LabRecord, data_dir

_SWITCH = """set -eu
if [ -e /proc/sys/net/ipv6/conf/all/disable_ipv6 ]; then
    echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
fi
exec sleep infinity >/dev/null 2>&1
"""


def holder_pid(lab: str, leaf: str) -> int:
    """The process that holds the namespaces of a host, or of the lab's switch; `OperationFailed` if gone."""
    pid = cgroups.main_pid(cgroups.tree(lab) / leaf)
    if pid is None:
        raise OperationFailed(f"{leaf} of lab {lab} is gone", hint=f"luc lab down {lab}, then up again")
    return pid


def _inside(pid: int, *argv: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--", *argv]


def create_switch(record: LabRecord) -> None:
    """Make the lab's own network namespace with a bridge per site, joined by the delaying switch."""
    start(cgroups.create(record.name, "switch"), ["unshare", "--net", "sh", "-c", _SWITCH])
    pid = holder_pid(record.name, "switch")
    sites = range(1, record.sites + 1)
    bridges = "".join(
        f"link add s{site} type bridge forward_delay 0 mcast_snooping 0\nlink set s{site} up\n"
        for site in sites
    )
    run(_inside(pid, "ip", "-batch", "-"), bridges)
    if record.sites > 1:
        wan = [
            sys.executable,
            "-m",
            "lucos.lab.wan",
            str(record.sites),
            str(record.rtt_ms),
            str(data_dir(record.name) / "wan.log"),
        ]
        start(cgroups.create(record.name, "wan"), _inside(pid, *wan))
        ports = "".join(f"link set wan{site} master s{site} up\n" for site in sites)
        run(_inside(pid, "ip", "-batch", "-"), ports)


def connect_host(host: Host) -> None:
    """Link a host to its site's bridge: port `hN` there, `eth0` with its address in the host."""
    pid = holder_pid(host.lab, host.name)
    port = (
        f"link add {host.name} type veth peer name eth0 address {host.mac} netns {pid}\n"
        f"link set {host.name} master {host.site} up\n"
    )
    run(_inside(holder_pid(host.lab, "switch"), "ip", "-batch", "-"), port)
    address = f"addr add {host.address}/16 brd + dev eth0\nlink set eth0 up\n"
    run(_inside(pid, "ip", "-batch", "-"), address)


def plan_cut(
    record: LabRecord, hosts: Iterable[str], peers: Iterable[str], from_site: str, *, oneway: bool
) -> Cut:
    """The cut of `hosts` from `peers` and the hosts of `from_site`, or from all; raises `UnknownObject`."""
    named = tuple(record.host(name).name for name in hosts)
    others = [record.host(name) for name in peers]
    if from_site:
        others += record.hosts_at(from_site)
    return Cut(named, tuple(host.name for host in others or record.hosts), oneway)


def cut_rules(record: LabRecord) -> str:
    """The nftables text that makes the lab's cuts, and no others, hold."""
    pairs = {pair for cut in record.cuts for pair in cut.pairs()}
    # Adding before deleting makes the deletion succeed also when there is no table yet.
    fresh = "table bridge lab\ndelete table bridge lab\n"
    if not pairs:
        return fresh
    elements = ", ".join(f'{record.host(sender).mac} . "{receiver}"' for sender, receiver in sorted(pairs))
    return fresh + (
        "table bridge lab {\n"
        "  set cut { type ether_addr . ifname; elements = { " + elements + " } }\n"
        "  chain forward { type filter hook forward priority 0; ether saddr . oifname @cut drop; }\n"
        "}\n"
    )


def apply_cuts(record: LabRecord) -> None:
    """Make exactly the recorded cuts hold, in one step."""
    run(_inside(holder_pid(record.name, "switch"), "nft", "-f", "-"), cut_rules(record))
