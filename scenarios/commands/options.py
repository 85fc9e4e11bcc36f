"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Algorithm",
    "Channels",
    "Chips",
    "Collective",
    "Library",
    "Network",
    "Pieces",
    "Protocol",
    "Quiet",
    "Seed",
    "chip_counts",
    "own_files",
    "rank_list",
]


#: More ranks than any machine has: a larger number is a slip, and a list of so many fills the memory.
MOST_RANKS = 2**24
CHIPS_HINT = "give 8:16384, 8,16,32 or 64"
RANKS_HINT = "give 0:8 or 0,2,4"


def whole(text: str | int) -> int:
    """Read a whole number of at least 1, and show it in the complaint if it is none."""
    # typer hands defaults through the parser as well.
    if not (str(text).isascii() and str(text).isdigit() and int(text) >= 1):
        raise typer.BadParameter(f"'{text}' is no whole number of at least 1")
    return int(text)


def number_or_auto(text: str | int) -> str | int:
    """Read a whole number of at least 1, or ``auto``."""
    if str(text) == "auto":
        return "auto"
    if not (str(text).isascii() and str(text).isdigit() and int(text) >= 1):
        raise typer.BadParameter(f"'{text}' is neither a whole number of at least 1 nor auto")
    return int(text)


Chips = Annotated[
    int | None,
    typer.Option(
        parser=whole, metavar="N", help="Number of chips; by default the smallest natural unit, or all."
    ),
]
Collective = Annotated[
    str, typer.Option("-c", "--collective", help="all_reduce, all_gather, reduce_scatter, all_to_all, ...")
]
Algorithm = Annotated[
    str,
    typer.Option(help="Name of an algorithm, or your own in an .xml or .goal; auto: as the library chooses."),
]
Channels = Annotated[
    str | None,
    typer.Option(
        parser=number_or_auto,
        metavar="N",
        help="How many times the algorithm runs at once; auto: as many as a host has chips.",
    ),
]
Pieces = Annotated[
    str | None,
    typer.Option(
        "--pipeline", parser=number_or_auto, metavar="N", help="Pieces that follow each other, or auto."
    ),
]
Protocol = Annotated[str, typer.Option(help="Protocol of the library; auto: as the library chooses.")]
Library = Annotated[
    str | None, typer.Option(help="nccl, rccl, hccl, ..., ideal; by default the machine's own.")
]
Network = Annotated[str, typer.Option(help="fluid (exact, compiled), reference (SimPy) or analytic.")]
Seed = Annotated[int, typer.Option(help="Seed of whatever is drawn by chance.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no messages; only results.")]


def chip_counts(text: str) -> list[int]:
    """Read numbers of chips: ``8:16384`` doubles from 8 to 16,384; commas list.

    Parameters
    ----------
    text : str
        Such as ``"8:16384"``, ``"8,24,96"`` or ``"8:64,1000"``.

    Returns
    -------
    list of int
        In rising order, each once.

    Raises
    ------
    typer.BadParameter
        If it is neither.

    Examples
    --------
    >>> chip_counts("8:64")
    [8, 16, 32, 64]
    >>> chip_counts("12:30,7")
    [7, 12, 24]
    """
    counts: set[int] = set()
    for part in text.split(","):
        first, colon, last = part.partition(":")
        low = _whole(first, text, "--chips", CHIPS_HINT)
        high = _whole(last, text, "--chips", CHIPS_HINT) if colon else low
        if not 1 <= low <= high:
            raise typer.BadParameter(f"--chips '{text}': '{part}' must rise from at least 1, such as 8:16384")
        while low <= high:
            counts.add(low)
            low *= 2
    return sorted(counts)


def own_files(algorithm: str) -> list[Path]:
    """The file that an algorithm of the user's own was read from, if it is one.

    Examples
    --------
    >>> own_files("ring"), [path.name for path in own_files("mine.xml")]
    ([], ['mine.xml'])
    """
    path = Path(algorithm)
    return [path] if path.suffix.lower() in (".xml", ".goal") else []


def rank_list(text: str) -> list[int]:
    """Read ranks: ``0:8`` is 0 to 7, commas list.

    Raises
    ------
    typer.BadParameter
        If it says no ranks. Ranks that are listed twice go through: the
        simulator refuses them and knows which.

    Examples
    --------
    >>> rank_list("0:4,6,5")
    [0, 1, 2, 3, 6, 5]
    """
    ranks: list[int] = []
    for part in text.split(","):
        first, colon, stop = part.partition(":")
        low = _whole(first, text, "--ranks", RANKS_HINT)
        high = _whole(stop, text, "--ranks", RANKS_HINT) if colon else low + 1
        if high > MOST_RANKS:
            raise typer.BadParameter(
                f"--ranks '{text}': {high} is beyond the {MOST_RANKS:,} ranks that are simulated at most"
            )
        ranks += range(low, high)
    if not ranks:
        raise typer.BadParameter(f"--ranks '{text}' names no rank; {RANKS_HINT}")
    return ranks


def _whole(text: str, all_of_it: str, option: str, hint: str) -> int:
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit()):
        raise typer.BadParameter(f"{option} '{all_of_it}': '{text}' is no whole number; {hint}")
    return int(stripped)
