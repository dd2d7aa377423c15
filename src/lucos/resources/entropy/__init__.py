"""Entropy: the centralised scheduler. One controller watches all nodes, and decides and acts for all."""

from lucos.resources.entropy.tracker import Entropy, EntropySettings

__all__ = ["Entropy", "EntropySettings"]
