"""Which model gave a result: the version, and the sources that decide what a run answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from scenarios import __version__

__all__ = ["model_version"]

#: Sources of `sim` and `topologies` that no answer depends on. The catalogue is
#: not among those that count either: a point's key has the figures themselves.
_BESIDE = ("plots", "catalog", "draw.py", "trace.py")


@cache
def model_version() -> str:
    """Version of the model: that of the package, and a digest of the sources.

    Between two releases the version stays, and the model may not; a store must not
    hand out the answers of yesterday's sources.

    Examples
    --------
    >>> model_version().startswith("0.")
    True
    """
    digest = hashlib.sha256()
    for name, path in _sources():
        digest.update(f"{name}\0".encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _sources() -> Iterator[tuple[str, Path]]:
    import sim
    import topologies

    for package in (sim, topologies):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.suffix in (".py", ".toml") and not set(inside.parts) & set(_BESIDE):
                yield f"{package.__name__}/{inside.as_posix()}", path
