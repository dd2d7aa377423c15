"""LUC OS: virtual machines over many hypervisors on many sites, with no central controller."""

__version__ = "0.1.0"
