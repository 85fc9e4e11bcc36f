"""How kernels are compiled: three decorators, one set of switches.

No fast-math: sums keep their order, so a run gives the same bits on every
machine with IEEE doubles.

Compiled code is cached on disk. numba looks only at a function's own file to
see whether its cache is stale, not at the kernels it calls; so the cache stands
in a folder named after the text of all kernels, in the user's cache folder
(``NUMBA_CACHE_DIR`` or ``XDG_CACHE_HOME`` move it).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import types

__all__ = ["compiled", "inlined", "lean"]

#: numba reads this when a function is decorated.
config: Any = numba.config

#: Has more switches than its types tell.
njit: Any = numba.njit

F = TypeVar("F", bound=Callable[..., Any])

#: Files whose text is compiled into kernels, relative to this folder.
SOURCES = (
    "clock.py",
    "compiled.py",
    "numbering.py",
    "durations.py",
    "routing/kernels.py",
    "routing/search.py",
    "network/kernels/*.py",
)


def _cache_folder() -> str:
    here = Path(__file__).parent
    text = hashlib.sha256()
    for pattern in SOURCES:
        for source in sorted(here.glob(pattern)):
            text.update(source.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(base / "chipweave" / f"kernels-{text.hexdigest()[:16]}")


CACHE = _cache_folder()


def _jit(function: F, **more: Any) -> F:
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE
    try:
        switches = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": False, **more}
        kernel = njit(no_cfunc_wrapper=True, **switches)(function)
    finally:
        config.CACHE_DIR = before
    template = kernel.get_call_template
    kernel.get_call_template = lambda args, kws: template(tuple(_widest(kind) for kind in args), kws)
    return cast(F, kernel)


def _widest(kind: Any) -> Any:
    """What a kernel is compiled for when another one calls it with an argument of this type.

    Once for all integers, not once for 32 bits, once for 64 and once for every constant.
    """
    if isinstance(kind, types.BooleanLiteral):
        return types.boolean
    if isinstance(kind, types.IntegerLiteral):
        return types.int64
    return types.int64 if kind in (types.int8, types.int16, types.int32) else kind


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers to machine code on first use."""
    return _jit(function)


def lean(function: F) -> F:
    """Compile a function that neither allocates nor keeps an array.

    Without numba's reference counts: a call that passes twenty arrays would touch
    twenty counters, twice, which costs more than the work that the call does.
    """
    return _jit(function, _nrt=False)


def inlined(function: F) -> F:
    """Compile a lean function into each of its compiled callers: for short ones that are called all the time.

    Python cannot call it.
    """
    return _jit(function, _nrt=False, forceinline=True, no_cpython_wrapper=True)
