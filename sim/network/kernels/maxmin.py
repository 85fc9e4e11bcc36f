"""Max-min fair rates, solving again only what must change.

The allocation: rates r_f are max-min fair subject to

    sum over f of w(f, l) * r_f <= c(l)   for every link l,    r_f <= cap(f).

It is unique, and r is it exactly when every transfer f has a *certificate*:
either r_f = cap(f), or a link l on f's path that is full and on which nobody is
faster than f. Every transfer remembers that link (``limit``).

When transfers start, end, or links change, `solve` takes the set M of those
that started and those whose certificate is gone, gives them max-min rates
against what the others leave (progressive filling, lowest share first), and
then looks at every link of theirs: a transfer limited there whose link is no
longer full, or that is slower than another on it, joins M, and so do those
faster than a member of M that is limited there. Until nobody joins.

Sharing is compared with the relative tolerance `RATE_TOLERANCE`; a rate that
changes by less keeps its old value.
"""

from __future__ import annotations

from sim.compiled import inlined, lean
from sim.network.kernels.ahead import (
    FAR,
    GAP,
    MANY,
    fetch,
    fetch_first,
    fetch_links,
    fetch_neighbours,
    fetch_owner,
    fetch_owner_path,
    fetch_owners,
    fetch_path,
    fetch_second,
    fetch_seconds,
)
from sim.network.kernels.state import (
    AFTER,
    BEFORE,
    CAP,
    CAPACITY,
    ENTRIES,
    ENTRY,
    FIRST,
    LIMIT,
    LINK,
    MARK,
    OTHERS,
    OWNER,
    RATE,
    ROOM,
    SEEN,
    SOLVED,
    SPREAD,
    STAMP,
    STATUS,
    STRANGERS,
    TRIAL,
    UNSETTLED,
    WEIGHT,
    WIDTH,
    Float,
    Int,
    Numbers,
    State,
)

__all__ = ["RATE_TOLERANCE", "link_entries", "solve", "unlink_entries"]

#: The one tolerance on rates. Rounding in a sum over n transfers is about
#: n * 1e-16 of the capacity; rates that differ by less are the same rate.
RATE_TOLERANCE = 1e-12


@lean
def link_entries(s: State, f: Int) -> None:
    """Put transfer f on the lists of its links."""
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        l = s.entries[e, LINK]
        head = s.lists[l, FIRST]
        s.entries[e, AFTER] = head
        s.entries[e, BEFORE] = -1
        if head >= 0:
            s.entries[head, BEFORE] = e
        s.lists[l, FIRST] = e


@lean
def unlink_entries(s: State, f: Int) -> None:
    """Take transfer f off the lists of its links."""
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        before, after = s.entries[e, BEFORE], s.entries[e, AFTER]
        if before >= 0:
            s.entries[before, AFTER] = after
        else:
            s.lists[s.entries[e, LINK], FIRST] = after
        if after >= 0:
            s.entries[after, BEFORE] = before


@inlined
def sift_down(key: Numbers, what: Numbers, at: Int, size: Int) -> None:
    """Restore the heap of (key, what) from ``at`` downwards."""
    k, w = key[at], what[at]
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and key[down + 1] < key[down]:
            down += 1
        if key[down] >= k:
            break
        key[at], what[at] = key[down], what[down]
        at = down
    key[at], what[at] = k, w


@inlined
def settle(s: State, f: Int, rate: Float, limit: Int) -> None:
    """Freeze member f at a rate and take it out of its links' room."""
    s.flows[f, TRIAL] = rate
    s.transfers[f, LIMIT] = limit
    s.transfers[f, MARK] = -s.transfers[f, MARK]
    for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
        l = s.entries[e, LINK]
        s.links[l, ROOM] -= s.weights[e, WEIGHT] * rate
        s.links[l, WIDTH] -= s.weights[e, WEIGHT]
        s.lists[l, UNSETTLED] -= 1


