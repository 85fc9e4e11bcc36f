"""Fetching ahead: what the event loop will look at soon is asked for early.

The loop waits for memory more than it computes. At one instant thousands of transfers
may start or end, and what belongs to each lies anywhere: its row names its entries, an
entry its link, the link its first entry, that one's owner a transfer again. Followed
one after the other, each step waits for the one before; asked for some items ahead,
many are on their way at once. So a list of transfers is gone through in stages, `GAP`
items apart: `fetch_row`, then, when that has come, `fetch_path`, `fetch_links`,
`fetch_neighbours`, `fetch_owners` and `fetch_seconds`. Each reads only what the one
before has asked for.

Where transfers end one by one, without any order, there is no list; but what will be
looked at is known long before. A rank that begins a round asks for which its parts of
the next one are, and, when all but one of its parts are done, for their rows
(`look_further`, `prepare`); a transfer whose first end has come asks for its entries,
ready for its links; one that must be solved again likewise. (All-to-all among 1,024
shuffled ranks: three quarters of the time.)

A fetch changes nothing and cannot fail; one that was not needed costs a few cycles.
The functions here read rows too: what they are given must be valid.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sim.compiled import inlined
from sim.network.kernels.state import (
    AFTER,
    BEFORE,
    CRITICAL,
    DST,
    ENTRIES,
    ENTRY,
    FIRST,
    LINK,
    NEXT,
    NUMBER,
    OVERHEAD,
    OWNER,
    PENDING_PARTS,
    REPEAT,
    REPETITION,
    ROUND,
    ROW,
    SPANNED,
    SRC,
    START,
    STATUS,
    Int,
    State,
)

__all__ = [
    "FAR",
    "GAP",
    "LARGE",
    "MANY",
    "fetch",
    "fetch_ends",
    "fetch_first",
    "fetch_links",
    "fetch_neighbours",
    "fetch_owner",
    "fetch_owner_path",
    "fetch_owners",
    "fetch_parts",
    "fetch_path",
    "fetch_row",
    "fetch_second",
    "fetch_seconds",
    "look_further",
    "outgrown",
    "prepare",
]

#: Items between two stages. A miss takes about 200 ns on the machine this was made for, an
#: item at least 50 ns a stage. (A double binary tree of 65,536 chips: 34 s without any
#: fetch, 16 s with this.)
GAP = 4

#: The solver looks ahead from so many transfers on. What it works on before is still in
#: the cache since it started: with a look ahead at any number the shuffled all-to-all of
#: 1,024 ranks, five transfers a solve, took 6 % longer.
MANY = 64

#: With fewer transfers loaded nobody looks ahead: all is in the cache then (a ring of 1,024 uneven
#: links took 1.0 s without, 1.5 s with; with equal links, every transfer an event, 0.55 s and
#: 0.8 s), or comes in order (one of 4,096, 14 s without, 17 s with).
LARGE = 8192

#: A rank goes on soon when so many of its parts, at most, are left; so many of its next ones are
#: asked for.
SOON, PARTS = 2, 8

#: Items ahead in loops of one short step (20 ns) an item, where one fetch is all.
FAR = 12


def _fetch(context: Any, array: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of ``array[row, column]``, or ``array[row]`` in one dimension."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, given[0])
        indices = [
            context.cast(builder, at, of, types.intp)
            for at, of in zip(given[1:], signature.args[1:], strict=True)
        ]
        indices = indices[: kind.ndim]
        item = cgutils.get_item_pointer(context, builder, kind, view, indices)  # type: ignore[no-untyped-call]
        address = builder.bitcast(item, cgutils.voidptr_t)
        word = cgutils.int32_t
        function = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [address.type],
            ir.FunctionType(ir.VoidType(), [address.type, word, word, word]),
        )
        # For reading, into all levels of the cache, data.
        builder.call(function, [address, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, row, column), generate


#: ``fetch(array, row, column)``, inside kernels only.
fetch: Any = intrinsic(_fetch)


@inlined
def outgrown(s: State) -> bool:
    """Whether what is loaded has outgrown the cache."""
    return bool(s.transfers.shape[0] >= LARGE)


@inlined
def fetch_row(s: State, f: Int) -> None:
    """The row of transfer f."""
    fetch(s.transfers, f, STATUS)
    fetch(s.transfers, f, START)
    fetch(s.transfers, f, OVERHEAD)


@inlined
def fetch_parts(s: State, r: Int, stage: Int) -> None:
    """Where running rank r's next parts stand (stage 2), which they are (3), and their rows (4).

    Nothing, while more than `SOON` of its parts are not done.
    """
    if s.ranks[r, PENDING_PARTS] > SOON:
        return
    q = s.ranks[r, ROUND]
    if s.ranks[r, REPETITION] + 1 >= s.rounds[q, REPEAT] and s.rounds[q, NEXT] >= 0:
        q = s.rounds[q, NEXT]
    at = s.rounds[q, ROW] + s.ranks[r, NUMBER]
    if stage == 2:
        fetch(s.starts, at, 0)
    elif stage == 3:
        fetch(s.parts, s.starts[at], 0)
    else:
        for j in range(s.starts[at], min(s.starts[at] + PARTS, s.starts[at + 1])):
            fetch_row(s, s.parts[j])


@inlined
def fetch_ends(s: State, f: Int) -> None:
    """What the end of transfer f will look at besides its links: both ranks, and an account."""
    fetch(s.ranks, s.tags[f, SRC], ROUND)
    fetch(s.ranks, s.tags[f, DST], ROUND)
    fetch(s.account, max(s.transfers[f, CRITICAL], 0), 0)


@inlined
def look_further(s: State, r: Int) -> None:
    """Rank r begins a round: ask for which its parts of the next one are, and where those after it stand."""
    q = s.ranks[r, ROUND]
    if s.rounds[q, REPEAT] > 1 or s.rounds[q, NEXT] < 0:
        return
    q = s.rounds[q, NEXT]
    fetch(s.parts, s.starts[s.rounds[q, ROW] + s.ranks[r, NUMBER]], 0)
    q = s.rounds[q, NEXT]
    if q >= 0:
        fetch(s.starts, s.rounds[q, ROW] + s.ranks[r, NUMBER], 0)


@inlined
def prepare(s: State, r: Int) -> None:
    """Rank r will soon be through with its round: ask for the rows of its next parts."""
    q = s.ranks[r, ROUND]
    if s.rounds[q, REPEAT] == 1 or s.rounds[q, SPANNED]:
        fetch_parts(s, r, 4)


@inlined
def fetch_path(s: State, f: Int) -> None:
    """The entries of transfer f."""
    first = s.transfers[f, ENTRY]
    after = first + s.transfers[f, ENTRIES]
    for e in range(first, after, 2):
        fetch(s.entries, e, LINK)
    fetch(s.entries, after - 1, BEFORE)


@inlined
def fetch_links(s: State, f: Int) -> None:
    """The links of transfer f."""
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        fetch(s.lists, s.entries[e, LINK], FIRST)


@inlined
def fetch_first(s: State, l: Int) -> None:
    """The first entry on link l."""
    fetch(s.entries, max(s.lists[l, FIRST], 0), LINK)


@inlined
def fetch_owner(s: State, l: Int) -> None:
    """The transfer whose entry is first on link l, and the second entry."""
    at = s.lists[l, FIRST]
    if at >= 0:
        fetch(s.transfers, s.entries[at, OWNER], STATUS)
        fetch(s.entries, max(s.entries[at, AFTER], 0), LINK)


@inlined
def fetch_second(s: State, l: Int) -> None:
    """The transfer whose entry is second on link l."""
    at = s.lists[l, FIRST]
    if at >= 0:
        at = s.entries[at, AFTER]
        if at >= 0:
            fetch(s.transfers, s.entries[at, OWNER], STATUS)


@inlined
def fetch_owner_path(s: State, l: Int) -> None:
    """The entries of the transfer whose entry is first on link l."""
    at = s.lists[l, FIRST]
    if at >= 0:
        fetch_path(s, s.entries[at, OWNER])


@inlined
def fetch_neighbours(s: State, f: Int) -> None:
    """The first entries on the links of transfer f."""
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        fetch_first(s, s.entries[e, LINK])


@inlined
def fetch_owners(s: State, f: Int) -> None:
    """The transfers whose entries are first on the links of transfer f."""
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        fetch_owner(s, s.entries[e, LINK])


@inlined
def fetch_seconds(s: State, f: Int) -> None:
    """The transfers whose entries are second on the links of transfer f."""
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        fetch_second(s, s.entries[e, LINK])
