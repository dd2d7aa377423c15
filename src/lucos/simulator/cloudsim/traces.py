"""A day of load: PlanetLab's, or one drawn with its statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lucos.errors import InputError
from lucos.simulator.cloudsim.datacenter import DAY_S, STEP_S, Floats
from lucos.simulator.injectors import generator, read_planetlab

SAMPLES = round(DAY_S / STEP_S)

# Fitted to 2011-03-03 by eye: means are lognormal, and the smaller the mean, the wilder the VM.
_LOG_MEAN_PCT, _LOG_MEAN_SPREAD = 1.93, 1.09
_MEAN_PCT_RANGE = (0.5, 90.0)
_WILD, _WILD_EXPONENT, _WILD_SPREAD = 1.65, -0.45, 0.5
# The share of a VM's variance that is slow (hours); the rest is fresh at every sample.
PLANETLAB_SLOW_SHARE = 0.12
_SLOW_SAMPLES = 50.0


def read_day(path: Path) -> Floats:
    """[V, SAMPLES] CPU in 0..1, VMs in the order of file names; raises `InputError` for what is no day."""
    load = read_planetlab(path) / 100
    if load.shape[1] < SAMPLES:
        words = f"the trace has {load.shape[1]} samples a VM, a day has {SAMPLES}"
        raise InputError(words, file=str(path), hint=f"give one sample for each {STEP_S:g} s")
    if not (load.min() >= 0 and load.max() <= 1):
        raise InputError("the trace has values outside 0..100 %", file=str(path))
    return load[:, :SAMPLES]


def synthetic_day(vms: int, seed: int, slow_share: float = PLANETLAB_SLOW_SHARE) -> Floats:
    """[vms, SAMPLES] CPU in 0..1 with the statistics of PlanetLab's 2011-03-03, in whole percent.

    Lognormal means; gamma noise whose relative size falls with the mean; a drift that takes `slow_share` of
    its variance. Rounding to whole percent makes small VMs idle at times, as in the original.
    """
    random = generator(seed, "cloudsim")
    mean_pct = np.exp(random.normal(_LOG_MEAN_PCT, _LOG_MEAN_SPREAD, (vms, 1))).clip(*_MEAN_PCT_RANGE)
    wildness = _WILD * mean_pct**_WILD_EXPONENT * np.exp(random.normal(0, _WILD_SPREAD, (vms, 1)))
    drift = np.empty((vms, SAMPLES))
    keep = np.exp(-1 / _SLOW_SAMPLES)
    drift[:, 0] = random.normal(size=vms)
    for n, fresh in enumerate(random.normal(0, np.sqrt(1 - keep**2), (SAMPLES - 1, vms)), 1):
        drift[:, n] = keep * drift[:, n - 1] + fresh
    slow = np.sqrt(slow_share) * wildness
    around_pct = mean_pct * np.exp(slow * drift - slow**2 / 2)
    shape = 1 / (wildness**2 * (1 - slow_share))
    return np.round(random.gamma(shape, around_pct / shape)).clip(0, 100) / 100
