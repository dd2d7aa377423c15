"""Virtual jobs: VMs of one vjob that are suspended (or resumed) in a plan stop (or go on) at one instant.

All are paused at once, then saved; all are resumed and paused again, then unpaused at once. So a distributed
application never sees some of its VMs run while others are asleep (Hermenier et al., VTDC 2010).
"""

from __future__ import annotations

import numpy as np

from lucos.model import Pause, Resume, Suspend, Unpause, VmState
from lucos.placement.arrays import NOWHERE, RUNNING, SLEEPING, Arrays
from lucos.placement.planner.actions import Step, Work, start_together, vm_ticks


def together_asleep(arrays: Arrays) -> tuple[list[list[int]], list[list[int]]]:
    """The VMs of each vjob that go to sleep in the result, and of each that wake up; two or more."""
    asleep = np.flatnonzero((arrays.state == RUNNING) & (arrays.target == SLEEPING))
    awake = np.flatnonzero((arrays.state == SLEEPING) & (arrays.target == RUNNING))
    return _by_vjob(arrays, asleep.tolist()), _by_vjob(arrays, awake.tolist())


def _by_vjob(arrays: Arrays, vms: list[int]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for vm in vms:
        vjob = arrays.problem.cluster.vms[arrays.vms[vm]].vjob
        if vjob:
            groups.setdefault(vjob, []).append(vm)
    return [group for group in groups.values() if len(group) > 1]


def bind_vjobs(work: Work) -> None:
    """Add the pauses and unpauses of vjobs of which two VMs or more are suspended, or resumed."""
    suspends, resumes = dict[int, int](), dict[int, int]()
    for i, step in enumerate(work.steps):
        if step.vm != NOWHERE and not step.ongoing:
            if isinstance(step.action, Suspend):
                suspends[step.vm] = i
            elif isinstance(step.action, Resume):
                resumes[step.vm] = i
    for vms in _by_vjob(work.arrays, list(suspends)):
        _stop_together(work, [suspends[vm] for vm in vms])
    for vms in _by_vjob(work.arrays, list(resumes)):
        _go_on_together(work, [resumes[vm] for vm in vms])


def _stop_together(work: Work, suspends: list[int]) -> None:
    pauses = []
    for i in suspends:
        step = work.steps[i]
        assert isinstance(step.action, Suspend)
        if not is_paused(work.arrays, step.vm):
            pauses.append(len(work.steps))
            before = [b for b in step.after if work.steps[b].vm == step.vm]
            work.steps.append(_brief(work, Pause(step.action.vm, step.action.node), step.vm, before))
    start_together(work, pauses)
    for i in suspends:
        work.steps[i].after = [*work.steps[i].after, *pauses]


def _go_on_together(work: Work, resumes: list[int]) -> None:
    pauses, unpauses = list[int](), list[int]()
    for i in resumes:
        step = work.steps[i]
        assert isinstance(step.action, Resume)
        pauses.append(len(work.steps))
        work.steps.append(_brief(work, Pause(step.action.vm, step.action.node), step.vm, [i]))
    for i in resumes:
        step = work.steps[i]
        assert isinstance(step.action, Resume)
        unpauses.append(len(work.steps))
        work.steps.append(_brief(work, Unpause(step.action.vm, step.action.node), step.vm, pauses))
        for later in range(i + 1, pauses[0]):
            if work.steps[later].vm == step.vm:
                work.steps[later].after = [*work.steps[later].after, unpauses[-1]]
    start_together(work, unpauses)


def is_paused(arrays: Arrays, vm: int) -> bool:
    return arrays.problem.cluster.vms[arrays.vms[vm]].state is VmState.PAUSED


def _brief(work: Work, action: Pause | Unpause, vm: int, after: list[int]) -> Step:
    kind = "pause" if isinstance(action, Pause) else "unpause"
    return Step(action, vm_ticks(work.arrays, kind, vm), vm, after=after)
