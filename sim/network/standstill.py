"""Why nothing can happen any more, in words: the same from every network model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.clock import seconds
from sim.fabric import Fabric

__all__ = ["Held", "explain"]

#: Transfers and links that are named; of the others the number is said.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Held:
    """A transfer that holds its links and does not move, as one of them has no bandwidth."""

    job: str
    src: int
    dst: int
    link: int


def explain(fabric: Fabric, now_ps: int, held: Sequence[Held], where: str) -> str:
    """One line that names who waits for what.

    Parameters
    ----------
    fabric : Fabric
    now_ps : int
    held : sequence of Held
        Transfers on links without bandwidth.
    where : str
        How far each job is; empty where none is under way.
    """
    start = f"{fabric.name}: at {seconds(now_ps):.9g} s nothing can happen any more"
    if held:
        links = list(dict.fromkeys(h.link for h in held))
        return (
            f"{start}: {_some([f'{h.job} from rank {h.src} to rank {h.dst}' for h in held], 'transfers')} "
            f"cannot move on {_some([_link(fabric, link) for link in links], 'links')} with bandwidth 0; "
            f"set the link up again with set_link"
        )
    if where:
        return f"{start}, and not all is done: {where}"
    return (
        f"{start}, and nothing is under way; wait for an event that a process or a collective of this "
        f"world brings about"
    )


def _link(fabric: Fabric, link: int) -> str:
    tail, head = fabric.nodes[int(fabric.tail[link])], fabric.nodes[int(fabric.head[link])]
    return f"link {tail!r} -> {head!r}"


def _some(names: Sequence[str], kind: str) -> str:
    """The first few by name, and how many there are besides."""
    more = f" and {len(names) - NAMED} more {kind}" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
