"""The figures of sim/libraries/calibrated, fitted again to the project's measured rows and written.

They come from here and from nowhere else: no figure in those files is typed by hand,
and the command writes the same bytes whenever rows, stages and model are the same.
Which rows determine which figures stands in `scenarios.calibration.STAGES`.
"""

from __future__ import annotations

from pathlib import Path

from scenarios.arguments import ScenarioParser
from scenarios.calibration import STAGES, Calibrated, Stage, calibrated, samples_of
from scenarios.outputs import OutputFolder
from scenarios.progress import Report, progress

__all__ = ["CALIBRATED", "HEAD", "fitted", "main", "texts"]

NAME = "calibrate_libraries"

#: Where the libraries look for figures that were fitted.
CALIBRATED = Path(__file__).parents[1] / "sim" / "libraries" / "calibrated"

#: First lines of every file.
HEAD = (
    "# Fitted to scenarios/measured/collectives.csv.xz; written by `chipweave run calibrate_libraries`:\n"
    "# change the rows, scenarios/calibration.py or the model and run it again, not this file.\n\n"
)


def main(argv: list[str] | None = None) -> int:
    """Run the scenario; see ``--help`` for its options.

    Returns
    -------
    int
        Exit code: 0; 1 if with ``--check`` a file is not what would be written.
    """
    parser = ScenarioParser(NAME, (__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=CALIBRATED, metavar="DIR")
    parser.add_argument("-q", "--quiet", action="store_true", help="No progress bar, no messages.")
    parser.add_argument("--check", action="store_true", help="Write nothing; say which files would change.")
    arguments = parser.parse_args(argv)
    folder = OutputFolder(arguments.output)
    with progress("stages", quiet=arguments.quiet) as report:
        done = fitted(report=report)
    for stage, found in done.fits:
        told = sum(figure.told for figure in found.figures)
        print(
            f"{stage.prefix:<34} {int(found.kept.sum()):>4} rows, {len(found.dropped):>2} left out, "
            f"{told:>2} of {len(found.figures):>2} figures told, median |error| {100 * found.residual:.1f} %"
        )
    files = texts(done)
    if arguments.check:
        stale = [name for name, text in files.items() if _read(arguments.output / name) != text]
        for name in stale:
            print(f"{arguments.output / name}: is not what the rows give; chipweave run {NAME}")
        return 1 if stale else 0
    for name, text in files.items():
        folder.write_text(name, text)
        print(f"written: {arguments.output / name}")
    return 0


def fitted(stages: tuple[Stage, ...] = STAGES, *, report: Report | None = None) -> Calibrated:
    """Fit stages to the project's rows, one after the other, from the libraries' own figures.

    Parameters
    ----------
    stages : tuple of Stage
        Of a part, only those that do not stand on the others give what is shipped.
    report : callable, optional
        Called with (done, total, prefix).
    """
    from scenarios.validation import MEASURED
    from sim.measurements import read
    from topologies.systems import Systems

    table, systems = read(MEASURED).rows, Systems()
    wanted = {system for stage in stages for system in stage.systems}
    table = table[table["system"].isin(wanted)].reset_index(drop=True)
    samples = samples_of(table, systems)
    found = Calibrated({}, [])
    for i, stage in enumerate(stages):
        if report is not None:
            report(i, len(stages), stage.prefix)
        found = calibrated(table, samples, systems, (stage,), found)
    return found


def texts(found: Calibrated) -> dict[str, str]:
    """The files of figures by name, one for each library."""
    from scenarios.parameter_files import figures_toml

    files = {}
    for name in sorted({stage.library for stage, _ in found.fits}):
        fits = [(f"fit to {', '.join(s.systems)}", fit) for s, fit in found.fits if s.library == name]
        files[f"{name}.toml"] = HEAD + figures_toml(fits)
    return files


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
