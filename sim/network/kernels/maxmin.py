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

from sim.compiled import compiled

__all__ = ["RATE_TOLERANCE", "link_entries", "solve", "unlink_entries"]

#: The one tolerance on rates. Rounding in a sum over n transfers is about
#: n * 1e-16 of the capacity; rates that differ by less are the same rate.
RATE_TOLERANCE = 1e-12


@compiled
def link_entries(f, transfers, entries, links):  # type: ignore[no-untyped-def]
    """Put transfer f on the lists of its links."""
    for e in range(transfers.entry[f], transfers.entry[f] + transfers.entries[f]):
        l = entries.link[e]
        head = links.first[l]
        entries.after[e] = head
        entries.before[e] = -1
        if head >= 0:
            entries.before[head] = e
        links.first[l] = e


@compiled
def unlink_entries(f, transfers, entries, links):  # type: ignore[no-untyped-def]
    """Take transfer f off the lists of its links."""
    for e in range(transfers.entry[f], transfers.entry[f] + transfers.entries[f]):
        before, after = entries.before[e], entries.after[e]
        if before >= 0:
            entries.after[before] = after
        else:
            links.first[entries.link[e]] = after
        if after >= 0:
            entries.before[after] = before


@compiled
def sift_up(key, what, at):  # type: ignore[no-untyped-def]
    """Restore the heap of (key, what) from ``at`` upwards."""
    k, w = key[at], what[at]
    while at > 0:
        up = (at - 1) >> 1
        if key[up] <= k:
            break
        key[at], what[at] = key[up], what[up]
        at = up
    key[at], what[at] = k, w


@compiled
def sift_down(key, what, at, size):  # type: ignore[no-untyped-def]
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


@compiled
def settle(f, rate, limit, transfers, entries, links):  # type: ignore[no-untyped-def]
    """Freeze member f at a rate and take it out of its links' room."""
    transfers.trial[f] = rate
    transfers.limit[f] = limit
    transfers.mark[f] = -transfers.mark[f]
    for e in range(transfers.entry[f], transfers.entry[f] + transfers.entries[f]):
        l = entries.link[e]
        links.room[l] -= entries.weight[e] * rate
        links.width[l] -= entries.weight[e]
        links.unsettled[l] -= 1


@compiled
def fill(members, stamp, transfers, entries, links, scratch):  # type: ignore[no-untyped-def]
    """Progressive filling of the first ``members`` of ``changed`` against the others.

    A transfer not in M keeps its rate. ``mark`` is ``stamp`` for members not yet
    settled, ``-stamp`` for settled ones. Returns the number of links touched.
    """
    changed, touched = scratch.changed, scratch.touched
    count = 0
    for j in range(members):
        f = changed[j]
        for e in range(transfers.entry[f], transfers.entry[f] + transfers.entries[f]):
            l = entries.link[e]
            if links.seen[l] != stamp:
                links.seen[l] = stamp
                touched[count] = l
                count += 1
                room, width, unsettled = links.capacity[l], 0.0, 0
                at = links.first[l]
                while at >= 0:
                    g = entries.owner[at]
                    if transfers.mark[g] == stamp:
                        width += entries.weight[at]
                        unsettled += 1
                    else:
                        room -= entries.weight[at] * transfers.rate[g]
                    at = entries.after[at]
                links.room[l], links.width[l], links.unsettled[l] = room, width, unsettled
    # Members that meet no other member get what is left, without a queue.
    waiting = 0
    for j in range(members):
        f = changed[j]
        alone = True
        share = transfers.cap[f]
        limit = -1
        for e in range(transfers.entry[f], transfers.entry[f] + transfers.entries[f]):
            l = entries.link[e]
            if links.unsettled[l] > 1:
                alone = False
                break
            part = max(links.room[l], 0.0) / entries.weight[e]
            if part < share:
                share, limit = part, l
        if alone:
            settle(f, share, limit, transfers, entries, links)
        else:
            waiting += 1
    if waiting == 0:
        return count
    key, what = scratch.heap_key, scratch.heap_what
    size = 0
    for j in range(count):
        l = touched[j]
        if links.unsettled[l] > 0:
            key[size], what[size] = max(links.room[l], 0.0) / links.width[l], l
            size += 1
    for j in range(members):
        f = changed[j]
        if transfers.mark[f] == stamp and transfers.cap[f] < 1e300:
            key[size], what[size] = transfers.cap[f], -1 - f
            size += 1
    for at in range(size // 2 - 1, -1, -1):
        sift_down(key, what, at, size)
    while waiting > 0 and size > 0:
        share, l = key[0], what[0]
        if l < 0:
            f = -1 - l
            if transfers.mark[f] == stamp:
                settle(f, share, -1, transfers, entries, links)
                waiting -= 1
        elif links.unsettled[l] > 0:
            now = max(links.room[l], 0.0) / links.width[l]
            if now > share:
                key[0] = now
                sift_down(key, what, 0, size)
                continue
            at = links.first[l]
            while at >= 0:
                f = entries.owner[at]
                if transfers.mark[f] == stamp:
                    settle(f, share, l, transfers, entries, links)
                    waiting -= 1
                at = entries.after[at]
        size -= 1
        key[0], what[0] = key[size], what[size]
        sift_down(key, what, 0, size)
    return count


@compiled
def join(members, count, stamp, transfers, entries, links, scratch):  # type: ignore[no-untyped-def]
    """Add to ``changed`` everyone whose certificate the members have broken.

    Members are marked ``-stamp``. Returns the new number of members.
    """
    changed, touched = scratch.changed, scratch.touched
    grown = members
    for j in range(count):
        l = touched[j]
        used, fastest, slowest_member, others = 0.0, 0.0, 1e300, 0
        at = links.first[l]
        while at >= 0:
            g = entries.owner[at]
            if transfers.mark[g] == -stamp:
                rate = transfers.trial[g]
                if transfers.limit[g] == l and rate < slowest_member:
                    slowest_member = rate
            else:
                rate = transfers.rate[g]
                others += 1
            used += entries.weight[at] * rate
            fastest = max(fastest, rate)
            at = entries.after[at]
        if others == 0:
            continue
        full = used >= links.capacity[l] * (1.0 - RATE_TOLERANCE)
        too_slow = fastest * (1.0 - RATE_TOLERANCE)
        too_fast = slowest_member * (1.0 + RATE_TOLERANCE)
        at = links.first[l]
        while at >= 0:
            g = entries.owner[at]
            if transfers.mark[g] != -stamp and transfers.mark[g] != stamp:
                rate = transfers.rate[g]
                gone = transfers.limit[g] == l and (not full or rate < too_slow)
                if gone or rate > too_fast:
                    transfers.mark[g] = stamp
                    changed[grown] = g
                    grown += 1
            at = entries.after[at]
    return grown


@compiled
def solve(members, transfers, entries, links, scratch):  # type: ignore[no-untyped-def]
    """New rates in ``trial`` for all who change; returns how many.

    ``changed[:members]`` holds distinct active transfers: those that started
    (rate 0) and those whose certificate is gone. ``counters[3]`` is the running
    stamp.
    """
    grown = members
    while True:
        scratch.counters[3] += 1
        stamp = scratch.counters[3]
        members = grown
        for j in range(members):
            transfers.mark[scratch.changed[j]] = stamp
        count = fill(members, stamp, transfers, entries, links, scratch)
        scratch.counters[4] += members
        grown = join(members, count, stamp, transfers, entries, links, scratch)
        if grown == members:
            return members
