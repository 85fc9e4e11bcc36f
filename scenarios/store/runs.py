"""What a run leaves in a store: one row, the same bytes whoever ran it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["COLUMNS", "STATES", "Outcome", "results", "row"]

#: ``done``: it ran; ``refused``: it has no meaning (a number of chips that the
#: machine does not allow, an algorithm that cannot serve so many ranks); ``failed``:
#: it might run elsewhere or next time (memory, a worker that died).
STATES = ("done", "refused", "failed")

#: Columns of the table ``runs``, in order.
COLUMNS = (
    "key", "model", "state", "error", "machine", "chips", "collective", "size", "algorithm",
    "inputs", "digest",
    "ran_algorithm", "ran_protocol", "ran_library", "ran_ranks",
    "time", "algbw", "busbw", "lower_bound", "efficiency", "bounded_by", "breakdown",
)  # fmt: skip

#: Of these, the results.
RESULTS = COLUMNS[COLUMNS.index("ran_algorithm") :]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, small enough to be sent across a network.

    Attributes
    ----------
    key : str
    state : str
        One of `STATES`.
    error : str or None
        One line, unless done.
    results : tuple
        Values of `RESULTS`; empty unless done.
    seconds : float
        Wall time of the run.
    worker : str
        Where it ran.
    """

    key: str
    state: str
    error: str | None
    results: tuple[Any, ...]
    seconds: float
    worker: str


def results(run: Any) -> tuple[Any, ...]:
    """Values of `RESULTS` of a `sim.Run`."""
    algbw = run.algbw
    return (
        run.algorithm, run.protocol, run.library, run.ranks, run.time,
        algbw if math.isfinite(algbw) else None, run.busbw, run.lower_bound, run.efficiency, run.bounded_by,
        json.dumps(run.breakdown, separators=(",", ":")),
    )  # fmt: skip


def row(outcome: Outcome, model: str, digest: str, inputs: Mapping[str, Any], text: str) -> Sequence[Any]:
    """Values of `COLUMNS`; ``text`` is `inputs` as canonical JSON."""
    return (
        outcome.key, model, outcome.state, outcome.error, inputs["machine"], inputs["chips"],
        inputs["collective"], inputs["size"], inputs["algorithm"], text, digest,
        *(outcome.results or (None,) * len(RESULTS)),
    )  # fmt: skip
