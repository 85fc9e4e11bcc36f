"""The runs of a store as a table: tidy, in an order of its own, the same bytes each time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.outputs import FLOAT_FORMAT
from scenarios.store.store import Store
from topologies.errors import MissingPackageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ID_DIGITS", "Table", "table"]

#: Digits of a key that a table shows: among a million runs, two with the same
#: twelve are one in five hundred.
ID_DIGITS = 12

#: Order of the inputs; keys that are not here follow, by name.
_FIRST = (
    "machine", "chips", "estimate", "scale_out", "collective", "size", "ranks", "algorithm", "protocol",
    "library", "routing", "network", "fast_forward", "seed",
)  # fmt: skip

_RESULTS = (
    "state", "error", "ran_algorithm", "ran_protocol", "ran_library", "ran_ranks", "time", "algbw", "busbw",
    "lower_bound", "efficiency", "bounded_by",
)  # fmt: skip

#: Kept apart because they differ from sweep to sweep.
_TIMINGS = ("seconds", "worker", "finished")


@dataclass(frozen=True)
class Table:
    """Columns by name, all of one length; absent is None.

    Attributes
    ----------
    columns : dict of list by str
        ``id``, the inputs (a changed figure as ``link.TIER.FIGURE``, in SI units),
        ``state`` to ``bounded_by``, the breakdown as ``breakdown.CAUSE``, and ``model``.
    """

    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.columns["id"])

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The runs, one after the other."""
        return zip(*self.columns.values(), strict=True)

    def to_frame(self) -> pd.DataFrame:
        """As a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.columns)

    def write_csv(self, path: Path) -> None:
        """Write CSV: floats to twelve digits, nothing where there is nothing."""
        with path.open("w", encoding="utf-8", newline="") as file:
            self.print_csv(file)

    def print_csv(self, file: Any) -> None:
        """Write CSV into an open file."""
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows())

    def write_parquet(self, path: Path) -> None:
        """Write Parquet, one type a column, all of the digits.

        Raises
        ------
        MissingPackageError
            If there is no pyarrow.
        """
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingPackageError(
                "Parquet needs the package pyarrow; pip install 'chipweave[parquet]', or write .csv"
            ) from error
        arrays = {name: pa.array(values) for name, values in self.columns.items()}
        pq.write_table(pa.table(arrays), path)


def table(store: Store, *, timing: bool = False, every_model: bool = False) -> Table:
    """The runs of a store.

    Parameters
    ----------
    store : Store
    timing : bool
        Whether to add how long each run took, where and when: these differ from
        sweep to sweep, everything else does not.
    every_model : bool
        Whether to take the runs of every version of the model, not only those of the
        newest sweep's.

    Returns
    -------
    Table
        Sorted by the inputs, machine first.
    """
    names, rows = store.rows()
    newest = store.models()[-1:]
    flat = [
        _flat(dict(zip(names, values, strict=True)), timing)
        for values in rows
        if every_model or values[names.index("model")] in newest
    ]
    seen = {name for one in flat for name in one}
    links = sorted(name for name in seen if name.startswith("link."))
    causes = sorted(name for name in seen if name.startswith("breakdown."))
    fixed = ["id", *_FIRST, *_RESULTS, "model", *(_TIMINGS if timing else ())]
    options = sorted(seen - {*links, *causes, *fixed})
    inputs = [*_FIRST[:4], *links, *_FIRST[4:], *options]
    order = ["id", *inputs, *_RESULTS, *causes, "model", *(_TIMINGS if timing else ())]
    flat.sort(key=lambda one: [_rank(one.get(name)) for name in (*inputs, "model", "id")])
    return Table({name: _of_one_type([one.get(name) for one in flat]) for name in order})


def _flat(run: dict[str, Any], timing: bool) -> dict[str, Any]:
    """One run by column; what is nested has a name with dots, and lists are JSON."""
    inputs = json.loads(run["inputs"])
    links = inputs.pop("link")
    one = {"id": run["key"][:ID_DIGITS], "model": run["model"]}
    one |= {name: json.dumps(x) if isinstance(x, list) else x for name, x in inputs.items()}
    one |= {f"link.{tier}.{figure}": x for tier, figures in links.items() for figure, x in figures.items()}
    one |= {name: run[name] for name in _RESULTS}
    one |= {f"breakdown.{cause}": x for cause, x in json.loads(run["breakdown"] or "{}").items()}
    if timing:
        one |= {name: run[name] for name in _TIMINGS}
    return one


def _rank(x: Any) -> tuple[int, float, str]:
    """Place in the order: nothing, then numbers, then text."""
    if x is None:
        return 0, 0.0, ""
    return (2, 0.0, x) if isinstance(x, str) else (1, float(x), "")


def _of_one_type(values: list[Any]) -> list[Any]:
    """Whole numbers beside others become floats; text beside numbers makes all text."""
    types = {type(value) for value in values} - {type(None)}
    if len(types) <= 1:
        return values
    if types == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return FLOAT_FORMAT % value
    return "" if value is None else value
