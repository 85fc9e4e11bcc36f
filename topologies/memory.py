"""Refusing what would not fit into memory, before it is taken."""

from __future__ import annotations

import os

from topologies.errors import CapacityError

__all__ = ["available", "require"]

#: Share of what is free that one request may take.
SHARE = 0.9


def available() -> int:
    """Bytes of memory that are free or can be freed at once.

    ``MemAvailable`` where the system tells (Linux), else all physical memory.
    """
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        # Not Linux: the total is the best that is known.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require(needed: float, what: str) -> None:
    """Refuse a request that needs more memory than there is.

    Parameters
    ----------
    needed : float
        Bytes, estimated.
    what : str
        What needs them, and how to need less, for the message.

    Raises
    ------
    CapacityError
        With both figures.

    Examples
    --------
    >>> require(1e6, "a small thing")
    >>> require(1e18, "a graph of everything; take fewer chips")
    Traceback (most recent call last):
        ...
    topologies.errors.CapacityError: about 1000000000.0 GB would be needed and ...
    """
    free = available()
    if needed > SHARE * free:
        raise CapacityError(
            f"about {needed / 1e9:.1f} GB would be needed and {free / 1e9:.1f} GB are free: {what}"
        )
