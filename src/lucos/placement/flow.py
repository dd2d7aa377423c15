"""The heaviest closure: which gains to take when each requires some losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

# Amounts smaller than this are rounding.
NOTHING = 1e-9


def heaviest_closure(
    gains: Mapping[int, float], losses: Mapping[int, float], needs: Mapping[int, Sequence[int]]
) -> tuple[float, list[int]]:
    """The largest sum of some gains less all the losses they need, and these gains.

    A maximal flow from gains to the losses they need; what it leaves reachable is the closure (Picard 1976).
    Breadth-first augmentation, after a greedy start that suffices for chains.
    """
    left = {**gains, **losses}
    flow: dict[int, dict[int, float]] = {loss: {} for loss in losses}  # loss -> gain -> amount

    def push(gain: int, loss: int, amount: float) -> None:
        flow[loss][gain] = flow[loss].get(gain, 0.0) + amount

    for gain in gains:
        for loss in needs[gain]:
            if amount := min(left[gain], left[loss]):
                push(gain, loss, amount)
                left[gain] -= amount
                left[loss] -= amount
    while True:
        came_from = {gain: gain for gain in gains if left[gain] > NOTHING}
        queue = list(came_from)
        for here in queue:
            if here in losses and left[here] > NOTHING:
                break
            around = (
                needs[here] if here in gains else [g for g, amount in flow[here].items() if amount > NOTHING]
            )
            for there in around:
                if there not in came_from:
                    came_from[there] = here
                    queue.append(there)
        else:
            chosen = [gain for gain in gains if gain in came_from]
            lost = sum(losses[loss] for loss in losses if loss in came_from)
            return sum(gains[gain] for gain in chosen) - lost, chosen
        path = [here]
        while came_from[path[-1]] != path[-1]:
            path.append(came_from[path[-1]])
        back = [(gain, loss) for loss, gain in pairwise(reversed(path)) if loss in losses]
        amount = min(left[path[0]], left[path[-1]], *(flow[loss][gain] for gain, loss in back))
        left[path[0]] -= amount
        left[path[-1]] -= amount
        for one, other in pairwise(reversed(path)):
            if one in gains:
                push(one, other, amount)
            else:
                push(other, one, -amount)
