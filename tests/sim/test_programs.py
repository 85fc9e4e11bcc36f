"""Programs: what is refused and how it is named, what chunks make of themselves, and times by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
import topologies
from sim import collectives, libraries
from sim.programs import Lane, Program, Step, from_schedule, unrolled
from sim.schedule import Schedule
from tests.sim.strategies import graphs
from topologies.errors import CapacityError, ScheduleError, UnknownNameError

#: 50 GB/s and 1 us a link.
LINKS = {"bandwidth": 50e9, "latency": 1e-6}


def ring_all_reduce(ranks: int, **options: object) -> Program:
    with Program("all_reduce", ranks, **options) as program:  # type: ignore[arg-type]
        for i in range(ranks):
            piece = program.chunk(i, i)
            for k in range(1, ranks):
                piece = piece.reduce((i + k) % ranks)
            for k in range(ranks, 2 * ranks - 1):
                piece = piece.send((i + k) % ranks)
    return program


def two_blocks(*lanes: Lane, kind: str = "all_gather", **options: object) -> Program:
    """Rank 0 and rank 1 with one lane each."""
    return laid(Program(kind, 2, 2, **options), [lanes[0]], [lanes[1]])  # type: ignore[arg-type]


def laid(program: Program, *lanes: list[Lane]) -> Program:
    """The program with these lanes of its ranks."""
    program.lanes[:] = lanes
    program.changed()
    return program


def exchange() -> tuple[Lane, Lane]:
    """An all-gather of two ranks, one lane each: send, then receive."""
    return (
        Lane(1, 1, 0, [Step("send", ("output", 0)), Step("recv", dst=("output", 1))]),
        Lane(0, 0, 0, [Step("send", ("output", 1)), Step("recv", dst=("output", 0))]),
    )


# -------------------------------------------------------------- all of ours


def built(kind: str, name: str, ranks: int, size: float = 2.0**20 * 60) -> Schedule | None:
    """The schedule of one of our algorithms, in groups of two or on a torus of 2 x p/2 if it needs such."""
    takes = collectives.options(kind, name)
    given_: dict[str, object] = {}
    groups = [rank // 2 for rank in range(ranks)]
    dims = (2, ranks // 2) if "dims" in takes else None
    if collectives.serves(kind, name, ranks, groups, dims=dims) is not None:
        return None
    if dims:
        given_["dims"] = dims
    if "groups" in takes:
        given_["groups"] = groups
    return collectives.build(kind, ranks, size, name, **given_)


EVERY = [
    (kind, name) for kind in collectives.kinds() if kind != "barrier" for name in collectives.algorithms(kind)
]


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=map("-".join, EVERY))
def test_every_algorithm_of_ours_is_a_sound_program(kind: str, name: str) -> None:
    """Also without races, which the schedule's own checker does not look for."""
    found = 0
    for ranks in (2, 5, 8):
        schedule = built(kind, name, ranks)
        if schedule is None or any(r.trees is not None for r in schedule.rounds()):
            continue
        found += 1
        program = from_schedule(schedule)
        program.check()
        moved = program.schedule(schedule.size).totals()[1]
        assert moved == pytest.approx(schedule.totals()[1], rel=1e-12)
        assert unrolled(schedule).totals()[1] == pytest.approx(moved, rel=1e-12)
    if not found:
        with pytest.raises(ScheduleError, match="in the network"):
            from_schedule(next(s for p in (2, 5, 8) if (s := built(kind, name, p)) is not None))


def test_a_lost_message_of_ours_is_missed() -> None:
    """Every receive of a ring, turned into one that keeps nothing, changes the result."""
    program = from_schedule(collectives.build("all_gather", 4, 4096.0, "ring"))
    for rank in range(4):
        for lane in program.lanes[rank]:
            for index, step in enumerate(lane.steps):
                if step.op == "recv":
                    lane.steps[index] = replace(step, dst=("scratch", 0))
                    program.scratch[rank] = 1
                    program.changed()
                    with pytest.raises(ScheduleError, match=r"nothing yet|ends with nothing"):
                        program.check()
                    lane.steps[index] = step
                    program.scratch[rank] = 0
    program.changed()
    program.check()