@lean
def look_ahead(s: State, i: Int, members: Int) -> None:
    """Ask for what member i + GAP of ``changed`` will need, and those further on, each at its stage."""
    j = i + 5 * GAP
    if j < members:
        fetch(s.transfers, s.changed[j], STATUS)
    j = i + 4 * GAP
    if 0 <= j < members:
        fetch_path(s, s.changed[j])
    j = i + 3 * GAP
    if 0 <= j < members:
        fetch_links(s, s.changed[j])
    j = i + 2 * GAP
    if 0 <= j < members:
        fetch_neighbours(s, s.changed[j])
    j = i + GAP
    if 0 <= j < members:
        fetch_owners(s, s.changed[j])
    j = i + GAP // 2
    if 0 <= j < members:
        fetch_seconds(s, s.changed[j])


@lean
def look_behind(s: State, last: Int) -> None:
    """Ask for what the end of the heap will need.

    In lockstep many shares are the same: the last of the heap comes to its top and stays there.
    """
    if last < 5 * GAP:
        return
    l = s.queue_what[last - 4 * GAP]
    if l >= 0:
        fetch(s.lists, l, FIRST)
    l = s.queue_what[last - 3 * GAP]
    if l >= 0:
        fetch_first(s, l)
    l = s.queue_what[last - 2 * GAP]
    if l >= 0:
        fetch_owner(s, l)
    l = s.queue_what[last - GAP]
    if l >= 0:
        fetch_second(s, l)
        fetch_owner_path(s, l)


