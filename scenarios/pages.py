"""Parts of pages that a command writes: between two marks, the rest is people's."""

from __future__ import annotations

from pathlib import Path

from scenarios.outputs import write_file
from topologies.errors import OutputError

__all__ = ["marked", "replace_marked"]


def marked(page: str, name: str) -> str:
    """What stands between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises
    ------
    OutputError
        If the marks are not there.

    Examples
    --------
    >>> marked("a <!-- table -->b<!-- /table --> c", "table")
    'b'
    """
    return _cut(page, name)[1]


def replace_marked(path: Path, name: str, block: str) -> None:
    """Put a block between ``<!-- name -->`` and ``<!-- /name -->`` of a page.

    Raises
    ------
    OutputError
        If the page cannot be read or written, or has no such marks.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot read '{path}': {error.strerror or error}; check the path") from error
    before, _, after = _cut(page, name, str(path))
    text = f"{before}\n\n{block.strip()}\n\n{after}"
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def _cut(page: str, name: str, path: str = "page") -> tuple[str, str, str]:
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.partition(opening)
    block, closed, after = rest.partition(closing)
    if not found or not closed:
        raise OutputError(f"'{path}' has no {opening} and {closing}; put both marks where the block belongs")
    return before + opening, block, closing + after
