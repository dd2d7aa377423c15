"""Measurements of the simulator and of what runs in it."""
