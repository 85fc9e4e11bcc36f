"""How kernels are compiled: one decorator, one set of switches.

Compiled code is cached on disk beside its module (or in numba's user cache
where that folder is read-only). No fast-math: sums keep their order, so a run
gives the same bits on every machine with IEEE doubles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers to machine code on first use."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)(function))
