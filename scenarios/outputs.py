"""Writing results: whole files or none, and beside them how they came about.

Every file is written under a temporary name in its own folder and then moved
into place, so that a reader never meets half a file and a failed run leaves
what was there before. Next to the results stands a manifest (inputs, their
hashes, version, seed, wall time): what differs from run to run is kept out of
the results themselves, which are the same bytes whenever the inputs are.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios import __version__
from scenarios.report import PAGE, Report, page
from topologies.errors import FormatError, OutputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "OutputFolder",
    "check_file",
    "check_writable",
    "reproducible",
    "save_figure",
    "sha256",
    "write_file",
    "write_manifest",
]

StrPath = str | os.PathLike[str]

#: Twelve digits: more than any model is good for, fewer than a double has, so
#: that the last bit of another processor's arithmetic does not reach the file.
FLOAT_FORMAT = "%.12g"


def check_writable(folder: StrPath) -> Path:
    """Make sure that files can be written in a folder, before work is put into them.

    The folder itself is not made: if the run fails nothing is left behind.

    Parameters
    ----------
    folder : path
        The folder; it and its parents may not exist yet.

    Returns
    -------
    Path
        The same folder.

    Raises
    ------
    OutputError
        If it, or the nearest parent that exists, is no folder or lets nobody write.

    Examples
    --------
    >>> check_writable("/dev/null/results")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    topologies.errors.OutputError: cannot write into '/dev/null/results': '/dev/null' is not a folder...
    """
    path = Path(folder)
    existing = path
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"cannot write into '{path}': '{existing}' is not a folder; choose another")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise _refusal(path, error, "into ") from error
    return path


def check_file(path: StrPath) -> Path:
    """Make sure that a file can be written at a path, before work is put into it.

    Raises
    ------
    OutputError
        If the path is a folder, or its folder lets nobody write.

    Examples
    --------
    >>> check_file("/dev")
    Traceback (most recent call last):
    ...
    topologies.errors.OutputError: cannot write '/dev': it is a folder; give the name of a file
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"cannot write '{target}': it is a folder; give the name of a file")
    check_writable(target.parent)
    return target


def write_file(path: StrPath, write: Callable[[Path], object]) -> Path:
    """Write one file whole or not at all.

    Parameters
    ----------
    path : path
        Where the file shall stand; missing folders are made.
    write : callable
        ``write(temporary)`` writes the file at the path it is given, which has
        the same suffix and stands in the same folder.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If the file cannot be written. Whatever else ``write`` raises goes through.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(folder + "/a/b.txt", lambda p: p.write_text("4 GPUs")).read_text()
    '4 GPUs'
    """
    target = check_file(path)
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, target)
    except OutputError as error:
        # Writers that replace the file themselves know it by its temporary name only.
        raise OutputError(str(error).replace(str(temporary), str(target))) from error
    except OSError as error:
        raise _refusal(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def sha256(path: StrPath) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises
    ------
    FormatError
        If the file cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise FormatError(f"cannot read '{path}': {error.strerror or error}; check the path") from error


def write_manifest(
    path: StrPath,
    *,
    files: Iterable[StrPath],
    inputs: Mapping[str, Any],
    input_files: Iterable[StrPath] = (),
    seed: int | None = None,
    wall_time: float | None = None,
) -> Path:
    """Write how files came about, as JSON.

    Parameters
    ----------
    path : path
        The manifest.
    files : iterable of paths
        The results it speaks of; their SHA-256 goes in.
    inputs : mapping
        Arguments of the run, by name.
    input_files : iterable of paths
        Files that were read; their SHA-256 goes in.
    seed : int, optional
        Seed of the run.
    wall_time : float, optional
        How long the run took, in seconds.

    Returns
    -------
    Path
        The manifest.
    """
    same = reproducible(files=files, inputs=inputs, input_files=input_files, seed=seed)
    content = {
        "chipweave": same.pop("chipweave"),
        "python": platform.python_version(),
        **same,
        "wall_time_s": None if wall_time is None else round(wall_time, 3),
    }
    text = json.dumps(content, indent=2) + "\n"
    return write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def reproducible(
    *,
    files: Iterable[StrPath],
    inputs: Mapping[str, Any],
    input_files: Iterable[StrPath] = (),
    seed: int | None = None,
) -> dict[str, Any]:
    """The part of a manifest that is the same each time; parameters as for :func:`write_manifest`."""
    arguments = {key: _plain(value) for key, value in inputs.items()}
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
    return {
        "chipweave": __version__,
        "inputs": arguments,
        "inputs_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "input_files": {str(name): sha256(name) for name in input_files},
        "seed": seed,
        "files": {Path(name).name: sha256(name) for name in files},
    }


def save_figure(path: StrPath, figure: Figure) -> None:
    """Save a figure in the format of the path's suffix, 200 dpi, the same bytes each time."""
    import matplotlib as mpl

    # matplotlib dates vector files, and draws the ids of SVG elements by chance.
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "chipweave"}):
        figure.savefig(path, dpi=200, metadata=dated.get(Path(path).suffix.lower()))