@inlined
def fill(s: State, members: Int, stamp: Int) -> Int:
    """Progressive filling of the first ``members`` of ``changed`` against the others.

    A transfer not in M keeps its rate. ``mark`` is ``stamp`` for members not yet
    settled, ``-stamp`` for settled ones; STRANGERS counts the entries of
    non-members on their links. Returns the number of links touched.
    """
    changed, touched = s.changed, s.touched
    s.counters[STRANGERS] = 0
    count = 0
    many = members >= MANY and s.counters[SPREAD] > 0
    for j in range(-5 * GAP if many else 0, members):
        if many:
            look_ahead(s, j, members)
            if j < 0:
                continue
        f = changed[j]
        for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
            l = s.entries[e, LINK]
            if s.lists[l, SEEN] != stamp:
                s.lists[l, SEEN] = stamp
                touched[count] = l
                count += 1
                room, width, unsettled, others = s.links[l, CAPACITY], 0.0, 0, 0
                at = s.lists[l, FIRST]
                while at >= 0:
                    g = s.entries[at, OWNER]
                    if s.transfers[g, MARK] == stamp:
                        width += s.weights[at, WEIGHT]
                        unsettled += 1
                    else:
                        room -= s.weights[at, WEIGHT] * s.flows[g, RATE]
                        others += 1
                    at = s.entries[at, AFTER]
                s.links[l, ROOM], s.links[l, WIDTH], s.lists[l, UNSETTLED] = room, width, unsettled
                s.lists[l, OTHERS] = others
                s.counters[STRANGERS] += others
    # Members that meet no other member get what is left, without a queue.
    waiting = 0
    for j in range(members):
        if many:
            if j + 3 * GAP < members:
                fetch(s.transfers, changed[j + 3 * GAP], STATUS)
            if j + 2 * GAP < members:
                fetch_path(s, changed[j + 2 * GAP])
            if j + GAP < members:
                fetch_links(s, changed[j + GAP])
        f = changed[j]
        alone = True
        share = s.flows[f, CAP]
        limit = -1
        for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
            l = s.entries[e, LINK]
            if s.lists[l, UNSETTLED] > 1:
                alone = False
                break
            part = max(s.links[l, ROOM], 0.0) / s.weights[e, WEIGHT]
            if part < share:
                share, limit = part, l
        if alone:
            s.flows[f, TRIAL] = share
            s.transfers[f, LIMIT] = limit
            s.transfers[f, MARK] = -stamp
            for e in range(s.transfers[f, ENTRY], s.transfers[f, ENTRY] + s.transfers[f, ENTRIES]):
                s.lists[s.entries[e, LINK], UNSETTLED] = 0
        else:
            waiting += 1
    if waiting == 0:
        return count
    key, what = s.queue_key, s.queue_what
    size = 0
    for j in range(count):
        if many and j + FAR < count:
            fetch(s.lists, touched[j + FAR], FIRST)
        l = touched[j]
        if s.lists[l, UNSETTLED] > 0:
            key[size], what[size] = max(s.links[l, ROOM], 0.0) / s.links[l, WIDTH], l
            size += 1
    for j in range(members):
        if many and j + FAR < members:
            fetch(s.transfers, changed[j + FAR], STATUS)
        f = changed[j]
        if s.transfers[f, MARK] == stamp and s.flows[f, CAP] < 1e300:
            key[size], what[size] = s.flows[f, CAP], -1 - f
            size += 1
    for at in range(size // 2 - 1, -1, -1):
        sift_down(key, what, at, size)
    while waiting > 0 and size > 0:
        share, l = key[0], what[0]
        if many:
            look_behind(s, size - 1)
        if l < 0:
            f = -1 - l
            if s.transfers[f, MARK] == stamp:
                settle(s, f, share, -1)
                waiting -= 1
        elif s.lists[l, UNSETTLED] > 0:
            now = max(s.links[l, ROOM], 0.0) / s.links[l, WIDTH]
            if now > share:
                key[0] = now
                sift_down(key, what, 0, size)
                continue
            at = s.lists[l, FIRST]
            while at >= 0:
                f = s.entries[at, OWNER]
                if s.transfers[f, MARK] == stamp:
                    settle(s, f, share, l)
                    waiting -= 1
                at = s.entries[at, AFTER]
        size -= 1
        key[0], what[0] = key[size], what[size]
        sift_down(key, what, 0, size)
    return count


@inlined
def join(s: State, members: Int, count: Int, stamp: Int) -> Int:
    """Add to ``changed`` everyone whose certificate the members have broken.

    Members are marked ``-stamp``. Returns the new number of members.
    """
    changed, touched = s.changed, s.touched
    grown = members
    many = members >= MANY and s.counters[SPREAD] > 0
    for j in range(count):
        if many:
            if j + 4 * GAP < count:
                fetch(s.lists, touched[j + 4 * GAP], FIRST)
            if j + 3 * GAP < count:
                fetch_first(s, touched[j + 3 * GAP])
            if j + 2 * GAP < count:
                fetch_owner(s, touched[j + 2 * GAP])
            if j + GAP < count:
                fetch_second(s, touched[j + GAP])
        l = touched[j]
        if s.lists[l, OTHERS] == 0:
            continue
        used, fastest, slowest_member = 0.0, 0.0, 1e300
        at = s.lists[l, FIRST]
        while at >= 0:
            g = s.entries[at, OWNER]
            if s.transfers[g, MARK] == -stamp:
                rate = s.flows[g, TRIAL]
                if s.transfers[g, LIMIT] == l and rate < slowest_member:
                    slowest_member = rate
            else:
                rate = s.flows[g, RATE]
            used += s.weights[at, WEIGHT] * rate
            fastest = max(fastest, rate)
            at = s.entries[at, AFTER]
        full = used >= s.links[l, CAPACITY] * (1.0 - RATE_TOLERANCE)
        too_slow = fastest * (1.0 - RATE_TOLERANCE)
        too_fast = slowest_member * (1.0 + RATE_TOLERANCE)
        at = s.lists[l, FIRST]
        while at >= 0:
            g = s.entries[at, OWNER]
            if s.transfers[g, MARK] != -stamp and s.transfers[g, MARK] != stamp:
                rate = s.flows[g, RATE]
                gone = s.transfers[g, LIMIT] == l and (not full or rate < too_slow)
                if gone or rate > too_fast:
                    s.transfers[g, MARK] = stamp
                    changed[grown] = g
                    grown += 1
            at = s.entries[at, AFTER]
    return grown


@lean
def solve(s: State, members: Int) -> Int:
    """New rates in ``trial`` for all who change; returns how many.

    ``changed[:members]`` holds distinct active transfers: those that started
    (rate 0) and those whose certificate is gone. ``counters[STAMP]`` is the running
    stamp.
    """
    grown = members
    while True:
        s.counters[STAMP] += 1
        stamp = s.counters[STAMP]
        members = grown
        for j in range(members):
            if members >= MANY and j + FAR < members:
                fetch(s.transfers, s.changed[j + FAR], MARK)
            s.transfers[s.changed[j], MARK] = stamp
        count = fill(s, members, stamp)
        s.counters[SOLVED] += members
        if s.counters[STRANGERS] == 0:
            return members
        grown = join(s, members, count, stamp)
        if grown == members:
            return members
