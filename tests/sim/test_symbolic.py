"""The symbolic checker: broken schedules are refused by name, and a slow twin agrees.

The twin below is the docstring of `sim.schedule` word for word, on dictionaries of
frozensets; it knows nothing of masks, layers or arrays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.collectives import algorithms, build, kinds, serves, uses_network
from sim.collectives.payload import even
from sim.schedule import Payload, Round, Schedule
from topologies.errors import ScheduleError

State = dict[tuple[int, int], frozenset[int]]
NOTHING: frozenset[int] = frozenset()


# ---------------------------------------------------------------- the slow twin


def twin_accepts(schedule: Schedule) -> bool:
    held = twin_initial(schedule)
    sizes = schedule.bytes_of_chunks()
    for round_ in schedule.rounds():
        for k in range(round_.repeat):
            following = twin_repetition(round_, k, dict(held), sizes)
            if following is None:
                return False
            held = following
    return all(held.get(cell, NOTHING) == want for cell, want in twin_promised(schedule).items())


def twin_repetition(round_: Round, k: int, before: State, sizes: np.ndarray) -> State | None:
    after, copied = dict(before), Counter[tuple[int, int]]()
    offsets, chunks = round_.payload(k)
    for i in range(round_.src.size):
        source, target = int(round_.src[i]), int(round_.dst[i])
        carried = [int(c) for c in chunks[offsets[i] : offsets[i + 1]]]
        weight = sum(float(sizes[c]) for c in carried)
        if source == target or abs(weight - round_.bytes[i]) > 1e-9 * max(1.0, round_.bytes[i]):
            return None
        for chunk in carried:
            arrives = before.get((source, chunk), NOTHING)
            cell = (target, chunk)
            if not arrives:
                return None
            if not round_.reduce:
                copied[cell] += 1
                after[cell] = arrives
            elif after.get(cell, NOTHING) & arrives:
                return None
            else:
                after[cell] = after.get(cell, NOTHING) | arrives
    return None if any(times > 1 for times in copied.values()) else after


def twin_initial(schedule: Schedule) -> State:
    p, chunks, kind = schedule.ranks, schedule.chunks, schedule.kind
    everywhere = kind in ("all_reduce", "barrier", "reduce_scatter", "reduce", "send")
    state = {}
    for rank in range(p):
        for chunk in range(chunks):
            starts = (
                everywhere
                or (kind in ("broadcast", "scatter") and rank == schedule.root)
                or (kind in ("all_gather", "gather") and chunk * p // chunks == rank)
                or (kind == "all_to_all" and chunk // p == rank)
            )
            if starts:
                state[rank, chunk] = frozenset([rank])
    return state


def twin_promised(schedule: Schedule) -> State:
    p, chunks, kind, root = schedule.ranks, schedule.chunks, schedule.kind, schedule.root
    everyone = frozenset(range(p))
    want = {}
    for chunk in range(chunks):
        owner = chunk * p // chunks
        if kind in ("all_reduce", "barrier"):
            want |= {(rank, chunk): everyone for rank in range(p)}
        elif kind == "all_gather":
            want |= {(rank, chunk): frozenset([owner]) for rank in range(p)}
        elif kind == "broadcast":
            want |= {(rank, chunk): frozenset([root]) for rank in range(p)}
        elif kind == "reduce":
            want[root, chunk] = everyone
        elif kind == "reduce_scatter":
            want[owner, chunk] = everyone
        elif kind == "gather":
            want[root, chunk] = frozenset([owner])
        elif kind == "scatter":
            want[owner, chunk] = frozenset([root])
        elif kind == "all_to_all" and schedule.bytes_of_chunks()[chunk] > 0:
            want[chunk % p, chunk] = frozenset([chunk // p])
        elif kind == "send":
            want[int(schedule.options["destination"]), chunk] = frozenset([root])
    return want


def numpy_accepts(schedule: Schedule) -> bool:
    try:
        schedule.check()
    except ScheduleError:
        return False
    return True


# ---------------------------------------------------------------- agreement


Break = Callable[[Round, np.random.Generator, int], Round]


def drop(round_: Round, rng: np.random.Generator, p: int) -> Round:
    """Leave one transfer out."""
    lost = int(rng.integers(round_.src.size))
    keep = np.flatnonzero(np.arange(round_.src.size) != lost)
    return pick(round_, keep)


def double(round_: Round, rng: np.random.Generator, p: int) -> Round:
    """Do one transfer twice."""
    again = int(rng.integers(round_.src.size))
    return pick(round_, np.append(np.arange(round_.src.size), again))


def redirect(round_: Round, rng: np.random.Generator, p: int) -> Round:
    """Send one transfer to another rank."""
    dst, i = round_.dst.copy(), int(rng.integers(round_.src.size))
    dst[i] = (dst[i] + int(rng.integers(1, p))) % p
    return replace(round_, dst=dst, parts=None)


def falsify(round_: Round, rng: np.random.Generator, p: int) -> Round:
    """State other bytes than the chunks have."""
    amounts, i = round_.bytes.copy(), int(rng.integers(round_.src.size))
    amounts[i] *= 1 + 1e-6
    return replace(round_, bytes=amounts, parts=None)


def invert(round_: Round, rng: np.random.Generator, p: int) -> Round:
    """Add where it should replace, replace where it should add."""
    return replace(round_, reduce=not round_.reduce, parts=None)


def backwards(round_: Round, rng: np.random.Generator, p: int) -> Round:
    """Swap senders and receivers."""
    return replace(round_, src=round_.dst, dst=round_.src, parts=None)


def untouched(round_: Round, rng: np.random.Generator, p: int) -> Round:
    return round_


def pick(round_: Round, keep: np.ndarray) -> Round:
    whole = round_.payload

    def payload(k: int) -> Payload:
        offsets, chunks = whole(k)
        parts = [chunks[offsets[i] : offsets[i + 1]] for i in keep]
        counts = np.array([part.size for part in parts], dtype=np.int64)
        return np.append(0, np.cumsum(counts)), np.concatenate([chunks[:0], *parts])

    return replace(
        round_,
        src=round_.src[keep],
        dst=round_.dst[keep],
        bytes=round_.bytes[keep],
        payload=payload,
        parts=None,
    )


def broken(schedule: Schedule, change: Break, at: int, seed: int) -> Schedule:
    """The schedule with its round ``at`` changed."""
    rounds = list(schedule.rounds())
    rounds[at % len(rounds)] = change(rounds[at % len(rounds)], np.random.default_rng(seed), schedule.ranks)
    return replace(schedule, rounds=lambda: iter(rounds))


# The twin knows messages; trees of switches have their own tests (test_in_network).
PAIRS = [(kind, name) for kind in kinds() for name in algorithms(kind) if not uses_network(kind, name)]
BREAKS = [drop, double, redirect, falsify, invert, backwards, untouched]


@given(
    st.sampled_from(PAIRS),
    st.integers(2, 11),
    st.sampled_from(BREAKS),
    st.integers(0, 99),
    st.integers(0, 99),
)
@settings(max_examples=250, deadline=None)
def test_the_twin_agrees(pair: tuple[str, str], p: int, change: Break, at: int, seed: int) -> None:
    kind, name = pair
    groups = np.arange(p) % (2 if p % 2 == 0 else 1)
    options = {} if serves(kind, name, p) is None else {"groups": groups}
    if serves(kind, name, p, groups) is not None:
        return
    schedule = build(kind, p, 1000.0, name, **options)
    assert numpy_accepts(schedule)
    assert twin_accepts(schedule)
    changed = broken(schedule, change, at, seed)
    assert numpy_accepts(changed) == twin_accepts(changed)
    # A broadcast by scatter and all-gather sends some ranks what they have: harmless to drop.
    if change is falsify or (change is drop and kind != "broadcast"):
        assert not numpy_accepts(changed)


@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_the_twin_agrees_on_noise(p: int, chunks: int, seed: int) -> None:
    """Random transfers of random chunks: nearly all wrong, some right by chance."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(["all_reduce", "broadcast", "reduce", "send"]))
    rounds = []
    for _ in range(int(rng.integers(1, 4))):
        m = int(rng.integers(1, p + 1))
        src = rng.integers(p, size=m)
        dst = (src + rng.integers(1, p, size=m)) % p
        carried = rng.integers(chunks, size=m)
        rounds.append(
            Round(src, dst, np.full(m, 8.0 / chunks), bool(rng.integers(2)), 1, lambda k, c=carried: even(c))
        )
    schedule = Schedule(
        kind, "noise", p, 8.0, lambda: iter(rounds), chunks=chunks, options={"destination": p - 1}
    )
    assert numpy_accepts(schedule) == twin_accepts(schedule)


