"""The kinds of constraints, one module each. A module that defines `KIND` is found by being here."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from lucos.model.signature import Signature
from lucos.placement.constraints.base import Breach, Example, Kind

KINDS: dict[str, Kind] = {}
"""Every kind by its name."""

for _module in iter_modules(__path__):
    _kind = getattr(import_module(f"{__name__}.{_module.name}"), "KIND", None)
    if isinstance(_kind, Kind):
        KINDS[_kind.signature.name] = _kind

SIGNATURES: dict[str, Signature] = {name: kind.signature for name, kind in KINDS.items()}
"""How each kind is written; what Plasma is given to read scripts."""

__all__ = ["KINDS", "SIGNATURES", "Breach", "Example", "Kind"]
