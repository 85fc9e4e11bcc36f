"""MSCCL XML, the format in which collective algorithms are exchanged.

Written by msccl-tools, TACCL and TE-CCL, read by MSCCL, RCCL and ASTRA-sim. The tree is
``algo`` > ``gpu`` > ``tb`` > ``step``; what it means is in `docs/formats.md`, after the
parser and the interpreter of RCCL (ROCm/rccl, `src/misc/msccl/msccl_parser.cc`,
`src/collectives/device/msccl_kernel_impl.h`; MIT).

Two attributes of ``algo`` are our own, and RCCL passes over them: ``slots`` and ``root``
(`sim.programs.Program`). Without ``slots`` a file means what the runtime does: with its
protocol's buffers, and large chunks in loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from sim.programs.program import LOCAL, RECEIVES, Lane, Program, Step
from topologies.errors import ChipweaveError, FormatError

__all__ = ["PROTOCOLS", "parse", "text"]

T = TypeVar("T")

#: Our name of a collective for MSCCL's.
COLLECTIVES = {
    "allreduce": "all_reduce", "allgather": "all_gather", "reducescatter": "reduce_scatter",
    "alltoall": "all_to_all", "alltoallv": "all_to_all", "broadcast": "broadcast", "reduce": "reduce",
    "gather": "gather", "scatter": "scatter", "send": "send",
}  # fmt: skip
NAMES = {ours: theirs for theirs, ours in COLLECTIVES.items() if theirs != "alltoallv"}
TYPES = {
    "s": "send", "r": "recv", "rcs": "recv_copy_send", "rrs": "recv_reduce_send", "rrc": "recv_reduce_copy",
    "rrcs": "recv_reduce_copy_send", "cpy": "copy", "re": "reduce", "nop": "nop",
}  # fmt: skip
SHORT = {ours: theirs for theirs, ours in TYPES.items()}
BUFFERS = {"i": "input", "o": "output", "s": "scratch"}

#: Messages that a connection holds, and bytes of a chunk that are moved in one loop, by
#: protocol. NCCL's buffers of 8 steps (`NCCL_STEPS`), of which a loop of Simple takes 4
#: (`MSCCL_CHUNKSTEPS`) and one of LL and LL128 takes 1; a step is 512 KiB of data in
#: Simple, 32 KiB in LL (half of 8 lines x 512 threads x 16 bytes), 576,000 bytes in LL128
#: (15/16 of 120 elements x 640 threads x 8 bytes). RCCL, `src/include/devcomm.h` and
#: `src/include/msccl/msccl_struct.h`.
PROTOCOLS = {"Simple": (2, 2.0 * 2**20), "LL": (8, 32.0 * 2**10), "LL128": (8, 576000.0)}

#: Longest name that RCCL's parser takes (MAX_STR_LEN).
LONGEST = 255

#: What a step that waits, and does nothing, says of its chunks.
NOTHING = 'srcbuf="i" srcoff="-1" dstbuf="o" dstoff="-1" cnt="0"'


@dataclass(slots=True)
class _Element:
    """An element of the file, and the line where it begins."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[_Element] = field(default_factory=list)

    def fault(self, message: str) -> FormatError:
        """An error that names this element."""
        known = [f'{k}="{self.attributes[k]}"' for k in ("id", "s", "type") if k in self.attributes]
        return FormatError(f"line {self.line}: <{' '.join([self.tag, *known])}>: {message}")

    def get(self, name: str) -> str:
        """An attribute that must be there."""
        if name not in self.attributes:
            raise self.fault(f"no attribute {name}; add it")
        return self.attributes[name]

    def whole(self, name: str, default: int | None = None, least: int = 0) -> int:
        """An attribute that must be a whole number."""
        if default is not None and name not in self.attributes:
            return default
        value = self.get(name).strip()
        if not (value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()) or len(value) > 18:
            raise self.fault(f"{name} (={value[:40]!r}) must be a whole number")
        if int(value) < least:
            raise self.fault(f"{name} (={value}) must be >= {least}")
        return int(value)

    def choice(self, name: str, known: dict[str, str]) -> str:
        """What an attribute that must be one of some words means."""
        value = self.get(name)
        if value not in known:
            raise self.fault(f"{name} (={value[:40]!r}) must be one of {', '.join(known)}")
        return known[value]


