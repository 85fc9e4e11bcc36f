"""Text files, read and written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from topologies.errors import FormatError, OutputError

__all__ = ["read_text", "write_text"]


def read_text(file: Path) -> str:
    """The text of a file.

    Raises
    ------
    FormatError
        If it cannot be read, or is no UTF-8 text.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read {file}: {_reason(error)}") from error


def write_text(file: Path, text: str) -> None:
    """Write a text next to its place and move it there when it is whole.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(text.encode("utf-8"))
        os.replace(part, file)
    except OSError as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink()
        raise OutputError(f"cannot write {file}: {_reason(error)}") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8 text"
    return (error.strerror or type(error).__name__).lower()
