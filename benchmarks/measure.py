"""One work measured, in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.works import FAMILIES, Answer, Family
from topologies.errors import SimulationError, nearest

__all__ = ["Measured", "apart", "here", "peak_megabytes"]

#: A work is repeated until it has run so often, or so many seconds in all; at least once.
RUNS, ENOUGH = 5, 20.0

#: Seconds below which the first run only warms up.
WARM = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one row showed.

    Attributes
    ----------
    family, ranks
        What was measured, and at which size.
    seconds, cpu : float
        Medians of wall and CPU time from the subject to the answer; CPU of all processes.
    fastest : float
        Shortest wall time.
    runs : int
        How often it was timed, after the warm-up.
    megabytes : float
        Peak resident memory of the process (1e6 bytes), interpreter and libraries included;
        of the largest, where there are several.
    answer, oracle : float
        Simulated seconds, or points of a sweep.
    cost : dict
        Counters of the last run.
    processes : int
        How many worked.
    """

    family: str
    ranks: int
    seconds: float
    cpu: float
    fastest: float
    runs: int
    megabytes: float
    answer: float
    oracle: float
    cost: dict[str, int] = field(default_factory=dict)
    processes: int = 1

    @property
    def time(self) -> float:
        """Seconds on a machine of its own: the CPU time of one process, the wall time of several.

        What one process lacks in CPU time belongs to others on the machine, as nothing here
        waits. Of several nobody can tell when the last would have ended without them.
        """
        return self.seconds if self.processes > 1 else min(self.seconds, self.cpu)

    def to_json(self) -> dict[str, Any]:
        """As a dict that JSON can hold: None for what is not a number."""
        return {k: None if v != v else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def failed(cls, family: str, ranks: int) -> Measured:
        """A work whose process failed."""
        return cls(family, ranks, *[math.nan] * 3, 0, *[math.nan] * 3)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Measured:
        """The inverse of `to_json`."""
        known: dict[str, Any] = {k: math.nan if v is None else v for k, v in record.items()}
        return cls(**known)


def here(name: str, ranks: int, *, runs: int = RUNS) -> Measured:
    """Measure a work in this process.

    The warm-up is the same work at a small size, so that everything is compiled,
    and, where that takes less than `WARM` seconds, once at its own size.

    Parameters
    ----------
    name : str
        In `benchmarks.works.FAMILIES`.
    ranks : int
    runs : int
        How often at most.

    Raises
    ------
    UnknownNameError
        If there is no such work.
    """
    if name not in FAMILIES:
        raise nearest("work", name, FAMILIES)
    family = FAMILIES[name]
    family.work(family.subject(min(family.small, ranks)))
    subject = family.subject(ranks)
    timed = [_timed(family, subject)]
    if timed[0][0] < WARM:
        timed = []
    while not timed or (len(timed) < runs and sum(wall for wall, _, _ in timed) < ENOUGH):
        timed.append(_timed(family, subject))
    walls = [wall for wall, _, _ in timed]
    answer = timed[-1][2]
    peak = peak_megabytes() if answer.processes == 1 else max(peak_megabytes(), _peak_of_ended())
    return Measured(
        family=name,
        ranks=ranks,
        seconds=statistics.median(walls),
        cpu=statistics.median(cpu for _, cpu, _ in timed),
        fastest=min(walls),
        runs=len(walls),
        megabytes=peak,
        answer=answer.value,
        oracle=family.oracle(subject),
        cost=answer.cost,
        processes=answer.processes,
    )


def _timed(family: Family, subject: Any) -> tuple[float, float, Answer]:
    """Wall time, CPU time and answer of a work; CPU of this process and of those that have ended."""
    wall, cpu = time.perf_counter(), _cpu()
    answer = family.work(subject)
    return time.perf_counter() - wall, _cpu() - cpu, answer


def _cpu() -> float:
    """CPU seconds of this process and of those it has started and seen end."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def apart(name: str, ranks: int, *, runs: int = RUNS) -> Measured:
    """Measure a work in a process of its own, so that its peak memory is its own.

    Raises
    ------
    SimulationError
        If the process fails; with the last line that it wrote.
    """
    root = Path(__file__).parents[1]
    path = os.pathsep.join(p for p in (str(root), os.environ.get("PYTHONPATH")) if p)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", name, str(ranks), str(runs)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise SimulationError(f"benchmark {name} at {ranks} ranks: its process failed: {last}")
    return Measured.from_json(json.loads(done.stdout))


def peak_megabytes() -> float:
    """Peak resident memory of this process in 1e6 bytes.

    From ``VmHWM`` where there is a /proc: ``ru_maxrss`` of a process also counts what
    its parent held when it was forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(l for l in status.read_text().splitlines() if l.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _peak_of_ended() -> float:
    """The most that one of the processes held that this one has started and seen end, 1e6 bytes."""
    import resource

    return _megabytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _megabytes(resident: int) -> float:
    return resident * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    print(json.dumps(here(sys.argv[1], int(sys.argv[2]), runs=int(sys.argv[3])).to_json()))