# ---------------------------------------------------------------- what the message names


def schedule_of(kind: str, p: int, rounds: list[Round], chunks: int = 1, size: float = 8.0) -> Schedule:
    return Schedule(kind, "by hand", p, size, lambda: iter(rounds), chunks=chunks)


def one(src: int, dst: int, chunk: int = 0, amount: float = 8.0, *, reduce: bool = False) -> Round:
    return Round(
        np.array([src]),
        np.array([dst]),
        np.array([amount]),
        reduce,
        1,
        lambda k: even(np.array([chunk])),
        "step",
    )


def test_a_wrong_peer_is_named() -> None:
    """Ring of 4 whose rank 2 sends to rank 0: rank 0 already holds its own contribution to chunk 1."""
    rounds = list(build("all_reduce", 4, 8.0, "ring").rounds())
    wrong = replace(rounds[0], dst=np.array([1, 2, 0, 3]), src=np.array([0, 1, 2, 2]))
    schedule = replace(build("all_reduce", 4, 8.0, "ring"), rounds=lambda: iter([wrong, rounds[1]]))
    with pytest.raises(
        ScheduleError, match=r"all_reduce by ring, round 0 'reduce-scatter', repetition \d: rank"
    ):
        schedule.check()


def test_parts_of_other_transfers_are_refused() -> None:
    """At once where an end of the round shows it, by the checker wherever it is."""
    parts = tuple(one(i, i + 1) for i in range(3))
    whole = Round(np.arange(3), np.arange(1, 4), np.full(3, 8.0), True, 1, lambda k: even(np.zeros(3, int)))
    with pytest.raises(ScheduleError, match="its parts, one after the other, are not its transfers"):
        replace(whole, parts=parts[:2])
    with pytest.raises(ScheduleError, match="its parts, one after the other, are not its transfers"):
        replace(whole, reduce=False, parts=tuple(replace(part, reduce=True) for part in parts))
    summing = tuple(replace(part, reduce=True) for part in parts)
    schedule_of("reduce", 4, [replace(whole, parts=summing)])
    swapped = (summing[0], one(3, 2, reduce=True), summing[2])
    with pytest.raises(ScheduleError, match=r"src of round 0 \(''\) are not those of its parts"):
        schedule_of("reduce", 4, [replace(whole, parts=swapped)]).check()


