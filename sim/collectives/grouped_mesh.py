"""Grouped full mesh: all-to-all wide inside the pod and narrow between pods (HCCL on A3).

Every rank sends straight to its receivers: to ``inside`` ranks of its own group
at a time and, beside that, to ``between`` ranks of other groups at a time, so
that the links between the groups see no incast. HCCL's direct full mesh for
Atlas A3 runs 16 copies at once in a SuperPoD and 1 over RDMA
(ALLTOALLV_DIRECT_FULLMESH_SDMA_ and _RDMA_CONCURRENT_SIZE in its source).

max(ceil((g-1)/inside), ceil((p-g)/between)) steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.collectives.arguments import whole_number
from sim.collectives.direct import exchange
from sim.collectives.hierarchical import equal_groups, members_of
from sim.collectives.registry import algorithm
from sim.schedule import FloatArray, IntArray, Schedule

__all__ = ["all_to_all"]

NAME = "grouped_mesh"


@algorithm("all_to_all", NAME, equal_groups)
def all_to_all(
    ranks: int, size: float | FloatArray, groups: IntArray, inside: int = 16, between: int = 1
) -> Schedule:
    """All-to-all(v), wide inside the groups and narrow between them.

    Parameters
    ----------
    ranks : int
        Number of ranks p >= 2.
    size : float or float64 array, shape (p, p)
        Bytes of a rank's whole buffer, or the bytes from i (row) to j (column).
    groups : int64 array, shape (p,)
        Group (pod) of each rank; all equally large.
    inside, between : int
        Receivers at a time in the own group and in all others, >= 1.

    Raises
    ------
    ScheduleError
        If ``inside`` or ``between`` is not a whole number >= 1.

    Examples
    --------
    >>> all_to_all(8, 800.0, np.arange(8) // 4, inside=3).check()
    >>> [round.src.size for round in all_to_all(8, 800.0, np.arange(8) // 4, inside=3).rounds()]
    [32, 8, 8, 8]
    """
    wide = whole_number(f"all_to_all by {NAME}", "inside", inside)
    narrow = whole_number(f"all_to_all by {NAME}", "between", between)
    members = members_of(groups)
    g = members.shape[1]

    def steps() -> Iterator[tuple[IntArray, IntArray, str]]:
        step = 0
        while step * wide < g - 1 or step * narrow < ranks - g:
            near = [(0, i) for i in range(1 + step * wide, min(g, 1 + (step + 1) * wide))]
            far = [divmod(k, g) for k in range(g + step * narrow, min(ranks, g + (step + 1) * narrow))]
            turned = [np.roll(members, (-h, -i), (0, 1)).ravel() for h, i in near + far]
            yield np.tile(members.ravel(), len(turned)), np.concatenate(turned), f"step {step}"
            step += 1

    noted = {"inside": wide, "between": narrow}
    return exchange(NAME, ranks, size, steps, groups=groups, options=noted)
