"""DVMS: distributed and cooperative scheduling of VMs, by partitions of neighbours that form as needed."""

from lucos.resources.dvms.grant import Grant, Phase
from lucos.resources.dvms.settings import DvmsSettings
from lucos.resources.dvms.tracker import Dvms

__all__ = ["Dvms", "DvmsSettings", "Grant", "Phase"]
