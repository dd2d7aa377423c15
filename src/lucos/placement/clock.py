"""The wall clock of time budgets and statistics. With a work budget nothing that is decided depends on it."""

from __future__ import annotations

from time import perf_counter as now_s

__all__ = ["now_s"]
