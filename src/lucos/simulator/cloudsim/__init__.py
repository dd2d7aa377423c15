"""CloudSim's PlanetLab experiment: the same hosts, VMs, traces and accounting, so that results compare."""
