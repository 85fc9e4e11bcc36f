"""A small HTML table for rich reprs in notebooks: everything escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["html_table"]


def html_table(heading: Sequence[str], rows: Iterable[Sequence[object]], *, words: int = 1) -> str:
    """Write a table.

    Parameters
    ----------
    heading : sequence of str
    rows : iterable of sequences
        Cells, as long as the heading; whatever is no text is written with ``str``.
    words : int
        How many columns, from the left, hold words; the others are figures.

    Examples
    --------
    >>> html_table(["tier", "links"], [("<a>", 8)], words=0)
    '<table><tr><th>tier</th><th>links</th></tr><tr><td>&lt;a&gt;</td><td>8</td></tr></table>'
    """
    left = " style='text-align:left'"

    def row(tag: str, cells: Iterable[object]) -> str:
        return "".join(
            f"<{tag}{left if column < words else ''}>{html.escape(str(cell))}</{tag}>"
            for column, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in rows)
    return f"<table><tr>{row('th', heading)}</tr>{body}</table>"
