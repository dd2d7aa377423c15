"""The queue strategy: vjobs that wait, run, sleep and end as a whole, chosen by a policy (`policy`).

`Queue` is the scheduler of a node. Vjobs are handed in by `SubmitVjob`, listed by `ListVjobs` and taken back
by `CancelVjob`, on any node.
"""

from lucos.resources.queue.policy import Candidate, Decision, PolicySettings, decide
from lucos.resources.queue.survey import Assumptions
from lucos.resources.queue.tracker import Queue, QueueSettings
from lucos.resources.queue.vjob import CancelVjob, ListVjobs, Queued, SubmitVjob, Vjob, VjobRow

__all__ = [
    "Assumptions",
    "CancelVjob",
    "Candidate",
    "Decision",
    "ListVjobs",
    "PolicySettings",
    "Queue",
    "QueueSettings",
    "Queued",
    "SubmitVjob",
    "Vjob",
    "VjobRow",
    "decide",
]
