"""DVMS: distributed and cooperative scheduling of VMs, by partitions of neighbours that form as needed."""

from lucos.resources.dvms.tracker import Dvms, DvmsSettings, Grant, Phase

__all__ = ["Dvms", "DvmsSettings", "Grant", "Phase"]
