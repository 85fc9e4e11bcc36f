"""The script of a period: what every transfer did, and when every rank came.

Written while the loop goes through one repetition of a round (`WRITING`), read by a
front afterwards (`sim.network.transient`). A line says that a transfer took its links
(STARTS), got another rate or another link that limits it (CHANGES), or ended (ENDS).
"""

from __future__ import annotations

from sim.compiled import lean
from sim.network.kernels.state import (
    BASE,
    CAME_AT,
    CHANGES,
    COMINGS,
    DID,
    FOLLOWING_IT,
    LIMIT,
    LIMITED_BY,
    NOW,
    PATIENCE,
    PATIENT_ROUND,
    RATE,
    ROLE,
    ROUND,
    SAVED_ROUND,
    SCRIPTED,
    STRANGER,
    UNSCRIPTED,
    WHEN_IT_DID,
    WHO,
    WINDOW,
    WRITTEN,
    Int,
    State,
)

__all__ = ["note_coming", "write_line"]


@lean
def write_line(s: State, f: Int, did: Int) -> None:
    """Write what transfer f does now. A script that is full is given up, and no other one begun."""
    n = s.counters[WRITTEN]
    if n == s.script.shape[0]:
        s.counters[SCRIPTED] = UNSCRIPTED
        s.counters[PATIENT_ROUND] = s.counters[SAVED_ROUND]
        s.counters[PATIENCE] = 2**62
        return
    s.script[n, WHO], s.script[n, WHEN_IT_DID], s.script[n, DID] = f, s.counters[NOW], did
    s.script[n, LIMITED_BY] = s.transfers[f, LIMIT] if did == CHANGES else -1
    s.script_rate[n] = s.flows[f, RATE] if did == CHANGES else 0.0
    s.counters[WRITTEN] = n + 1


@lean
def note_coming(s: State, r: Int) -> None:
    """Note that rank r comes to a repetition.

    Where it follows the script, not all of its causes are simulated: its account
    grows as in the period of the script.
    """
    s.came[r, CAME_AT] = s.counters[NOW]
    s.came[r, COMINGS] += 1
    if s.counters[SCRIPTED] == FOLLOWING_IT and s.came[r, ROLE] == STRANGER:
        j = r - s.rounds[s.ranks[r, ROUND], BASE]
        columns = s.account.shape[1]
        periods = s.counters[WINDOW] + 1
        for c in range(columns):
            s.account[r, c] = s.saved_account[j, c] + periods * s.saved_account[j, columns + c]