def test_a_dropped_transfer_is_named_by_who_misses_it() -> None:
    """Binomial over 4 with the last transfer of rank 2 to rank 3 left out."""
    rounds = list(build("broadcast", 4, 8.0, "binomial").rounds())
    rounds[1] = pick(rounds[1], np.array([0]))
    with pytest.raises(ScheduleError, match=r"rank 3 ends with nothing in chunk 0, needs ranks \{0\} \(1\)"):
        schedule_of("broadcast", 4, rounds).check()


def test_a_double_count_is_named() -> None:
    rounds = [one(0, 1, reduce=True), one(0, 1, reduce=True)]
    with pytest.raises(
        ScheduleError,
        match=r"round 1 'step', repetition 0: rank 1 would add ranks \{0\} \(1\) to chunk 0 twice",
    ):
        schedule_of("reduce", 2, rounds).check()


def test_a_double_count_within_one_round_is_named() -> None:
    """Ranks 0 and 1 both hold {0, 1} and send it to rank 2 at once."""
    swap = Round(
        np.array([0, 1]), np.array([1, 0]), np.full(2, 8.0), True, 1, lambda k: even(np.array([0, 0])), "swap"
    )
    both = Round(
        np.array([0, 1]), np.array([2, 2]), np.full(2, 8.0), True, 1, lambda k: even(np.array([0, 0])), "both"
    )
    with pytest.raises(ScheduleError, match=r"round 1 'both', repetition 0: rank 2 would add ranks \{0, 1\}"):
        schedule_of("all_reduce", 3, [swap, both]).check()


