"""Benchmarks of the placement engine: `python -m benchmarks.placement` prints what was measured."""
