"""What bounded the time of a few jobs, in words, for the page and the last lines of a scenario."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from scenarios.processes import processors, spread

#: Up to so many chips in all, starting processes would take longer than the work.
SERIAL_CHIPS = 512

__all__ = ["explanations"]


def explanations(
    jobs: Iterable[tuple[str, int, float]], *, kind: str = "all_reduce", rerun: bool | None = None
) -> list[tuple[str, str]]:
    """Explain one collective of each machine.

    Parameters
    ----------
    jobs : iterable of (machine, chips, bytes)
    kind : str
        The collective.
    rerun : bool, optional
        As for `sim.Run.explain`.

    Returns
    -------
    list of (heading, text)
    """
    asked = list(jobs)
    workers = processors() if sum(chips for _, chips, _ in asked) > SERIAL_CHIPS else 1
    found = dict(spread(partial(_explained, kind, rerun), asked, workers))
    return [(f"{job[0]}, {job[1]:,} chips", found[job]) for job in asked]


def _explained(kind: str, rerun: bool | None, job: tuple[str, int, float]) -> str:
    import sim
    import topologies

    machine, chips, size = job
    return sim.collective(kind, topologies.machine(machine, chips=chips), size).explain(rerun=rerun)
