"""Which processes write a store now, and which have died in the middle.

A process that sweeps says so in the table ``owners`` and renews its heartbeat; a
run in flight has a row in ``claims``. Claims of a process that is gone are taken
over at once where that can be seen (same host: no such process, or another boot
of the machine), elsewhere when its heartbeat has stopped for a minute. A process
that was only asleep does no harm: both run the point, and find the same.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HEARTBEAT", "SILENCE", "Owner", "alive", "this_process"]

#: Seconds between two heartbeats, and after how many of silence a process on
#: another host counts as dead.
HEARTBEAT, SILENCE = 10.0, 60.0


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, so that another process of the same name and number is not taken for it."""

    id: str
    host: str
    boot: str
    pid: int
    born: str

    @property
    def kernel(self) -> str:
        """The boot of the machine, without the name space of its process numbers."""
        return self.boot.partition(" ")[0]


def this_process() -> Owner:
    """This process, under a name that nobody had before."""
    pid = os.getpid()
    return Owner(uuid.uuid4().hex, socket.gethostname(), _boot(), pid, _born(pid) or "")


def alive(owner: Owner, heartbeat: float, now: float | None = None) -> bool:
    """Whether a process still sweeps.

    Examples
    --------
    >>> alive(this_process(), heartbeat=0.0)
    True
    >>> alive(Owner("", "another-host", "", 1, ""), heartbeat=0.0)
    False
    """
    here = Owner("", socket.gethostname(), _boot(), 0, "")
    if owner.host == here.host and owner.boot and here.boot:
        if owner.boot == here.boot:
            return _born(owner.pid) == owner.born
        if owner.kernel != here.kernel:
            return False  # it ended with the boot it ran under
    return (time.time() if now is None else now) - heartbeat < SILENCE


def _boot() -> str:
    """The boot of this machine and the name space of process numbers; empty where nothing says so."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None if there is none (or a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold anything; state is field 3, start field 22.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
