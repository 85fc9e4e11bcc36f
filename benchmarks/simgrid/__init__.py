"""The same works on SimGrid: ``python -m benchmarks.simgrid``.

`works.cpp` is a small program against SimGrid's public S4U API, compiled where
the library is present (Debian: ``apt-get install libsimgrid-dev g++``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from topologies.errors import SimulationError

__all__ = ["COMPARISONS", "Comparison", "Theirs", "build", "run"]

SOURCE = Path(__file__).with_name("works.cpp")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A work on both simulators.

    Attributes
    ----------
    what : str
        For people.
    family : str
        Ours: a name in `benchmarks.works.FAMILIES`.
    arguments : tuple of str
        Theirs: the first two arguments of the C++ program.
    ranks : tuple of int
        Sizes that are compared; the larger ones take SimGrid half a minute.
    """

    what: str
    family: str
    arguments: tuple[str, str]
    ranks: tuple[int, ...] = (64, 256, 1024)


#: Every message simulated on both sides: nothing is jumped over.
COMPARISONS = (
    Comparison("ring, star", "ring-star-exact", ("ring", "star")),
    Comparison("ring, fat tree", "ring-tree-exact", ("ring", "tree")),
    Comparison(
        "all-to-all in order, fat tree", "all-to-all-in-order", ("all_to_all", "in_order"), (64, 1024)
    ),
    Comparison(
        "all-to-all shuffled, fat tree", "all-to-all-shuffled", ("all_to_all", "shuffled"), (64, 1024)
    ),
)


@dataclass(frozen=True, slots=True)
class Theirs:
    """What SimGrid gave.

    Attributes
    ----------
    answer : float
        Simulated seconds.
    cpu, process_cpu : float
        CPU seconds from the finished platform to the answer, and of the whole process.
    megabytes : float
        Peak resident memory, 1e6 bytes.
    """

    answer: float
    cpu: float
    process_cpu: float
    megabytes: float


def build() -> Path | None:
    """Compile the program, once for each text of its source.

    Returns
    -------
    Path of the program, or None where there is no compiler or no SimGrid.

    Raises
    ------
    SimulationError
        If SimGrid is there and the program does not compile; with the first error.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if compiler is None or not _has_simgrid(compiler):
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chipweave"
    program = cache / f"simgrid-works-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = Path(folder) / "works"
        done = subprocess.run(
            [compiler, "-O2", "-DNDEBUG", "-std=c++17", str(SOURCE), "-o", str(fresh), "-lsimgrid"],
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode != 0:
            first = next(
                (l for l in done.stderr.splitlines() if "error" in l), f"exit code {done.returncode}"
            )
            raise SimulationError(f"{SOURCE.name} does not compile with {compiler}: {first}")
        # Whole or not at all, whoever else builds it now.
        fresh.replace(program)
    return program


def run(program: Path, arguments: tuple[str, str], ranks: int) -> Theirs:
    """Run one work on SimGrid.

    Raises
    ------
    SimulationError
        If it fails; with the last line that it wrote.
    """
    done = subprocess.run([str(program), *arguments, str(ranks)], capture_output=True, check=False, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise SimulationError(f"SimGrid: {' '.join(arguments)} {ranks}: {last}")
    answer, cpu, process, kib = (float(word) for word in done.stdout.split())
    return Theirs(answer, cpu, process, kib * 1024 / 1e6)


def _has_simgrid(compiler: str) -> bool:
    """Whether a line that includes SimGrid's header passes the preprocessor."""
    done = subprocess.run(
        [compiler, "-std=c++17", "-E", "-x", "c++", "-"],
        input="#include <simgrid/s4u.hpp>\n",
        capture_output=True,
        check=False,
        text=True,
    )
    return done.returncode == 0
