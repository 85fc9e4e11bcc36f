"""What bounded the time of a few jobs, in words, for the page and the last lines of a scenario."""

from __future__ import annotations

from collections.abc import Iterable

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
    import sim
    import topologies

    found = []
    for machine, chips, size in jobs:
        run = sim.collective(kind, topologies.machine(machine, chips=chips), size)
        found.append((f"{machine}, {chips:,} chips", run.explain(rerun=rerun)))
    return found
