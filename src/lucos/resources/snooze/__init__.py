"""Snooze: the hierarchical scheduler. Managers look after groups of nodes, a leader after managers."""

from lucos.resources.snooze.settings import SnoozeSettings
from lucos.resources.snooze.tracker import Snooze

__all__ = ["Snooze", "SnoozeSettings"]