def test_wrong_bytes_are_named() -> None:
    with pytest.raises(ScheduleError, match="rank 0 sends 7 bytes to rank 1, its chunks are 8"):
        schedule_of("broadcast", 2, [one(0, 1, amount=7.0)]).check()
    with pytest.raises(ScheduleError, match="rank 0 sends nan bytes to rank 1"):
        schedule_of("broadcast", 2, [one(0, 1, amount=float("nan"))]).check()


def test_passing_on_what_is_not_there_yet_is_named() -> None:
    """1 -> 2 stands in the round of 0 -> 1, so rank 1 has nothing when it starts."""
    rounds = [
        Round(
            np.array([0, 1]),
            np.array([1, 2]),
            np.full(2, 8.0),
            False,
            1,
            lambda k: even(np.array([0, 0])),
            "s",
        )
    ]
    with pytest.raises(
        ScheduleError, match=r"round 0 's', repetition 0: rank 1 sends chunk 0, which it does not have"
    ):
        schedule_of("broadcast", 3, rounds).check()


def test_two_copies_of_one_chunk_at_once_are_named() -> None:
    rounds = [
        one(0, 1),
        Round(
            np.array([0, 1]),
            np.array([2, 2]),
            np.full(2, 8.0),
            False,
            1,
            lambda k: even(np.array([0, 0])),
            "s",
        ),
    ]
    with pytest.raises(ScheduleError, match="round 1 's', repetition 0: rank 2 gets chunk 0 from two ranks"):
        schedule_of("broadcast", 3, rounds).check()


@pytest.mark.parametrize(
    ("round_", "says"),
    [
        (one(0, 3), "rank 3 is not one of the 2 ranks"),
        (one(-1, 1), "rank -1 is not one of the 2 ranks"),
        (one(1, 1), "rank 1 sends to itself"),
        (one(0, 1, chunk=4), "no chunk 4"),
        (one(0, 1, chunk=-1), "no chunk -1"),
        (replace(one(0, 1), payload=None), "no payload"),
        (replace(one(0, 1), payload=lambda k: (np.array([0, 2]), np.array([0]))), "offsets do not fit"),
        (replace(one(0, 1), payload=lambda k: (np.array([1, 1]), np.array([0]))), "offsets do not fit"),
    ],
)
def test_malformed_rounds_are_refused(round_: Round, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        schedule_of("broadcast", 2, [round_]).check()


def test_malformed_schedules_are_refused() -> None:
    with pytest.raises(ScheduleError, match="multiple of ranks"):
        schedule_of("all_gather", 2, [], chunks=3).check()
    with pytest.raises(ScheduleError, match="no symbolic meaning for collective 'gossip'"):
        schedule_of("gossip", 2, []).check()
    with pytest.raises(ScheduleError, match="equally long"):
        Round(np.array([0]), np.array([1, 2]), np.array([1.0]))
    with pytest.raises(ScheduleError, match=r"repeat \(=0\)"):
        Round(np.array([0]), np.array([1]), np.array([1.0]), repeat=0)


def test_an_uneven_all_to_all_needs_no_transfer_for_nothing() -> None:
    """Only 0 -> 1 has bytes; leaving that out is an error, leaving 1 -> 0 out is not."""
    sizes = np.array([0.0, 8.0, 0.0, 0.0])

    def schedule(rounds: list[Round]) -> Schedule:
        def walk() -> Iterator[Round]:
            return iter(rounds)

        return Schedule("all_to_all", "by hand", 2, 8.0, walk, chunks=4, chunk_bytes=sizes)

    schedule([one(0, 1, chunk=1)]).check()
    with pytest.raises(ScheduleError, match="rank 1 ends with nothing in chunk 1"):
        schedule([]).check()


def test_more_than_one_word_of_ranks() -> None:
    """130 ranks need three words of 64 bits; the missing one of rank 129 is seen."""
    rounds = list(build("reduce", 130, 8.0, "binomial").rounds())
    schedule_of("reduce", 130, rounds).check()
    last = int(np.flatnonzero(rounds[0].src == 129)[0])
    rounds[0] = pick(rounds[0], np.flatnonzero(np.arange(rounds[0].src.size) != last))
    with pytest.raises(ScheduleError, match=r"rank 0 ends with ranks \{0, 1, .*\(129\)"):
        schedule_of("reduce", 130, rounds).check()
