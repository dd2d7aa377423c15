"""Several hosts on one machine: what kind is to Kubernetes.

A host is a network, mount and UTS namespace with its own libvirtd and its own agent; its guests are real and
share a CPU quota. Sites are bridges, joined by a switch that delays frames. Root only.
"""

from lucos.lab.lab import (
    HostState,
    LabState,
    kill_agent,
    kill_libvirtd,
    lab_cut,
    lab_down,
    lab_heal,
    lab_kill,
    lab_list,
    lab_revive,
    lab_shell_argv,
    lab_state,
    lab_together,
    lab_up,
    start_agent,
    start_libvirtd,
    stop_agent,
)
from lucos.lab.record import Cut

__all__ = [
    "Cut",
    "HostState",
    "LabState",
    "kill_agent",
    "kill_libvirtd",
    "lab_cut",
    "lab_down",
    "lab_heal",
    "lab_kill",
    "lab_list",
    "lab_revive",
    "lab_shell_argv",
    "lab_state",
    "lab_together",
    "lab_up",
    "start_agent",
    "start_libvirtd",
    "stop_agent",
]