def test_schedules_that_are_no_programs_are_refused() -> None:
    matrix = np.arange(9.0).reshape(3, 3)
    with pytest.raises(ScheduleError, match="a program's are alike"):
        from_schedule(collectives.build("all_to_all", 3, matrix, "pairwise"))
    with pytest.raises(ScheduleError, match="order of their own"):
        from_schedule(replace(unrolled(collectives.build("all_reduce", 4, 4096.0, "ring"))))
    with pytest.raises(UnknownNameError, match="barrier"):
        from_schedule(collectives.build("barrier", 4, 1.0, "dissemination"))
    with pytest.raises(ScheduleError, match="sends from rank 0"):
        from_schedule(collectives.build("send", 3, 8.0, "direct", source=2, destination=0))


# ------------------------------------------------------------ what is refused


def faulty(change: Callable[[Program], object]) -> Program:
    program = two_blocks(*exchange(), slots=1)
    change(program)
    return program


def put(rank: int, index: int, **fields: object) -> Callable[[Program], object]:
    def change(program: Program) -> None:
        steps = program.lanes[rank][0].steps
        steps[index] = replace(steps[index], **fields)  # type: ignore[arg-type]

    return change


FAULTS = {
    "unknown operation": (put(1, 0, op="put"), r"rank 1, thread block 0, step 0: no operation 'put'"),
    "beyond the buffer": (
        put(0, 1, dst=("output", 2)),
        r"rank 0, thread block 0, step 1 \(recv\): destination chunk 2 lies outside the output buffer",
    ),
    "no such buffer": (put(0, 1, dst=("heap", 0)), "no buffer 'heap'"),
    "no chunks": (put(0, 0, count=0), r"step 0 \(send\): count \(=0\) must be >= 1"),
    "counts differ": (
        put(0, 0, count=2),
        r"rank 1, thread block 0, step 1 \(recv\): receives 1 chunks where",
    ),
    "no peer": (
        lambda p: p.lanes[1].__setitem__(0, replace(p.lanes[1][0], recv=-1)),
        r"rank 1, thread block 0, step 1 \(recv\): its thread block receives from nobody",
    ),
    "peer out of range": (
        lambda p: p.lanes[1].__setitem__(0, replace(p.lanes[1][0], send=7)),
        r"rank 1, thread block 0: send \(=7\) is none of the 2 ranks",
    ),
    "peer is itself": (
        lambda p: p.lanes[1].__setitem__(0, replace(p.lanes[1][0], recv=1)),
        r"rank 1, thread block 0: recv \(=1\) is itself",
    ),
    "same connection twice": (
        lambda p: p.lanes[0].append(Lane(1, -1, 0)),
        r"rank 0, thread block 1: send \(=1\) on channel 0 is also that of thread block 0",
    ),
    "send without receive": (
        lambda p: p.lanes[1][0].steps.pop(),
        r"rank 0, thread block 0, step 0 \(send\): message 0 from rank 0 to rank 1 on channel 0 is sent here",
    ),
    "receive without send": (
        lambda p: p.lanes[1][0].steps.pop(0),
        r"rank 0, thread block 0, step 1 \(recv\): message 0 from rank 1 to rank 0 on channel 0 is received",
    ),
    "no such step": (put(0, 1, after=((0, 5),)), r"step 1 \(recv\): waits for thread block 0, step 5, which"),
    "waits for itself": (put(0, 0, after=((0, 1),)), r"step 0 \(send\): waits for step 1 of its own"),
    "wrong result": (
        put(1, 1, dst=("output", 1)),
        r"rank 1 ends with nothing in output chunk 0, needs input",
    ),
    "wrong chunk": (
        lambda p: (put(1, 0, src=("scratch", 0))(p), p.scratch.__setitem__(1, 1)),
        r"rank 1, thread block 0, step 0 \(send\): sends scratch chunk 0, which holds nothing yet",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str) -> None:
    change, message = FAULTS[name]
    faulty(lambda _: None).check()
    with pytest.raises(ScheduleError, match=message) as refusal:
        faulty(change).check()
    assert "\n" not in str(refusal.value)


def test_more_chunks_than_there_is_memory_for_are_refused() -> None:
    with pytest.raises(CapacityError, match="take fewer chunks"):
        Program("all_reduce", 2, 1 << 40).check()


def test_a_circle_is_named() -> None:
    """Send before receive on both sides: fine with a buffer, a deadlock without."""
    two_blocks(*exchange(), slots=1).check()
    with pytest.raises(ScheduleError) as refusal:
        two_blocks(*exchange(), slots=0).check()
    assert str(refusal.value) == (
        "all_gather by program: deadlock: rank 0, thread block 0, step 0 (send) waits for "
        "rank 1, thread block 0, step 0 (send) waits for rank 0, thread block 0, step 0 (send)"
    )


def test_too_few_buffers_are_a_deadlock() -> None:
    """Both send twice before they receive: two buffers will do, one will not."""

    def lane(peer: int, own: int) -> Lane:
        sends = [Step("send", ("output", 2 * own + k)) for k in range(2)]
        return Lane(peer, peer, 0, sends + [Step("recv", dst=("output", 2 * peer + k)) for k in range(2)])

    for slots, sound in ((2, True), (1, False)):
        program = laid(Program("all_gather", 2, 4, slots=slots), [lane(1, 0)], [lane(0, 1)])
        if sound:
            program.check()
        else:
            with pytest.raises(ScheduleError, match="deadlock"):
                program.check()


def test_a_rank_counted_twice_is_named() -> None:
    program = Program("all_reduce", 2, 1, slots=1)
    for rank in (0, 1):
        steps = [Step("send"), Step("recv_reduce_copy"), Step("send"), Step("recv_reduce_copy")]
        program.lanes[rank].append(Lane(1 - rank, 1 - rank, 0, steps))
    with pytest.raises(
        ScheduleError,
        match=r"rank 1, thread block 0, step 3 \(recv_reduce_copy\): adds input chunk 0 of ranks .* twice",
    ):
        program.check()


def test_a_race_is_found_though_this_order_is_lucky() -> None:
    """The copy to the output and the receive that overwrites its source are in two lanes."""
    program = Program("all_gather", 2, 2, in_place=False, slots=1)
    for rank in (0, 1):
        out, into = ("output", rank), ("output", 1 - rank)
        program.lanes[rank] = [
            Lane(steps=[Step("copy", ("input", 0), out)]),
            Lane(1 - rank, -1, 0, [Step("send", ("input", 0))]),
            Lane(-1, 1 - rank, 0, [Step("recv", dst=into)]),
        ]
    program.check()
    program.lanes[0][2].steps[0] = Step("recv", dst=("input", 0))
    program.lanes[0].append(Lane(steps=[Step("copy", ("input", 0), ("output", 1), after=((2, 0),))]))
    program.changed()
    with pytest.raises(ScheduleError, match="neither waits for the other; add a dependency"):
        program.check()
    program.lanes[0][2].steps[0] = Step("recv", dst=("input", 0), after=((0, 0), (1, 0)))
    program.changed()
    program.check()


def test_a_fused_step_sends_what_it_has_made() -> None:
    """Reduce along a chain of three, then down again; rank 1 stores nothing on the way up."""
    program = Program("all_reduce", 3, 1, slots=1)
    program.lanes[:] = [
        [Lane(1, 1, 0, [Step("send"), Step("recv")])],
        [Lane(2, 0, 0, [Step("recv_reduce_send")]), Lane(0, 2, 0, [Step("recv_copy_send")])],
        [Lane(1, 1, 0, [Step("recv_reduce_copy"), Step("send")])],
    ]
    program.changed()
    program.check()
    # What comes back down has been up, so that even a lane of its own overwrites nothing in use.
    program.lanes[1][0].steps[0] = Step("recv_reduce_copy_send")
    program.changed()
    program.check()
    program.lanes[1][1].steps[0] = Step("recv_reduce_copy_send")
    program.changed()
    with pytest.raises(ScheduleError, match=r"rank 1, thread block 1, step 0 .* counts some ranks twice"):
        program.check()


# -------------------------------------------------------------- chunks


def test_what_a_chunk_waits_for_follows_from_its_readers_and_writers() -> None:
    """Rank 0 sends a chunk to 1, and only then may receive over it."""
    program = Program("all_reduce", 3, 1)
    program.chunk(0, 0).reduce(1)
    program.chunk(1, 0).reduce(2)
    program.chunk(2, 0).send(0)
    program.chunk(2, 0).send(1)
    program.check()
    assert program.lanes[0][1].steps == [Step("recv", ("input", 0), ("input", 0), 1, ((0, 0),))]
    # Rank 1 sends what it has received, and overwrites what it has sent.
    assert program.lanes[1][1].steps[0].after == ((0, 0),)
    assert program.lanes[1][2].steps[0].after == ((0, 0), (1, 0))
    assert program.lanes[2][1].steps[0].after == program.lanes[2][2].steps[0].after == ((0, 0),)


def test_a_stale_chunk_is_refused() -> None:
    program = Program("all_reduce", 2, 1)
    old = program.chunk(1, 0)
    program.chunk(0, 0).reduce(1)
    with pytest.raises(ScheduleError, match="overwritten since it was taken"):
        old.send(0)


def test_chunks_that_mean_nothing_are_refused() -> None:
    program = Program("all_gather", 2, 4)
    for call, message in (
        (lambda: program.chunk(2, 0), "no rank 2"),
        (lambda: program.chunk(0, 4), "no chunk 4 among the 4"),
        (lambda: program.chunk(0, 3, 2), "no chunk 3 to 4"),
        (lambda: program.chunk(0, 0).send(0), "to itself"),
        (lambda: program.chunk(0, 0).send(5), "no rank 5"),
        (lambda: program.chunk(0, 0).copy(program.scratch_chunk(1, 0)), "copies stay inside a rank"),
        (lambda: program.scratch_chunk(0, -1), "no scratch chunk -1"),
        (lambda: program.scratch_chunk(0, 0).send(1), "no place of its own"),
        (lambda: program.chunk(0, 0, 2).send(program.scratch_chunk(1, 0)), "do not fit"),
    ):
        with pytest.raises(ScheduleError, match=message):
            call()
    with pytest.raises(ScheduleError, match="must be a multiple of"):
        Program("all_gather", 3, 4)
    with pytest.raises(UnknownNameError, match="all_gather"):
        Program("all_gathr", 2)
    with pytest.raises(ScheduleError, match="ends with nothing"), Program("all_gather", 2):
        pass


def test_scratch_and_copies() -> None:
    """Rank 1 keeps rank 0's chunk in scratch, adds its own there, and sends the sum back."""
    with Program("all_reduce", 2, 1) as program:
        place = program.chunk(0, 0).send(program.scratch_chunk(1, 0))
        place = program.chunk(1, 0).reduce(place)
        place.send(program.chunk(0, 0))
        place.copy(program.chunk(1, 0))
    assert program.scratch == [0, 1]


def test_all_to_all_over_a_third_rank() -> None:
    """What has no place at a rank lies in its scratch."""
    with Program("all_to_all", 3) as program:
        for s in range(3):
            for d in range(3):
                if s != d:
                    program.chunk(s, 3 * s + d).send(3 - s - d).send(d)
    assert program.scratch == [2, 2, 2]
    assert program.messages() == 12


@pytest.mark.parametrize("kind", ["broadcast", "reduce", "gather", "scatter"])
def test_rooted_kinds(kind: str) -> None:
    """Straight to or from the root, whichever it is."""
    for root in range(3):
        with Program(kind, 3, 3, root=root) as program:
            for other in set(range(3)) - {root}:
                if kind == "broadcast":
                    program.chunk(root, 0, 3).send(other)
                elif kind == "reduce":
                    program.chunk(other, 0, 3).reduce(root)
                else:
                    program.chunk(*((other, other) if kind == "gather" else (root, other))).send(
                        root if kind == "gather" else other
                    )
        assert program.messages() == 2


@st.composite
def random_all_gathers(draw: st.DrawFn, ranks: int) -> Program:
    """Chunks that wander at random until everybody has all, some more than once, on some channels."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    per = draw(st.sampled_from([1, 2]))
    slots = draw(st.sampled_from([0, 0, 1, 2]))
    program = Program("all_gather", ranks, per * ranks, slots=slots, name="random")
    if draw(st.booleans()):
        program.loop_bytes = 1e5
    has = {rank: {rank * per + k for k in range(per)} for rank in range(ranks)}
    while any(len(mine) < per * ranks for mine in has.values()):
        src, dst = rng.sample(range(ranks), 2)
        chunk = rng.choice(sorted(has[src]))
        if chunk in has[dst] and rng.random() < 0.9:
            continue
        program.chunk(src, chunk).send(dst, channel=rng.randrange(2))
        has[dst].add(chunk)
    return program


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_random_programs_are_sound_and_both_networks_agree(data: st.DataObject) -> None:
    graph = data.draw(graphs(max_chips=6))
    ranks = len(topologies.chips(graph))
    program = data.draw(random_all_gathers(ranks))
    program.check()
    size = data.draw(st.sampled_from([1.0, 12345.6, 1e6]))
    fluid, reference = (
        sim.all_gather(graph, size, algorithm=program, network=network, library="ideal")
        for network in ("fluid", "reference")
    )
    assert fluid.time == reference.time
    assert fluid.breakdown == reference.breakdown
    np.testing.assert_allclose(fluid.links["bytes"], reference.links["bytes"], rtol=1e-9)
    # Without one of its messages a rank lacks a chunk, unless it got that twice.
    sends = [
        (r, n) for r, lanes in enumerate(program.lanes) for n, lane in enumerate(lanes) if lane.send >= 0
    ]
    rank, lane = sends[data.draw(st.integers(0, len(sends) - 1))]
    program.lanes[rank][lane].steps.pop()
    program.changed()
    with pytest.raises(ScheduleError):
        program.check()


# -------------------------------------------------------------- times by hand


def test_the_ring_by_hand_takes_the_ring_s_time() -> None:
    """6 steps of 1 us + 250 kB / 50 GB/s on four chips."""
    ring = topologies.ring(4, **LINKS)
    for network in ("fluid", "reference"):
        run = sim.all_reduce(ring, "1 MB", algorithm=ring_all_reduce(4), network=network)
        assert run.time == pytest.approx(6 * 6e-6, abs=6e-12)
    assert run.time == sim.all_reduce(ring, "1 MB", algorithm="ring").time
    assert run.algorithm == "program"


def test_rendezvous_waits_and_eager_does_not() -> None:
    """Rank 1 receives its second message first in its list; the first has 10 us of a slow link to go.

    Chips 0, 1, 2 on a switch; rank 0 sends 1 MB to rank 1 (2 us + 20 us). Rank 1's only
    lane for rank 0 takes it, and then sends 1 MB to rank 2. Rank 0 also sends chunk 1 to
    rank 2 on the lane that first must hear from rank 1: with rendezvous that message waits
    for rank 2's step, with a buffer it is on its way at once.
    """
    program = Program("broadcast", 3, 2)
    program.lanes[:] = [
        [Lane(1, -1, 0, [Step("send", ("output", 0), count=2)]),
         Lane(2, -1, 0, [Step("send", ("output", 1))])],
        [Lane(-1, 0, 0, [Step("recv", dst=("output", 0), count=2)]),
         Lane(2, -1, 0, [Step("send", ("output", 0), after=((0, 0),))])],
        [Lane(-1, 1, 0, [Step("recv", dst=("output", 0))]),
         Lane(-1, 0, 0, [Step("recv", dst=("output", 1), after=((0, 0),))])],
    ]  # fmt: skip
    star = topologies.switch(3, **LINKS)
    times = {}
    for slots in (0, 1):
        program.slots = slots
        program.changed()
        times[slots] = sim.broadcast(star, "1 MB", algorithm=program).time
    # Rendezvous: 1 MB to rank 1, half of it on to rank 2, then the other half from rank 0.
    assert times[0] == pytest.approx(3 * 2e-6 + 20e-6 + 10e-6 + 10e-6, abs=3e-12)
    # Eager: both messages of rank 0 share its link, 25 GB/s each, until the half is through
    # after 20 us; the rest of the whole then takes another 10 us. Then rank 1's half.
    assert times[1] == pytest.approx(2e-6 + 30e-6 + 2e-6 + 10e-6, abs=3e-12)


@pytest.mark.parametrize("loops", [1, 2, 5])
def test_loops_pipeline_a_chain(loops: int) -> None:
    """Down a chain of three in slices: (loops + 1) steps of 1 us + slice / 50 GB/s."""
    size = 1e6
    program = Program("broadcast", 3, 1, slots=2, loop_bytes=size / loops)
    program.lanes[:] = [
        [Lane(1, -1, 0, [Step("send", ("output", 0))])],
        [Lane(2, 0, 0, [Step("recv_copy_send", dst=("output", 0))])],
        [Lane(-1, 1, 0, [Step("recv", dst=("output", 0))])],
    ]
    chain = topologies.mesh((3,), **LINKS)
    for network in ("fluid", "reference"):
        run = sim.broadcast(chain, size, algorithm=program, network=network)
        assert run.time == pytest.approx((loops + 1) * (1e-6 + size / loops / 50e9), abs=(loops + 1) * 1e-12)


def test_buffers_are_counted_over_all_loops() -> None:
    """One message a loop and two buffers: message l (node 2 l) waits for the receipt of message l - 2."""
    program = laid(
        Program("broadcast", 2, 1, slots=2),
        [Lane(1, -1, 0, [Step("send", ("output", 0))])],
        [Lane(-1, 0, 0, [Step("recv", dst=("output", 0))])],
    )
    order = program.order(4)
    assert [order.before(node) for node in range(8)] == [[], [0], [0], [1, 2], [1, 2], [3, 4], [3, 4], [5, 6]]


def test_what_receivers_add_costs_what_the_library_says() -> None:
    """Transfers that add and transfers that copy stand in one round, each with its own cost."""
    slow = libraries.library("ideal", parameters={"protocol.plain.reduce_rate": "100 GB/s"})
    ring = topologies.ring(4, **LINKS)
    run = sim.all_reduce(ring, "1 MB", algorithm=ring_all_reduce(4), library=slow)
    # Three of the six steps add 250 kB at 100 GB/s.
    assert run.time == pytest.approx(6 * 6e-6 + 3 * 2.5e-6, abs=6e-12)
    assert run.time == sim.all_reduce(ring, "1 MB", algorithm="ring", library=slow).time


def test_a_program_in_a_world_and_on_some_chips() -> None:
    world = sim.World(topologies.switch(8, **LINKS))
    program = ring_all_reduce(4)
    done = world.all_reduce("1 MB", [6, 4, 2, 0], algorithm=program)
    world.run(done)
    assert world.now == pytest.approx(6 * 7e-6, abs=6e-12)
    for call, message in (
        ({"group": 5}, "is for 4 ranks, not 5"),
        ({"group": 4, "root": 1}, "takes no option 'root'"),
        ({"group": 4, "protocol": "ll"}, "unknown protocol"),
    ):
        with pytest.raises((ScheduleError, UnknownNameError), match=message):
            world.all_reduce("1 MB", algorithm=program, **call)  # type: ignore[arg-type]
    with pytest.raises(ScheduleError, match="is an algorithm of all_reduce, not of all_gather"):
        world.all_gather("1 MB", 4, algorithm=program)
    with pytest.raises(ScheduleError, match="not a matrix"):
        world.all_to_all(np.ones((4, 4)), 4, algorithm=Program("all_to_all", 4))
