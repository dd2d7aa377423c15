"""Instances that use every part of the formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lucos.model import Constraint, Migrate, PlannedAction, VmState
from lucos.placement.cluster import Cluster, Link, Network, Node, Switch, Vm
from lucos.placement.durations import Durations, Linear
from lucos.placement.problem import Limits, Objective, Problem


def real(name: str) -> Path:
    """One of BtrPlace's own instances; skips the test when they are not here."""
    folder = os.environ.get("LUC_DATA")
    if folder is None:
        pytest.skip("LUC_DATA, the folder of the external instances, is not set")
    return Path(folder) / "btrplace" / name


def btrplace() -> dict[str, Any]:
    """A BtrPlace instance with every state, attribute, view and constraint."""
    return {
        "model": {
            "mapping": {
                "onlineNodes": {
                    "1": {"runningVMs": [10, 11], "sleepingVMs": []},
                    "2": {"runningVMs": [12], "sleepingVMs": [13]},
                    "7": {"runningVMs": [], "sleepingVMs": []},
                },
                "offlineNodes": [3],
                "readyVMs": [14, 15],
            },
            "attributes": {
                "nodes": {"1": {"boot": 6, "entropy_id": "N-1"}, "3": {"shutdown": 4}},
                "vms": {
                    "10": {"migrate": 8, "boot": 4, "halt": 5, "clone": True, "template": "small"},
                    "11": {
                        "memUsed": 1000,
                        "hotDirtySize": 6,
                        "hotDirtyDuration": 3,
                        "coldDirtyRate": 1.5,
                        "postCopy": True,
                    },
                },
            },
            "views": [
                {
                    "id": "shareableResource",
                    "rcId": "mem",
                    "defCapacity": 8,
                    "defConsumption": 1,
                    "nodes": {"1": 16},
                    "vms": {"10": 3, "12": 2},
                },
                {"id": "ns", "type": "vm", "map": {"web1": 10, "web2": 11}},
                {"id": "ns", "type": "node", "map": {"@N1": 1, "@N2": 2, "@N3": 3}},
                {
                    "id": "net",
                    "switches": [{"id": 0, "capacity": -1}, {"id": 5, "capacity": 2000}],
                    "links": [
                        _link(0, 0, "node", 1),
                        _link(1, 0, "node", 2),
                        _link(2, 5, "switch", 0),
                        _link(3, 5, "node", 7),
                    ],
                    "routing": {
                        "type": "static",
                        "routes": [
                            {
                                "nodes_map": {"src": 1, "dst": 7},
                                "links": [{"link": n, "direction": "true"} for n in (0, 2, 3)],
                            }
                        ],
                    },
                },
            ],
        },
        "constraints": [
            {"id": "spread", "vms": [10, 11], "continuous": False},
            {"id": "gather", "vms": [10, 11], "continuous": True},
            {"id": "lonely", "vms": [12]},
            {"id": "among", "vms": [10], "parts": [[1, 2], [3]], "continuous": True},
            {"id": "split", "parts": [[10], [11, 12]], "continuous": False},
            {"id": "splitAmong", "vParts": [[10], [12]], "pParts": [[1], [2]], "continuous": True},
            {"id": "ban", "vm": 10, "nodes": [2], "continuous": False},
            {"id": "fence", "vm": 10, "nodes": [1, 2], "continuous": True},
            {"id": "root", "vm": 12, "continuous": True},
            {"id": "quarantine", "node": 7, "continuous": True},
            {"id": "running", "vm": 14, "continuous": False},
            {"id": "ready", "vm": 15, "continuous": False},
            {"id": "sleeping", "vm": 13, "continuous": False},
            {"id": "killed", "vm": 15},
            {"id": "online", "node": 3, "continuous": False},
            {"id": "offline", "node": 7, "continuous": False},
            {"id": "maxOnline", "nodes": [1, 2, 3], "amount": 3, "continuous": True},
            {"id": "runningCapacity", "nodes": [1], "amount": 4, "continuous": False},
            {"id": "resourceCapacity", "nodes": [1, 2], "rc": "mem", "amount": 12, "continuous": True},
            {"id": "overbook", "node": 2, "rc": "mem", "ratio": 1.5, "continuous": False},
            {"id": "preserve", "vm": 10, "rc": "mem", "amount": 4},
            {"id": "seq", "vms": [10, 11]},
            {"id": "noDelay", "vm": 10},
            {"id": "Precedence", "vm1": 10, "vm2": 11},
            {"id": "Serialize", "vms": [10, 11]},
            {"id": "Sync", "vms": [11, 12]},
            {"id": "Deadline", "vm": 10, "timestamp": "+0:1:30"},
        ],
        "objective": {"id": "minimizeMTTR"},
    }


def _link(number: int, switch: int, kind: str, end: int) -> dict[str, Any]:
    return {"id": number, "capacity": 1000, "switch": switch, "physicalElement": {"type": kind, "id": end}}


def ours() -> Problem:
    """A problem with every field of ours set."""
    nodes = [
        Node("a", {"cpu": 4.0, "memory": 8.0}, site="paris", watts=(80.0, 120.0)),
        Node("b", {"cpu": 4.0, "memory": 8.0}, site="lyon", durations_s={"shutdown_node": 9.0}),
        Node("c", {"cpu": 4.0}, online=False),
    ]
    vms = [
        Vm("web", {"cpu": 2.5, "memory": 4.0}, "a", vjob="shop", memory_used_mib=900.0, post_copy=True),
        Vm("db", {"cpu": 1.0, "memory": 4.0}, "b", VmState.PAUSED, durations_s={"suspend": 2.5}),
        Vm(
            "job", {"cpu": 1.0}, None, VmState.READY, hot_dirty_mib=6.0, hot_dirty_s=1.0, cold_dirty_mibps=0.5
        ),
        Vm("old", {"cpu": 1.0}, "a", VmState.SLEEPING),
    ]
    network = Network(
        (Switch("s"), Switch("t", 500.0)),
        (
            Link("la", "s", "a", 1000.0),
            Link("lb", "s", "b", 1000.0),
            Link("st", "t", "s", 500.0, end_is_node=False),
        ),
        {"a": {"b": ("la", "lb")}},
    )
    cluster = Cluster(
        {node.name: node for node in nodes},
        {vm.name: vm for vm in vms},
        network,
        {"paris": {"lyon": 12.5}},
    )
    return Problem(
        cluster,
        (
            Constraint("spread", ("web", "db"), label="site.plasma:3"),
            Constraint("fence", ("web",), ("a", "b"), continuous=False, weight=7),
            Constraint("preserve", ("web",), resource="cpu", amount=3.0, continuous=False),
            Constraint("among", ("web",), groups=(("a",), ("b", "c")), relocate=True),
        ),
        (Objective.MIGRATIONS, Objective.MAKESPAN),
        Durations({"migrate": Linear(1.0, 0.1)}, tick_s=0.01),
        Limits(migrations=4, in_per_node=1),
        600.0,
        (PlannedAction(9, Migrate("web", "a", "b"), end_s=3.0),),
    )