def parse(text: str) -> Program:
    """Read a program.

    Parameters
    ----------
    text : str
        The file.

    Raises
    ------
    FormatError
        If it is no such file, or the algorithm in it is faulty; line and element, or
        rank, thread block and step are named.

    Examples
    --------
    >>> from sim.programs import from_schedule
    >>> from sim.collectives import build
    >>> ring = from_schedule(build("all_gather", 4, 1e6, "ring"))
    >>> again = parse(globals()["text"](ring))
    >>> again
    <Program all_gather by ring: 4 ranks, 4 chunks, 12 messages in 8 thread blocks>
    """
    algo = _tree(text)
    if algo.tag != "algo":
        raise algo.fault("the outermost element must be <algo>; this is no MSCCL XML file")
    proto = algo.choice("proto", {name: name for name in PROTOCOLS})
    slots, loop_bytes = PROTOCOLS[proto]
    if "slots" in algo.attributes:
        slots, loop_bytes = algo.whole("slots"), math.inf
    ranks = algo.whole("ngpus", least=1)
    gpus = _numbered(algo, "gpu", "id")
    if len(gpus) != ranks:
        raise algo.fault(f"ngpus (={ranks}), but there are {len(gpus)} <gpu>")
    chunks = algo.whole("nchunksperloop", least=1)
    largest = max(gpu.whole(name) for gpu in gpus for name in ("i_chunks", "o_chunks"))
    if chunks != largest:
        raise algo.fault(
            f"nchunksperloop (={chunks}), but the largest buffer has {largest} chunks; make them agree"
        )
    program = _refusing(
        algo,
        lambda: Program(
            algo.choice("coll", COLLECTIVES),
            ranks,
            chunks,
            name=algo.get("name"),
            root=algo.whole("root", 0),
            in_place=bool(algo.whole("inplace", 0)),
            protocol=proto.lower(),
            slots=slots,
            loop_bytes=loop_bytes,
        ),
    )
    for rank, gpu in enumerate(gpus):
        _read_gpu(program, rank, gpu)
    _refusing(None, program.check)
    return program


def _read_gpu(program: Program, rank: int, gpu: _Element) -> None:
    for index, name in enumerate(("i_chunks", "o_chunks")):
        given, most = gpu.whole(name), program.promise.lengths(rank)[index]
        # In place, one of the two may be left out; a root's buffer may be given to all.
        if given > max(
            most, program.promise.chunks if program.kind in ("gather", "scatter", "reduce") else 0
        ):
            raise gpu.fault(f"{name} (={given}) is more than the {most} chunks of {program.kind}")
    program.scratch[rank] = gpu.whole("s_chunks")
    for child in gpu.children:
        if child.tag == "copy":
            pair = child.whole("i_off"), child.whole("o_off")
            for offset, length in zip(pair, program.promise.lengths(rank), strict=True):
                if offset >= length:
                    raise child.fault(f"chunk {offset} lies outside its buffer of {length}")
            program.initial[rank].append(pair)
        elif child.tag != "tb":
            raise child.fault("must be <tb> or <copy>")
    blocks = _numbered(gpu, "tb", "id")
    steps = [_numbered(block, "step", "s") for block in blocks]
    for block, mine in zip(blocks, steps, strict=True):
        lane = Lane(block.whole("send", least=-1), block.whole("recv", least=-1), block.whole("chan"))
        for side, peer in (("send", lane.send), ("recv", lane.recv)):
            if peer >= program.ranks or peer == rank:
                raise block.fault(
                    f"{side} (={peer}) of gpu {rank} must be another of the {program.ranks} ranks, or -1"
                )
        lane.steps.extend(_read_step(program, rank, step, steps) for step in mine)
        program.lanes[rank].append(lane)


def _read_step(program: Program, rank: int, step: _Element, steps: list[list[_Element]]) -> Step:
    op = step.choice("type", TYPES)
    lane, index = step.whole("depid", -1, least=-1), step.whole("deps", -1, least=-1)
    after: tuple[tuple[int, int], ...] = ()
    if lane >= 0:
        if lane >= len(steps) or not 0 <= index < len(steps[lane]):
            raise step.fault(f"depid (={lane}), deps (={index}): gpu {rank} has no such step")
        if steps[lane][index].whole("hasdep", 0) != 1:
            raise step.fault(
                f"waits for thread block {lane}, step {index}, which has hasdep=0 and so tells nobody; "
                f"set it to 1"
            )
        after = ((lane, index),)
    if op == "nop":
        return Step("nop", count=0, after=after)
    ends = []
    for side in ("src", "dst"):
        buffer, first = step.choice(f"{side}buf", BUFFERS), step.whole(f"{side}off", least=-1)
        ends.append((buffer, first))
    count = step.whole("cnt", least=1)
    # What the step does not use may say anything: the parser of RCCL asks no more of it.
    used = {"src": op == "send" or op in LOCAL or "reduce" in op, "dst": op in LOCAL or op in RECEIVES}
    used["dst"] &= op != "recv_reduce_send"
    for side, (buffer, first) in zip(("src", "dst"), ends, strict=True):
        length = program.length(rank, buffer)
        if used[side] and not 0 <= first <= length - count:
            raise step.fault(
                f"{side}off (={first}) with cnt (={count}) lies outside the {buffer} buffer of gpu {rank}, "
                f"which has {length} chunks"
            )
    return Step(op, ends[0], ends[1], count, after)


