"""Plasma, the constraint language: `compile_script` turns a script into model constraints.

$T1 = {web1, web2} + app[1..3];   // sets, ranges, union, difference
spread($T1);                      // continuous: holds at every instant
>> ban($ALL_VMS, {@h4});          // discrete: holds in the result of a plan
"""

from lucos.plasma.compiler import ARGUMENTS, compile_script
from lucos.plasma.errors import PlasmaErrors, Problem

__all__ = ["ARGUMENTS", "PlasmaErrors", "Problem", "compile_script"]
