"""Rounds put together from stretches of all parts are those put together part by part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sim
import topologies
from sim.libraries import library
from sim.network.alphabet import Alphabet
from sim.network.folding import _quotients
from sim.network.job import Job
from sim.network.lines import Lines
from sim.network.partition import partition
from sim.parts import arriving, put_together
from sim.plan import plan
from sim.routing import Router
from sim.schedule import Assembled, Round
from sim.transfers import Loaded


def told(one: Loaded) -> list[Any]:
    r, p, c = one.round, one.paths, one.costs
    arrays = (
        r.src, r.dst, r.bytes, p.start, p.link, p.weight, p.latency_ps, p.outside, c.overhead_ps, c.cap,
        c.wire_bytes, c.reduce_ps, one.ideal_ps, one.tier,
    )  # fmt: skip
    return [r.reduce, r.repeat, r.label, *(each.tolist() for each in arrays)]


@pytest.mark.parametrize(
    ("machine", "chips", "algorithm", "size"),
    [
        ("hgx-h100", 128, "tree", 2.0**26),
        ("hgx-b200", 128, "nvls_tree", 2.0**26),  # trees live on in whom transfers wait for
        ("mi300x", 64, "tree", 2.0**22),
        ("mtt-s5000", 64, "ring", 2.0**20),
    ],
)
@pytest.mark.parametrize("adds", ["100 GB/s", "none"])
def test_stretches_are_the_parts(machine: str, chips: int, algorithm: str, size: float, adds: str) -> None:
    """The slow twin puts the folded parts together, and sums what arrives over the unfolded ones."""
    router = Router(sim.compile_fabric(topologies.machine(machine, chips=chips)))
    name = str(router.fabric.library)
    figures = {f"protocol.{p}.reduce_rate": adds for p in library(name).protocols if adds != "none"}
    planned = plan("all_reduce", router, size, algorithm=algorithm, library=library(name, parameters=figures))
    job = Job(
        "job", planned.schedule.rounds, planned.nodes, np.zeros(chips, dtype=np.int64), router, planned.costs
    )
    alphabet = Alphabet.of(job)
    assert alphabet is not None
    loaded = alphabet.load(job, router.fabric.bandwidth)
    found = partition(job, alphabet, loaded, router.bundles.narrowest(router.fabric.bandwidth)[0])
    if found is None:
        pytest.skip("nothing is alike")
    parts = _quotients(loaded, found)
    reduces = any(one.costs.reduce_ps.any() for one in loaded)
    lines = Lines(alphabet, parts, job.costs, reduces)
    for line in alphabet.lines:
        each = [parts[i][0] for i in line.parts]
        ends = [np.concatenate([getattr(one.round, n) for one in each]) for n in ("src", "dst", "bytes")]
        twin = put_together(
            Round(ends[0], ends[1], ends[2], line.reduce, line.repeat, None, line.label), each, job.costs
        )
        if reduces and twin.costs.reduce_ps.any():
            whole = [alphabet.parts[i] for i in line.parts]
            sums = arriving(
                np.concatenate([one.dst for one in whole]), np.concatenate([one.bytes for one in whole])
            )
            first = np.cumsum([0, *(one.src.size for one in whole)])
            kept = np.concatenate([at + parts[i][1] for i, at in zip(line.parts, first, strict=False)])
            took = np.where(twin.costs.reduce_ps > 0, job.costs.adding_ps(sums[kept]), 0)
            twin.costs.reduce_ps[:] = took
        assert told(lines.loaded(line)) == told(twin)


def test_what_arrives_is_summed_receiver_by_receiver() -> None:
    """1 + 2, alone, 1 + 2; the same where receivers' numbers are large, or all bytes are one."""
    dst, each = np.array([7, 3, 7]), np.array([2.0, 5.0, 1.0])
    for offset in (0, 10**9):
        assert arriving(dst + offset, each).tolist() == [3.0, 5.0, 3.0]
        assert arriving(dst + offset, np.full(3, 0.1)).tolist() == [0.2, 0.1, 0.2]
    assert arriving(np.zeros(0, np.int64), np.zeros(0)).tolist() == []


def test_an_assembled_round_is_its_parts() -> None:
    """Whoever asks for its arrays gets those of the parts, one after the other."""
    parts = tuple(
        Round(np.arange(n), np.arange(n) + 1, np.full(n, 4.0 * n), reduce=True, label=str(n))
        for n in (2, 1, 3)
    )
    one = Assembled.of(parts, repeat=3, label="three")
    assert (one.transfers, one.repeat, one.reduce, one.label, one.parts) == (6, 3, True, "three", parts)
    assert one.src.tolist() == [0, 1, 0, 0, 1, 2] and one.dst.tolist() == [1, 2, 1, 1, 2, 3]
    assert one.bytes.tolist() == [8.0, 8.0, 4.0, 12.0, 12.0, 12.0]
    assert one.src is one.src
    with pytest.raises(AttributeError, match="colour"):
        one.colour  # noqa: B018