def _numbered(parent: _Element, tag: str, key: str) -> list[_Element]:
    """Children of a kind in the order of their numbers, which must be 0, 1, 2, ..."""
    found: dict[int, _Element] = {}
    for child in parent.children:
        if child.tag == tag:
            number = child.whole(key)
            if number in found:
                raise child.fault(f"{key} (={number}) is that of line {found[number].line} as well")
            found[number] = child
        elif tag != "tb":
            raise child.fault(f"does not belong into <{parent.tag}>; only <{tag}> does")
    for number in range(len(found)):
        if number not in found:
            later = found[min(n for n in found if n > number)]
            raise later.fault(f"{key} {number} of <{tag}> is missing; number them 0, 1, 2, ... without a gap")
    return [found[number] for number in range(len(found))]


def _refusing(element: _Element | None, make: Callable[[], T]) -> T:
    """What ``make`` gives; what it refuses as an error of the file."""
    try:
        return make()
    except FormatError:
        raise
    except ChipweaveError as error:
        raise (FormatError(str(error)) if element is None else element.fault(str(error))) from error


def _tree(text: str) -> _Element:
    """The elements of an XML file, with their lines."""
    parser = expat.ParserCreate()
    top: list[_Element] = []
    open_: list[_Element] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = _Element(tag, attributes, parser.CurrentLineNumber)
        (open_[-1].children if open_ else top).append(element)
        open_.append(element)

    def end(_: str) -> None:
        open_.pop()

    def entity(name: str, *_: object) -> None:
        raise FormatError(f"line {parser.CurrentLineNumber}: entity {name!r}: an algorithm file defines none")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        where = f" within <{open_[-1].tag}> of line {open_[-1].line}" if open_ else ""
        reason = expat.ErrorString(error.code) or "no XML"
        raise FormatError(
            f"line {error.lineno}: no well-formed XML: {reason}{where}; is the file whole?"
        ) from error
    return top[0]


def text(program: Program) -> str:
    """A program as MSCCL XML.

    Where a step waits for several, ``nop`` steps before it wait for all but the last.
    Waiting for a step of the same thread block says nothing new and is left out.
    """
    protocols = {name.lower(): name for name in PROTOCOLS}
    proto = protocols.get(program.protocol or "simple", "Simple")
    channels = 1 + max((lane.channel for lanes in program.lanes for lane in lanes), default=0)
    usual = (program.slots, program.loop_bytes) == PROTOCOLS[proto]
    own = [] if usual else [("slots", program.slots)]
    own += [("root", program.root)] if program.root else []
    fields = [
        ("name", program.name[:LONGEST]), ("proto", proto), ("nchannels", channels),
        ("nchunksperloop", program.promise.chunks), ("ngpus", program.ranks), ("coll", NAMES[program.kind]),
        ("inplace", int(bool(program.in_place))), ("outofplace", int(not program.in_place)),
        ("minBytes", 0), ("maxBytes", 2**63 - 1), *own,
    ]  # fmt: skip
    lines = [f"<algo {' '.join(f'{key}={quoteattr(str(value))}' for key, value in fields)}>"]
    for rank in range(program.ranks):
        lines.extend(_gpu(program, rank))
    return "\n".join([*lines, "</algo>", ""])


def _gpu(program: Program, rank: int) -> Iterator[str]:
    inputs, outputs = program.promise.lengths(rank)
    yield f'  <gpu id="{rank}" i_chunks="{inputs}" o_chunks="{outputs}" s_chunks="{program.scratch[rank]}">'
    yield from (f'    <copy i_off="{source}" o_off="{target}"/>' for source, target in program.initial[rank])
    lanes = program.lanes[rank]
    waits = [[[at for at in step.after if at[0] != n] for step in lane.steps] for n, lane in enumerate(lanes)]
    # Number of each step once the nops stand before those that need them.
    number = [_numbers(mine) for mine in waits]
    awaited = {at for mine in waits for some in mine for at in some}
    for n, lane in enumerate(lanes):
        yield f'    <tb id="{n}" send="{lane.send}" recv="{lane.recv}" chan="{lane.channel}">'
        for index, step in enumerate(lane.steps):
            some = waits[n][index]
            places = [f'depid="{a}" deps="{number[a][b]}"' for a, b in some] or ['depid="-1" deps="-1"']
            for k, place in enumerate(places[:-1]):
                at = number[n][index] - len(places) + 1 + k
                yield f'      <step s="{at}" type="nop" {NOTHING} {place} hasdep="0"/>'
            flag = int((n, index) in awaited)
            yield f'      <step s="{number[n][index]}" {_chunks(step)} {places[-1]} hasdep="{flag}"/>'
        yield "    </tb>"
    yield "  </gpu>"


def _numbers(waits: list[list[tuple[int, int]]]) -> list[int]:
    found, at = [], -1
    for some in waits:
        at += max(1, len(some))
        found.append(at)
    return found


def _chunks(step: Step) -> str:
    if step.op == "nop":
        return f'type="nop" {NOTHING}'
    (source, first), (target, place) = step.src, step.dst
    # A step that does not read, or write, says the same of both.
    if step.op in RECEIVES and "reduce" not in step.op:
        source, first = target, place
    return (
        f'type="{SHORT[step.op]}" srcbuf="{source[0]}" srcoff="{first}" '
        f'dstbuf="{target[0]}" dstoff="{place}" cnt="{step.count}"'
    )
