"""The main job: all-reduce from 8 to 16,384 chips, domestic machines beside global ones, and both measured.

Three scenarios, each with its own folder and page, in one go: what the first has
imported, compiled and started serves the others.
"""

from __future__ import annotations

from pathlib import Path

from scenarios.arguments import ScenarioParser
from scenarios.outputs import check_writable

__all__ = ["NAMES", "main"]

#: In order; the last ends on real measurements.
NAMES = ("allreduce_scaling", "domestic_vs_global", "measured_overlay")


def main(argv: list[str] | None = None) -> int:
    """Run the three; see ``--help``.

    Returns
    -------
    int
        Exit code: 0.

    Raises
    ------
    ChipweaveError
        For a folder that cannot be used.
    """
    from scenarios import allreduce_scaling, domestic_vs_global, measured_overlay

    parser = ScenarioParser("demo", (__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("out"), metavar="DIR")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no messages")
    arguments = parser.parse_args(argv)
    check_writable(arguments.output)
    runs = (allreduce_scaling.main, domestic_vs_global.main, measured_overlay.main)
    for name, run in zip(NAMES, runs, strict=True):
        run(["-o", str(arguments.output / name), *(["-q"] if arguments.quiet else [])])
    return 0
