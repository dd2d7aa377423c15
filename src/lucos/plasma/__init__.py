"""Plasma, the constraint language: scripts -> model constraints, with every problem at its place.

$T1 = {web1, web2} + app[1..3];   // sets, ranges, union, difference
spread($T1);                      // continuous: holds at every instant
>> ban($ALL_VMS, {@h4});          // discrete: holds in the result of a plan
~10 gather($T1);                  // soft: breaking it costs 10

`compile_script` is for the script of a virtual environment, `compile_module` for scripts that stand alone.
"""

from lucos.plasma.compiler import Declared, Template
from lucos.plasma.errors import PlasmaErrors, Problem, Source
from lucos.plasma.formatting import format_script
from lucos.plasma.modules import Load, Module, compile_module, compile_script, in_folder, read_source

__all__ = [
    "Declared",
    "Load",
    "Module",
    "PlasmaErrors",
    "Problem",
    "Source",
    "Template",
    "compile_module",
    "compile_script",
    "format_script",
    "in_folder",
    "read_source",
]