class OutputFolder:
    """A folder of results: checked up front, made at the first file.

    Parameters
    ----------
    path : path
        The folder; it need not exist.

    Attributes
    ----------
    path : Path
        The folder.
    files : list of Path
        What has been written since the last manifest.

    Raises
    ------
    OutputError
        At once, if files cannot be written there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder = OutputFolder(parent + "/out")
    ...     _ = folder.write_text("answer.txt", "42")
    ...     folder.manifest("answer", inputs={"question": "?"}).name
    'answer.manifest.json'
    """

    def __init__(self, path: StrPath) -> None:
        self.path = check_writable(path)
        self.files: list[Path] = []
        self._started = time.monotonic()

    def write(self, name: str, write: Callable[[Path], object]) -> Path:
        """Write a file with a function that takes the path to write at."""
        target = write_file(self.path / name, write)
        self.files.append(target)
        return target

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file, in UTF-8."""
        return self.write(name, lambda path: path.write_text(text, encoding="utf-8", newline="\n"))

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        """Write a table as CSV: no index, floats to twelve digits, lines ended by newline."""
        return self.write(
            name, lambda path: table.to_csv(path, index=False, float_format=FLOAT_FORMAT, lineterminator="\n")
        )

    def write_figure(self, name: str, figure: Figure) -> list[Path]:
        """Write a figure as ``name.png`` (200 dpi) and ``name.svg``, free of dates and random ids."""
        # Laid out once: both files show the same figure.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        return [
            self.write(name + suffix, lambda path: save_figure(path, figure)) for suffix in (".png", ".svg")
        ]

    def manifest(
        self,
        name: str,
        *,
        inputs: Mapping[str, Any],
        input_files: Iterable[StrPath] = (),
        seed: int | None = None,
        report: Report | None = None,
    ) -> Path:
        """Write ``name.manifest.json`` for the files written since the last one.

        Parameters are those of :func:`write_manifest`; the wall time is counted
        from the making of this object. A report is written first, as `PAGE`.
        """
        if report is not None:
            same = reproducible(files=self.files, inputs=inputs, input_files=input_files, seed=seed)
            text = page(report, self.path, manifest=same, manifest_file=f"{name}.manifest.json")
            self.write_text(PAGE, text)
        written = write_manifest(
            self.path / f"{name}.manifest.json",
            files=self.files,
            inputs=inputs,
            input_files=input_files,
            seed=seed,
            wall_time=time.monotonic() - self._started,
        )
        self.files = []
        return written


def _refusal(path: Path, error: OSError, preposition: str = "") -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {preposition}'{path}': {reason}; choose another place with -o")


def _plain(value: Any) -> Any:
    """Bring an argument to what JSON holds; paths and other objects become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
