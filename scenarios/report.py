"""One page that says it all: question, figures, tables, what bounded the time, machines, manifest.

The page needs nothing besides itself: styles stand in it, figures are embedded,
and there is no script. Words of tables and machines are escaped by
the template engine.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios import __version__

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PAGE", "Report", "page"]

#: What the page of a scenario is called, next to its files.
PAGE = "index.html"

TEMPLATE = Path(__file__).with_name("report.html")

#: Rows of a table that are shown; the file beside the page has all of them.
ROWS = 200

#: Columns whose figures have a unit.
BANDWIDTHS = ("busbw", "algbw", "bandwidth", "busbw_measured")
TIMES = ("time", "lower_bound", "time_before", "time_after", "time_measured")
SHARES = ("efficiency", "gain", "bandwidth_gain", "latency_gain", "scale_out_gain",
          "median_error", "p90_error", "bias", "worst_error", "median", "p90", "baseline_median",
          "all", "from_1MiB", "from_64MiB")  # fmt: skip
SIZES = ("size", "worst_size")

#: Words longer than this may break in a cell; above the second they are whole sentences.
LONG, TEXT = 28, 80


@dataclass(slots=True)
class Report:
    """What a page shows.

    Attributes
    ----------
    title : str
        The question in one line.
    question : str
        What else there is to say of it; paragraphs apart by an empty line.
    machines : sequence of str
        Names of the catalogue, or ``.toml`` descriptions.
    figures : mapping of str to str
        Caption by the name of a ``.svg`` or ``.png`` file in the folder.
    tables : mapping of str to (caption, DataFrame)
        By the name of the file in the folder that holds the table.
    explanations : sequence of (heading, text)
    """

    title: str
    question: str = ""
    machines: Sequence[str] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, tuple[str, pd.DataFrame]] = field(default_factory=dict)
    explanations: Sequence[tuple[str, str]] = ()


def page(report: Report, folder: Path, *, manifest: Mapping[str, Any], manifest_file: str) -> str:
    """Write a report as HTML.

    Parameters
    ----------
    report : Report
    folder : Path
        Where its figures stand.
    manifest : mapping
        Inputs, version and hashes; nothing that differs from run to run.
    manifest_file : str
        Name of the whole manifest in the folder.

    Returns
    -------
    str
        The page.
    """
    from jinja2 import Environment, StrictUndefined

    # Names that the template does not know are errors, and all text is escaped.
    engine = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = engine.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        title=report.title,
        # Docstrings mark code with double backticks.
        question=[" ".join(p.replace("``", "").split()) for p in report.question.split("\n\n") if p.strip()],
        figures=[
            {"file": name, "caption": caption, "source": _embedded(folder / name)}
            for name, caption in report.figures.items()
        ],
        tables=[_table(name, caption, table) for name, (caption, table) in report.tables.items()],
        explanations=[(heading, _blocks(text)) for heading, text in report.explanations],
        machines=[_machine(name) for name in report.machines],
        manifest=json.dumps(manifest, indent=2),
        manifest_file=manifest_file,
        version=__version__,
        grid=_grid(engine),
    )


def _blocks(text: str) -> list[tuple[str, str]]:
    """Cut an explanation into sentences, and rows (indented lines) that belong together.

    >>> _blocks("Where it went:\\n  latency 1 us\\n  overhead 2 us\\nNo contention.")
    [('words', 'Where it went:'), ('rows', 'latency 1 us\\noverhead 2 us'), ('words', 'No contention.')]
    """
    found = []
    for indented, lines in groupby(text.splitlines(), key=lambda line: line.startswith("  ")):
        if indented:
            found.append(("rows", "\n".join(line[2:] for line in lines)))
        else:
            found += [("words", line) for line in lines]
    return found


def _embedded(path: Path) -> str:
    kind = {".svg": "svg+xml", ".png": "png"}[path.suffix]
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _grid(engine: Any) -> Any:
    """A macro: columns of (heading, class), rows of texts."""
    source = (
        '{% macro grid(columns, rows) %}<div class="wide" tabindex="0"><table><thead><tr>'
        '{% for name, kind in columns %}<th class="{{ kind }}" scope="col">{{ name }}</th>{% endfor %}'
        "</tr></thead><tbody>{% for row in rows %}<tr>"
        '{% for cell in row %}<td class="{{ columns[loop.index0][1] }}">{{ cell }}</td>{% endfor %}'
        "</tr>{% endfor %}</tbody></table></div>{% endmacro %}"
    )
    return engine.from_string(source).module.grid


def _table(name: str, caption: str, table: pd.DataFrame) -> dict[str, Any]:
    shown = table.head(ROWS)
    columns, texts = [], []
    for column in shown.columns:
        cells = [_text(str(column), value) for value in shown[column]]
        words = any(isinstance(value, str) for value in shown[column])
        longest = max(map(len, cells), default=0)
        kind = "" if not words else "text" if longest > TEXT else "long" if longest > LONG else "word"
        columns.append((str(column).replace("_", " "), kind))
        texts.append(cells)
    left_out = len(table) - len(shown)
    note = (
        f"The first {len(shown):,} of {len(table):,} rows; all of them in "
        if left_out
        else "All columns as numbers: "
    )
    return {
        "caption": caption,
        "file": name,
        "note": note,
        "columns": columns,
        "rows": list(zip(*texts, strict=True)),
    }


def _text(column: str, value: Any) -> str:
    """A cell for people, with its unit."""
    import numpy as np

    from topologies.units import format_bandwidth, format_size, format_time

    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if value != value:
        return "–"
    if column in BANDWIDTHS:
        return format_bandwidth(value)
    if column in TIMES:
        return format_time(value)
    if column in SHARES:
        return f"{100 * value:.1f} %"
    if column in SIZES:
        return format_size(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}"


def _machine(name: str) -> dict[str, Any]:
    """A machine of the catalogue: every figure with its evidence and source."""
    from topologies.machines import describe

    machine = describe(name)
    rows = []
    count: Counter[str] = Counter()
    for path, figure in machine.figures():
        soft = "" if figure.low is None else f"{figure.text(figure.low)} to {figure.text(figure.high)}"
        rows.append((path, figure.text(), soft, figure.evidence, figure.source))
        count[figure.evidence] += 1
    return {
        "title": f"{machine.name}: {machine.title}",
        "notes": machine.notes,
        "evidence": ", ".join(f"{number} {kind}" for kind, number in sorted(count.items())),
        "columns": [
            ("figure", "word"),
            ("value", ""),
            ("range", ""),
            ("evidence", "word"),
            ("source", "text"),
        ],
        "rows": rows,
    }
