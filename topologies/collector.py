"""Python's garbage collector, out of the way where hundreds of thousands of dicts are made or read.

None of them is garbage: the collector would only walk them again and again, and takes a
third of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_collection"]


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the collector from running meanwhile.

    Examples
    --------
    >>> with no_collection():
    ...     gc.isenabled()
    False
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
