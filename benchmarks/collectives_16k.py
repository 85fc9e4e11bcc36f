"""``python -m benchmarks.collectives_16k``: every algorithm on 16,384 chips, CPU seconds of one run each.

Asked of those whose transfers are some p log2 p (`WORTH` times as many),
repetitions counted: at most `LIMIT` seconds, everything compiled before. Chips
stand in hosts of eight on a three-tier fabric (``hgx-h100``), or on a torus for
the algorithms of tori.

::

    python -m benchmarks.collectives_16k                 # all of them
    python -m benchmarks.collectives_16k all_reduce      # of one collective
    python -m benchmarks.collectives_16k -n 1024         # on fewer chips
    python -m benchmarks.collectives_16k --all           # also of those that repeat such rounds
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.report import text
from topologies.errors import ChipweaveError

__all__ = ["LIMIT", "WORTH", "cases", "main", "transfers"]

CHIPS = 16_384
SIZE = 2.0**30

#: CPU seconds of a run.
LIMIT = 10.0

#: Transfers in units of p log2 p up to which an algorithm is asked; the fold, both
#: halves of an all-reduce and the levels of a tree are such units.
WORTH = 4


def cases(kind: str | None = None) -> Iterator[tuple[str, str]]:
    """Collectives and their algorithms."""
    from sim.collectives import algorithms, kinds

    for one in kinds() if kind is None else [kind]:
        for name in algorithms(one):
            yield one, name


def transfers(kind: str, name: str, ranks: int, options: dict[str, Any], most: int) -> tuple[int, int]:
    """Transfers of the rounds, each once, and with their repetitions; counted up to ``most``.

    An in-network one counts as many as it has chips on both sides.
    """
    from sim.collectives import build

    once = again = 0
    for round_ in build(kind, ranks, SIZE, name, **options).rounds():
        size = round_.src.size
        if round_.trees is not None:
            size = round_.trees.up[1].size + round_.trees.down[1].size
        once += size
        again += size * round_.repeat
        if once > most:
            break
    return once, again


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print.

    Returns
    -------
    int
        0 if all are within `LIMIT`, else 1; 2 for a wrong name.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collectives_16k", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("collective", nargs="?", help="one collective; all if not given")
    parser.add_argument("-n", "--chips", type=int, default=CHIPS, help="chips (default: %(default)s)")
    parser.add_argument("--algorithm", help="one algorithm")
    parser.add_argument("--all", action="store_true", help="also algorithms that repeat rounds of p log p")
    arguments = parser.parse_args(argv)
    try:
        wanted = [c for c in cases(arguments.collective) if arguments.algorithm in (None, c[1])]
        late = _measure(wanted, arguments.chips, repeating=arguments.all)
    except ChipweaveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if late else 0


def _measure(wanted: list[tuple[str, str]], chips: int, *, repeating: bool) -> int:
    import sim
    import topologies
    from sim.collectives import options, serves

    dims = _near_cube(chips)
    torus = sim.compile_fabric(topologies.torus(dims, bandwidth="100 GB/s", latency="1 us"))
    hosts = sim.compile_fabric(topologies.machine("hgx-h100", chips=chips))
    unit = chips * math.ceil(math.log2(chips))
    rows, late = [], 0
    for kind, name in wanted:
        fabric, given = hosts, {}
        if serves(kind, name, chips) is not None and "dims" in options(kind, name):
            fabric, given = torus, {"dims": dims}
        elif "groups" in options(kind, name):
            given = {"groups": hosts.groups(hosts.rank_nodes)}
        reason = serves(kind, name, chips, **given)
        if reason is not None:
            rows.append((kind, name, "", "", "", reason))
            continue
        once, again = transfers(kind, name, chips, given, WORTH * unit)
        if once > WORTH * unit or (again > WORTH * unit and not repeating):
            rows.append((kind, name, f"> {WORTH}", "", "", "more than p log p: not asked"))
            continue
        small = sim.compile_fabric(topologies.machine("hgx-h100", chips=64)) if fabric is hosts else None
        if small is not None and serves(kind, name, 64, small.groups(small.rank_nodes)) is None:
            sim.collective(kind, small, SIZE, algorithm=name, library="ideal")  # all compiled
        cpu = time.process_time()
        try:
            run = sim.collective(kind, fabric, SIZE, algorithm=name, library="ideal")
        except ChipweaveError as error:
            rows.append((kind, name, f"{once / unit:.2g}", "", "", str(error)[:60]))
            continue
        cpu = time.process_time() - cpu
        verdict = "" if cpu <= LIMIT else f"over {LIMIT:g} s"
        late += cpu > LIMIT
        rows.append(
            (
                kind,
                name,
                f"{once / unit:.2g}",
                f"{again:,}",
                f"{cpu:.2f}",
                f"{run.time * 1e3:.6g} ms {verdict}",
            )
        )
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    print(text(rows, ("collective", "algorithm", "p log p", "transfers", "CPU s", "")))
    return late


def _near_cube(chips: int) -> tuple[int, ...]:
    """Three dimensions of about the same length."""
    dims = [1, 1, 1]
    rest = chips
    while rest % 2 == 0:
        dims[dims.index(min(dims))] *= 2
        rest //= 2
    dims[dims.index(min(dims))] *= rest
    return tuple(sorted(dims, reverse=True))


if __name__ == "__main__":
    sys.exit(main())
