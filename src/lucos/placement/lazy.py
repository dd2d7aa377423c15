"""numpy, loaded when it is first used.

Who only judges rules by names (an agent that admits a VM) imports the kinds of constraints, and with them the
forms they are lowered to, but never computes with arrays: it does not pay numpy's 17 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
else:

    class _Numpy:
        def __getattr__(self, name: str) -> Any:
            import numpy

            return getattr(numpy, name)

    np = _Numpy()

__all__ = ["np"]
